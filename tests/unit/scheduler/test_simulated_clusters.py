"""Over many seeds: whatever comes late or goes wrong, no node is overcommitted, no hard rule is
broken, budgets are kept where they can be, and every pod that can have a node gets one.

`PYKUBELET_SEEDS=2000` plays more of them.
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import pytest

from pykubelet.objects import quantity
from pykubelet.scheduler.actions import Evict
from tests.unit.scheduler.build import HOSTNAME, ZONE, node, pod
from tests.unit.scheduler.simulation import Cluster
from tests.unit.scheduler.test_rules_about_other_pods import (
    _allowed_by_affinity,
    _allowed_by_spread,
    apart,
    constraint,
    near,
    term,
)

Json = dict[str, Any]
SEEDS = range(int(os.environ.get("PYKUBELET_SEEDS", "40")))
APPS = ("web", "db", "log", "job")
QUIET = 1200.0
"""Long enough for every back-off."""


def _cpu(pod: Json) -> Fraction:
    requests = pod["spec"]["containers"][0]["resources"]["requests"]
    return quantity.parse(requests.get("cpu", 0))


def _on(cluster: Cluster, name: str) -> list[Json]:
    return [p for p in cluster.pods.values() if p["spec"].get("nodeName") == name]


def _placed(cluster: Cluster) -> list[Json]:
    return [p for p in cluster.pods.values() if p["spec"].get("nodeName") in cluster.nodes]


def _fits(cluster: Cluster, one: Json, name: str) -> bool:
    there = [p for p in _on(cluster, name) if p is not one]
    allocatable = cluster.nodes[name]["status"]["allocatable"]
    taken = sum((_cpu(p) for p in there), start=_cpu(one))
    return taken <= quantity.parse(allocatable["cpu"]) and len(there) < int(allocatable["pods"])


def _may_run(cluster: Cluster, one: Json, name: str) -> bool:
    """By a plain reading of the rules, over the whole truth."""
    there = cluster.nodes[name]
    wanted = one["spec"].get("nodeSelector") or {}
    others = [p for p in _placed(cluster) if p is not one]
    return (
        _fits(cluster, one, name)
        and not there["spec"]["unschedulable"]
        and all(there["metadata"]["labels"].get(k) == v for k, v in wanted.items())
        and _allowed_by_affinity(one, name, others, cluster.nodes)
        and _allowed_by_spread(one, name, others, cluster.nodes)
    )


def _left_over(cluster: Cluster) -> None:
    """Every pod without a node has none that does."""
    for key, one in cluster.pods.items():
        if not one["spec"].get("nodeName"):
            able = [name for name in cluster.nodes if _may_run(cluster, one, name)]
            assert not able, f"{key} could run on {able}"


def _never_overcommitted(cluster: Cluster) -> None:
    def check(one: Json, name: str) -> None:
        if name in cluster.nodes:
            assert _fits(cluster, one, name), f"{one['metadata']['name']} on {name}"
            labels = cluster.nodes[name]["metadata"]["labels"]
            for other in _placed(cluster):
                assert not _apart(one, other, labels, cluster), (one, other)

    cluster.on_bind = check


def _apart(one: Json, other: Json, labels: Json, cluster: Cluster) -> bool:
    """Whether one of two pods refuses the other, at this place."""
    there = cluster.nodes[other["spec"]["nodeName"]]["metadata"]["labels"]
    for mine, theirs in ((one, other), (other, one)):
        side = (mine["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
        for t in side.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            key, app = t["topologyKey"], t["labelSelector"]["matchLabels"]["app"]
            same = key in labels and labels.get(key) == there.get(key)
            if same and theirs["metadata"]["labels"]["app"] == app:
                return True
    return False


def _some_pod(cluster: Cluster, number: int, **more: Any) -> Json:
    random = cluster.random
    app = random.choice(APPS)
    spec: Json = {}
    roll = random.random()
    if roll < 0.25:
        spec["affinity"] = apart(term(app if random.random() < 0.7 else "web", HOSTNAME))
    elif roll < 0.35:
        spec["affinity"] = near(term(random.choice(APPS), ZONE))
    elif roll < 0.45:
        spec["nodeSelector"] = {"disk": "ssd"}
    cpu = random.choice(["100m", "500m", "1", "2", "3"])
    one = pod(f"p{number}", cpu=cpu, labels={"app": app}, **{**spec, **more})
    one["metadata"]["uid"] = f"u{number}"
    return one


def _some_node(cluster: Cluster, name: str) -> Json:
    random = cluster.random
    disk = {"disk": random.choice(["ssd", "hdd"])}
    zone = random.choice(["a", "b", "c"])
    return node(name, cpu=random.choice(["2", "4"]), zone=zone, labels=disk,
                room=random.choice([3, 110]))  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cluster_in_turmoil(seed: int) -> None:
    cluster = Cluster(seed)
    random = cluster.random
    _never_overcommitted(cluster)
    for number in range(random.randint(1, 8)):
        cluster.put_node(_some_node(cluster, f"n{number}"))
    for number in range(120):
        roll = random.random()
        if roll < 0.6:
            priority = random.choice([0, 0, 0, 5, 10])
            cluster.put_pod(_some_pod(cluster, number, priority=priority))
        elif roll < 0.75 and cluster.pods:
            cluster.drop_pod(random.choice(list(cluster.pods)))
        elif roll < 0.82:
            cluster.put_node(_some_node(cluster, f"m{number}"))
        elif roll < 0.87 and cluster.nodes:
            cluster.drop_node(random.choice(list(cluster.nodes)))
        elif roll < 0.92 and cluster.nodes:
            known = random.choice(list(cluster.nodes.values()))
            cordoned = not known["spec"]["unschedulable"]
            cluster.put_node({**known, "spec": {**known["spec"], "unschedulable": cordoned}})
        elif roll < 0.95:
            cluster.restart()
        cluster.run(cluster.now + random.choice([0, 0.05, 0.5, 5]))
    cluster.run(cluster.now + QUIET)
    _left_over(cluster)
    assert cluster.bindings


@pytest.mark.parametrize("seed", SEEDS)
def test_a_group_of_pods_is_never_spread_more_unevenly_than_it_may(seed: int) -> None:
    cluster = Cluster(seed, faults=False)
    random = cluster.random
    _never_overcommitted(cluster)
    for number in range(random.randint(3, 9)):
        cluster.put_node(_some_node(cluster, f"n{number}"))
    skew = random.randint(1, 2)
    for number in range(60):
        spread = [constraint(random.choice([ZONE, ZONE, HOSTNAME]), skew)]
        one = pod(f"p{number}", cpu="200m", labels={"app": "web"}, topologySpreadConstraints=spread)
        cluster.put_pod(one)
        cluster.run(cluster.now + random.choice([0, 0, 0.1, 1]))
    cluster.run(cluster.now + QUIET)
    _left_over(cluster)
    zones: dict[str, int] = {n["metadata"]["labels"][ZONE]: 0 for n in cluster.nodes.values()}
    kept = [p for p in _placed(cluster)
            if p["spec"]["topologySpreadConstraints"][0]["topologyKey"] == ZONE]  # fmt: skip
    for one in _placed(cluster):
        zones[cluster.nodes[one["spec"]["nodeName"]]["metadata"]["labels"][ZONE]] += 1
    if len(kept) == len(_placed(cluster)):
        assert max(zones.values()) - min(zones.values()) <= skew


@pytest.mark.parametrize("seed", SEEDS)
def test_important_pods_get_room_and_budgets_are_kept_where_they_can_be(seed: int) -> None:
    cluster = Cluster(seed)
    random = cluster.random
    _never_overcommitted(cluster)
    cluster.put_budget("default/b", _budget("db", 0))
    cluster.on_evict = lambda evictions: _spares_the_protected(cluster, evictions)
    for number in range(random.randint(2, 5)):
        cluster.put_node(node(f"n{number}", cpu="4"))
    for number in range(40):
        app = random.choice(["db", "web", "web"])
        cpu = random.choice(["500m", "1"])
        cluster.put_pod(pod(f"low{number}", cpu=cpu, labels={"app": app}))
    cluster.run(60)
    for number in range(8):
        cluster.put_pod(pod(f"vip{number}", cpu=random.choice(["1", "2"]), priority=100,
                            labels={"app": "vip"}))  # fmt: skip
        cluster.run(cluster.now + random.choice([0, 1, 40]))
    cluster.run(cluster.now + QUIET)
    _left_over(cluster)
    waiting = [p for p in cluster.pods.values()
               if not p["spec"].get("nodeName") and p["spec"]["priority"] == 100]  # fmt: skip
    for one in waiting:
        for name in cluster.nodes:
            stay = [p for p in _on(cluster, name) if p["spec"]["priority"] >= 100]
            assert sum(map(_cpu, stay), start=_cpu(one)) > 4, "room could have been made"


def _budget(app: str, allowed: int) -> Json:
    return {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed},
    }


def _spares_the_protected(cluster: Cluster, evictions: list[Evict]) -> None:
    """If one that the budget protects has to leave, no node would have done without."""
    if all(one.pod.labels["app"] != "db" for one in evictions):
        return
    view, preemptor = cluster.brain.view, evictions[0].preemptor
    wanted = preemptor.shape.requests["cpu"]
    for place in view.nodes:
        waiting = view.nominated.get(place.name, {}).values()
        stays = [p for p in (*place.pods.values(), *waiting)
                 if p.uid != preemptor.uid
                 and (p.labels["app"] == "db" or p.priority >= preemptor.priority)]  # fmt: skip
        leaves = [p for p in place.pods.values() if p.priority < preemptor.priority
                  and p.labels["app"] != "db"]  # fmt: skip
        taken = sum(p.shape.requests["cpu"] for p in stays)
        assert not leaves or taken + wanted > place.facts.allocatable["cpu"], place.name


def test_a_seed_plays_the_same_every_time() -> None:
    def play() -> list[tuple[str, str | None]]:
        cluster = Cluster(7)
        for number in range(5):
            cluster.put_node(_some_node(cluster, f"n{number}"))
        for number in range(50):
            cluster.put_pod(_some_pod(cluster, number))
            cluster.run(cluster.now + 0.1)
        cluster.run(cluster.now + 60)
        return [(key, one["spec"].get("nodeName")) for key, one in cluster.pods.items()]

    assert play() == play()
