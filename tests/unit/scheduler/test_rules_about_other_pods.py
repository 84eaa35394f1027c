"""InterPodAffinity and PodTopologySpread, by values and against a plain reading of the rules."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pykubelet.objects import selectors
from pykubelet.scheduler.deciding import Found, NotFound
from pykubelet.scheduler.equivalence import Equivalence
from pykubelet.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from pykubelet.scheduler.plugins.pod_topology_spread import PodTopologySpread
from pykubelet.scheduler.pods import read
from pykubelet.scheduler.profiles import build
from pykubelet.scheduler.snapshot import Snapshot
from tests.unit.scheduler.build import (
    HOSTNAME,
    ZONE,
    at,
    cluster,
    node,
    outcome,
    pod,
    profile_of,
    reasons,
    scores,
)

Json = dict[str, Any]
NOT_NEAR = ("node(s) didn't match pod affinity rules",)
TOO_NEAR = ("node(s) didn't match pod anti-affinity rules",)
UNWELCOME = ("node(s) didn't satisfy existing pods anti-affinity rules",)
SKEWED = ("node(s) didn't match pod topology spread constraints",)
UNLABELLED = ("node(s) didn't match pod topology spread constraints (missing required label)",)


def term(app: str, key: str = HOSTNAME, **more: Any) -> Json:
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **more}


def near(*terms: Json) -> Json:
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def apart(*terms: Json) -> Json:
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def rather(kind: str, weight: int, one: Json) -> Json:
    wish = {"weight": weight, "podAffinityTerm": one}
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}


class TestAffinity:
    plugin = InterPodAffinity()

    def test_a_pod_goes_where_those_are_that_it_insists_on(self) -> None:
        view = cluster(node("n1", zone="a"), node("n2", zone="b"),
                       pod("db", labels={"app": "db"}, on="n1"))  # fmt: skip
        one = pod(affinity=near(term("db", ZONE)))
        assert reasons(self.plugin, one, view, "n1") == ()
        assert reasons(self.plugin, one, view, "n2") == NOT_NEAR

    def test_the_first_of_a_group_that_wants_to_be_together_may_go_anywhere(self) -> None:
        view = cluster(node("n1", zone="a"), node("n2"))
        one = pod(labels={"app": "web"}, affinity=near(term("web", ZONE)))
        assert reasons(self.plugin, one, view, "n1") == ()
        assert reasons(self.plugin, one, view, "n2") == NOT_NEAR  # no such place there
        other = pod(labels={"app": "other"}, affinity=near(term("web", ZONE)))
        assert reasons(self.plugin, other, view, "n1") == NOT_NEAR

    def test_a_pod_keeps_away_from_those_it_refuses_and_those_that_refuse_it(self) -> None:
        view = cluster(
            node("n1"), node("n2"), node("n3"),
            pod("a", labels={"app": "noisy"}, on="n1"),
            pod("b", affinity=apart(term("quiet")), on="n2"),
        )  # fmt: skip
        one = pod(labels={"app": "quiet"}, affinity=apart(term("noisy")))
        assert reasons(self.plugin, one, view, "n1") == TOO_NEAR
        assert reasons(self.plugin, one, view, "n2") == UNWELCOME
        assert reasons(self.plugin, one, view, "n3") == ()

    def test_terms_mean_their_own_namespace_unless_they_say_others(self) -> None:
        view = cluster(
            node("n1"),
            {"kind": "Namespace", "metadata": {"name": "team", "labels": {"of": "us"}}},
            pod("db", namespace="team", labels={"app": "db"}, on="n1"),
        )
        for more, expected in (
            ({}, NOT_NEAR),
            ({"namespaces": ["team"]}, ()),
            ({"namespaceSelector": {"matchLabels": {"of": "us"}}}, ()),
            ({"namespaceSelector": {"matchLabels": {"of": "them"}}}, NOT_NEAR),
            ({"namespaceSelector": {}}, ()),
        ):
            one = pod(affinity=near(term("db", **more)))
            assert reasons(self.plugin, one, view) == expected

    def test_match_label_keys_keep_versions_apart(self) -> None:
        view = cluster(node("n1"), pod("old", labels={"app": "web", "v": "1"}, on="n1"))
        one = term("web", matchLabelKeys=["v"])
        newer = pod(labels={"app": "web", "v": "2"}, affinity=apart(one))
        same = pod(labels={"app": "web", "v": "1"}, affinity=apart(one))
        assert reasons(self.plugin, newer, view) == ()
        assert reasons(self.plugin, same, view) == TOO_NEAR

    def test_wishes_are_weighed_from_both_sides(self) -> None:
        wants = rather("podAffinity", 50, term("cache"))
        hates = rather("podAntiAffinity", 100, term("web"))
        view = cluster(
            node("n1"), node("n2"), node("n3"),
            pod("cache", labels={"app": "cache"}, on="n1"),
            pod("grump", affinity=hates, on="n2"),
        )  # fmt: skip
        found = scores(self.plugin, pod(labels={"app": "web"}, affinity=wants), view)
        assert found == {"n1": 100, "n2": 0, "n3": 66}

    def test_requirements_of_others_count_as_weak_wishes(self) -> None:
        view = cluster(node("n1"), node("n2"), pod("a", affinity=near(term("web")), on="n1"))
        assert scores(self.plugin, pod(labels={"app": "web"}), view) == {"n1": 100, "n2": 0}
        silent = InterPodAffinity(hard_weight=0)
        assert set(scores(silent, pod(labels={"app": "web"}), view).values()) == {0}


def constraint(key: str = ZONE, skew: int = 1, hard: bool = True, **more: Any) -> Json:
    return {
        "topologyKey": key,
        "maxSkew": skew,
        "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "web"}},
        **more,
    }


def web(name: str = "new", on: str = "", **more: Any) -> Json:
    return pod(name, labels={"app": "web"}, on=on, **more)


class TestSpread:
    plugin = PodTopologySpread()

    def test_no_place_gets_more_than_the_skew_ahead_of_the_emptiest(self) -> None:
        view = cluster(node("n1", zone="a"), node("n2", zone="b"), web("p1", "n1"))
        one = web(topologySpreadConstraints=[constraint()])
        assert reasons(self.plugin, one, view, "n1") == SKEWED
        assert reasons(self.plugin, one, view, "n2") == ()
        loose = web(topologySpreadConstraints=[constraint(skew=2)])
        assert reasons(self.plugin, loose, view, "n1") == ()

    def test_a_node_without_the_label_is_no_place(self) -> None:
        view = cluster(node("n1", zone="a"), node("n2"))
        one = web(topologySpreadConstraints=[constraint()])
        assert reasons(self.plugin, one, view, "n2") == UNLABELLED

    def test_fewer_places_than_wanted_count_as_an_empty_one(self) -> None:
        view = cluster(node("n1", zone="a"), web("p1", "n1"))
        one = web(topologySpreadConstraints=[constraint(minDomains=2)])
        assert reasons(self.plugin, one, view) == SKEWED
        assert reasons(self.plugin, web(topologySpreadConstraints=[constraint()]), view) == ()

    def test_nodes_that_the_pod_does_not_want_are_no_places_unless_asked_for(self) -> None:
        view = cluster(
            node("n1", zone="a", labels={"disk": "ssd"}), node("n2", zone="b"), web("p1", "n1")
        )
        picky = {"nodeSelector": {"disk": "ssd"}}
        one = web(topologySpreadConstraints=[constraint()], **picky)
        assert reasons(self.plugin, one, view) == ()
        ignoring = constraint(nodeAffinityPolicy="Ignore")
        assert reasons(self.plugin, web(topologySpreadConstraints=[ignoring], **picky), view)

    def test_tainted_nodes_are_places_unless_taints_are_honored(self) -> None:
        taint = {"key": "k", "effect": "NoSchedule"}
        view = cluster(node("n1", zone="a"), node("n2", zone="b", taints=[taint]), web("p1", "n1"))
        assert reasons(self.plugin, web(topologySpreadConstraints=[constraint()]), view) == SKEWED
        honoring = constraint(nodeTaintsPolicy="Honor")
        assert reasons(self.plugin, web(topologySpreadConstraints=[honoring]), view) == ()

    def test_pods_that_are_leaving_and_other_namespaces_do_not_count(self) -> None:
        leaving = web("p1", "n1")
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        view = cluster(node("n1", zone="a"), node("n2", zone="b"), leaving,
                       web("p2", "n1", namespace="other"))  # fmt: skip
        assert reasons(self.plugin, web(topologySpreadConstraints=[constraint()]), view) == ()

    def test_match_label_keys_count_each_version_by_itself(self) -> None:
        old = pod("old", labels={"app": "web", "v": "1"}, on="n1")
        view = cluster(node("n1", zone="a"), node("n2", zone="b"), old)
        keyed = [constraint(matchLabelKeys=["v"])]
        new = pod(labels={"app": "web", "v": "2"}, topologySpreadConstraints=keyed)
        assert reasons(self.plugin, new, view, "n1") == ()

    def test_soft_constraints_prefer_emptier_places(self) -> None:
        view = cluster(node("n1", zone="a"), node("n2", zone="b"), web("p1", "n1"))
        found = scores(self.plugin, web(topologySpreadConstraints=[constraint(hard=False)]), view)
        assert found["n2"] == 100
        assert found["n1"] < 100

    def test_pods_of_a_service_spread_by_default(self) -> None:
        service = {"kind": "Service", "metadata": {"name": "s", "namespace": "default"},
                   "spec": {"selector": {"app": "web"}}}  # fmt: skip
        view = cluster(node("n1", zone="a"), node("n2", zone="b"), service,
                       *(web(f"p{n}", "n1") for n in range(5)))  # fmt: skip
        found = scores(self.plugin, web(), view)
        assert found["n2"] > found["n1"]
        assert set(scores(self.plugin, pod(labels={"app": "x"}), view).values()) == {0}
        assert set(scores(PodTopologySpread(()), web(), view).values()) == {0}


# -- against a plain reading ---------------------------------------------------------------------


def _allowed_by_affinity(
    one: Json, name: str, everything: list[Json], nodes: dict[str, Json]
) -> bool:
    """Every rule spelled out over all pods, with no counts kept."""
    here = nodes[name]["metadata"]["labels"]

    def same(key: str, other: str) -> bool:
        there = nodes[other]["metadata"]["labels"]
        return key in here and key in there and here[key] == there[key]

    def means(t: Json, p: Json) -> bool:
        return selectors.matches(selectors.from_object(t["labelSelector"]), p["metadata"]["labels"])

    def terms(p: Json, kind: str) -> list[Json]:
        side = (p["spec"].get("affinity") or {}).get(kind) or {}
        return list(side.get("requiredDuringSchedulingIgnoredDuringExecution") or ())

    wanted = terms(one, "podAffinity")
    if wanted:
        if any(t["topologyKey"] not in here for t in wanted):
            return False
        liked = [p for p in everything if all(means(t, p) for t in wanted)]
        everywhere = all(
            any(same(t["topologyKey"], p["spec"]["nodeName"]) for p in liked) for t in wanted
        )
        known = any(
            t["topologyKey"] in nodes[p["spec"]["nodeName"]]["metadata"]["labels"]
            for p in liked
            for t in wanted
        )
        if not everywhere and (known or not all(means(t, one) for t in wanted)):
            return False
    for p in everything:
        there = p["spec"]["nodeName"]
        if any(
            means(t, p) and same(t["topologyKey"], there) for t in terms(one, "podAntiAffinity")
        ):
            return False
        if any(
            means(t, one) and same(t["topologyKey"], there) for t in terms(p, "podAntiAffinity")
        ):
            return False
    return True


def _allowed_by_spread(
    one: Json, name: str, everything: list[Json], nodes: dict[str, Json]
) -> bool:
    constraints = one["spec"].get("topologySpreadConstraints") or []
    keys = [c["topologyKey"] for c in constraints]
    places = {n: o for n, o in nodes.items() if all(k in o["metadata"]["labels"] for k in keys)}
    for c in constraints:
        key = c["topologyKey"]
        if key not in nodes[name]["metadata"]["labels"]:
            return False
        selector = selectors.from_object(c["labelSelector"])
        counts = {o["metadata"]["labels"][key]: 0 for o in places.values()}
        for p in everything:
            where = p["spec"]["nodeName"]
            if where in places and selectors.matches(selector, p["metadata"]["labels"]):
                counts[places[where]["metadata"]["labels"][key]] += 1
        own = selectors.matches(selector, one["metadata"]["labels"])
        mine = counts.get(nodes[name]["metadata"]["labels"][key], 0) + own
        if mine - min(counts.values(), default=0) > c["maxSkew"]:
            return False
    return True


@pytest.mark.parametrize("seed", range(60))
def test_counts_kept_by_changes_say_what_a_plain_reading_says(seed: int) -> None:
    """Pods come and go, nodes change their labels; verdicts that are kept and brought up to date
    are at every step those of somebody who reads all pods anew."""
    random_ = random.Random(seed)
    view = Snapshot()
    profile = profile_of(InterPodAffinity(), PodTopologySpread(()))
    known = Equivalence(view)
    nodes: dict[str, Json] = {}
    running: dict[str, Json] = {}

    def put_node(name: str) -> None:
        from pykubelet.scheduler import nodes as reading

        nodes[name] = node(name, zone=random_.choice(["a", "b", "c", ""]), cpu="64")
        view.put_node(reading.read(nodes[name]))

    for number in range(5):
        put_node(f"n{number}")
    apps = ["web", "db", "log"]
    kinds = [_random_pod(random_, apps) for _ in range(6)]
    for number in range(40):
        roll = random_.random()
        if roll < 0.1:
            put_node(random_.choice(list(nodes)))
        elif roll < 0.35 and running:
            key = random_.choice(list(running))
            del running[key]
            view.drop_pod(f"default/{key}")
        one = {**random_.choice(kinds)}
        one["metadata"] = {**one["metadata"], "name": f"p{number}", "uid": f"u{number}"}
        info = read(one)
        verdicts = known.verdicts(info, profile)
        verdicts.find(range(len(view.nodes)), 99, {})
        allowed = []
        for index, place in enumerate(view.nodes):
            expected = _allowed_by_affinity(
                one, place.name, list(running.values()), nodes
            ) and _allowed_by_spread(one, place.name, list(running.values()), nodes)
            assert (verdicts.rejection(index, {}) is None) == expected, (number, place.name)
            assert (verdicts.rejects(at(view, place.name)) is None) == expected
            if expected:
                allowed.append(place.name)
        if allowed:
            where = random_.choice(allowed)
            running[f"p{number}"] = {**one, "spec": {**one["spec"], "nodeName": where}}
            view.put_pod(read(running[f"p{number}"]))


def _random_pod(random_: random.Random, apps: list[str]) -> Json:
    affinity: Json = {}
    if random_.random() < 0.4:
        key = random_.choice([ZONE, HOSTNAME])
        affinity |= near(term(random_.choice(apps), key))
    if random_.random() < 0.4:
        key = random_.choice([ZONE, HOSTNAME])
        affinity |= apart(term(random_.choice(apps), key))
    app = random_.choice(apps)
    spread = [
        {**constraint(random_.choice([ZONE, HOSTNAME]), random_.randint(1, 2)),
         "labelSelector": {"matchLabels": {"app": random_.choice(apps)}}}
        for _ in range(random_.choice([0, 0, 1, 2]))
    ]  # fmt: skip
    keys = {c["topologyKey"] for c in spread}
    spread = [next(c for c in spread if c["topologyKey"] == key) for key in sorted(keys)]
    more: Json = {"topologySpreadConstraints": spread} if spread else {}
    return pod(labels={"app": app}, affinity=affinity, **more)


def test_a_whole_decision_heeds_all_of_it() -> None:
    view = cluster(node("n1", zone="a"), node("n2", zone="b"), web("p1", "n1"))
    found = outcome(web(topologySpreadConstraints=[constraint()]), view, build())
    assert isinstance(found, Found)
    assert found.node == "n2"
    both = apart(term("web", ZONE))
    view = cluster(node("n1", zone="a"), node("n2", zone="b"), web("p1", "n1"), web("p2", "n2"))
    none = outcome(web(affinity=both), view)
    assert isinstance(none, NotFound)
    assert none.message == (
        "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."
    )
