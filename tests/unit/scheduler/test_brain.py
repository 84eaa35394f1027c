"""What the scheduler does about what it sees: decisions, sentences, preemption, bindings."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.scheduler.actions import Bind, Evict, Mark, Prepare, Tell, Withdraw
from pykubelet.scheduler.brain import Brain, Turn
from pykubelet.scheduler.profile import nodes_to_find
from pykubelet.scheduler.profiles import PluginSet, ProfileSettings
from tests.unit.scheduler.build import brain, node, observe, pod, turns
from tests.unit.scheduler.test_volume_rules import claim, storage_class, volume

Json = dict[str, Any]


def bound(made: list[Turn]) -> dict[str, str]:
    return {
        action.pod.name: action.node
        for turn in made
        for action in turn.actions
        if isinstance(action, Bind)
    }


def evicted(made: list[Turn]) -> list[str]:
    return [a.pod.name for turn in made for a in turn.actions if isinstance(a, Evict)]


def message(turn: Turn) -> str:
    (told,) = (action for action in turn.actions if isinstance(action, Tell))
    assert (told.kind, told.reason) == ("Warning", "FailedScheduling")
    return told.message


def test_pods_go_to_nodes_with_room_and_no_node_takes_more_than_it_has() -> None:
    one = brain(node("n1", cpu="2"), node("n2", cpu="2"),
                *(pod(f"p{n}", cpu="1") for n in range(5)))  # fmt: skip
    made = turns(one)
    placed = list(bound(made).values())
    assert sorted(placed) == ["n1", "n1", "n2", "n2"]
    assert message(made[-1]) == (
        "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: "
        "2 No preemption victims found for incoming pod."
    )


def test_the_sentence_says_per_reason_how_many_nodes_it_holds_for() -> None:
    """Upstream's sentence: what `kubectl describe pod` shows while a pod is pending."""
    taint = {"key": "k", "effect": "NoSchedule"}
    one = brain(node("n1", cpu="1"), node("n2", taints=[taint]), node("n3", taints=[taint]),
                pod("other", cpu="1", on="n1"), pod(cpu="500m"))  # fmt: skip
    (turn,) = turns(one)
    assert message(turn) == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). "
        "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )
    (mark,) = (a for a in turn.actions if isinstance(a, Mark))
    assert (mark.reason, mark.message, mark.nominated) == ("Unschedulable", message(turn), None)


def test_a_status_that_says_it_already_is_not_written_again() -> None:
    one = brain(node("n1", cpu="1"), pod(cpu="2"))
    (first,) = turns(one)
    said = message(first)
    condition = {"type": "PodScheduled", "status": "False", "message": said}
    observe(one, pod(cpu="2", status={"conditions": [condition]}), 1)
    (again,) = turns(one, 301)
    assert not any(isinstance(a, Mark) for a in again.actions)


def test_without_nodes_there_is_no_preemption_to_talk_about() -> None:
    (turn,) = turns(brain(pod()))
    assert message(turn) == "no nodes available to schedule pods"


def test_a_claim_that_is_missing_fails_the_pod_before_any_node_is_looked_at() -> None:
    (turn,) = turns(brain(node(), pod(claims=["data"])))
    assert message(turn) == (
        '0/1 nodes are available: persistentvolumeclaim "data" not found. preemption: '
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


class TestHints:
    def test_only_a_node_on_which_it_fits_wakes_a_pod(self) -> None:
        one = brain(node("n1", cpu="1"), pod(cpu="2"))
        turns(one)
        observe(one, node("n2", cpu="1"), 10)
        assert turns(one, 100) == []
        tainted = node("n3", cpu="4", taints=[{"key": "k", "effect": "NoSchedule"}])
        observe(one, tainted, 100)
        made = turns(one, 100)
        assert not bound(made)  # Fit alone had rejected it, so the taint was news
        observe(one, node("n3", cpu="4", labels={"x": "y"}), 200)
        assert bound(turns(one, 200)) == {"p1": "n3"}

    def test_a_heartbeat_of_a_node_wakes_nobody(self) -> None:
        one = brain(node("n1", cpu="1"), pod(cpu="2"))
        turns(one)
        observe(one, node("n1", cpu="1"), 100)
        assert turns(one, 100) == []

    def test_a_pod_that_leaves_wakes_who_fits_then(self) -> None:
        others = [pod(f"o{n}", cpu="1", on="n1") for n in range(2)]
        one = brain(node("n1", cpu="2"), *others, pod(cpu="2"))
        turns(one)
        one.pod_gone("default/o0", 100)
        assert turns(one, 100) == []
        one.pod_gone("default/o1", 101)
        assert bound(turns(one, 101)) == {"p1": "n1"}

    def test_a_claim_that_comes_wakes_its_pod(self) -> None:
        one = brain(node(), storage_class(), pod(claims=["data"]))
        turns(one)
        observe(one, claim(volume="v1"), 100)
        observe(one, volume("v1"), 100)
        assert bound(turns(one, 102)) == {"p1": "n1"}

    def test_a_pod_to_be_near_wakes_who_waits_for_it(self) -> None:
        wanted = {"topologyKey": "kubernetes.io/hostname",
                  "labelSelector": {"matchLabels": {"app": "db"}}}  # fmt: skip
        near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [wanted]}}
        one = brain(node("n1"), node("n2"), pod(affinity=near))
        turns(one)
        observe(one, pod("x", labels={"app": "x"}, on="n1"), 100)
        assert turns(one, 100) == []
        observe(one, pod("db", labels={"app": "db"}, on="n2"), 100)
        assert bound(turns(one, 100)) == {"p1": "n2"}

    def test_a_thousand_hopeless_pods_cost_one_search(self) -> None:
        one = brain(*(node(f"n{n}", cpu="1") for n in range(3)))
        for number in range(1000):
            observe(one, pod(f"p{number}", cpu="2"))
        made = turns(one)
        assert len(made) == 1000
        assert len({message(turn) for turn in made}) == 1


class TestBinding:
    def test_a_decision_counts_before_the_server_has_confirmed_it(self) -> None:
        one = brain(node("n1", cpu="1"), pod("a", cpu="1"), pod("b", cpu="1"))
        assert bound(turns(one)) == {"a": "n1"}

    def test_a_failed_binding_gives_the_place_back_and_the_pod_another_try(self) -> None:
        one = brain(node("n1", cpu="1"), pod("a", cpu="1"))
        (turn,) = turns(one)
        (bind,) = turn.actions
        assert isinstance(bind, Bind)
        said = list(one.not_bound(bind.pod, "the server is away", 0))
        assert [type(action) for action in said] == [Mark, Tell]
        assert turns(one, 0.5) == []
        assert bound(turns(one, 1)) == {"a": "n1"}

    def test_an_old_word_about_a_pod_that_is_being_bound_changes_nothing(self) -> None:
        one = brain(node("n1"), pod("a"))
        turns(one)
        observe(one, pod("a", status={"phase": "Pending"}))
        assert turns(one, 100) == []

    def test_a_pod_deleted_while_it_is_bound_gives_its_place_back(self) -> None:
        one = brain(node("n1", cpu="1"), pod("a", cpu="1"))
        turns(one)
        one.pod_gone("default/a", 1)
        observe(one, pod("b", cpu="1"), 1)
        assert bound(turns(one, 1)) == {"b": "n1"}

    def test_success_is_told_as_upstream_tells_it(self) -> None:
        one = brain(node("n1"), pod("a"))
        (turn,) = turns(one)
        bind = turn.actions[0]
        (told,) = one.bound(bind.pod)
        assert isinstance(told, Tell)
        assert (told.reason, told.message) == (
            "Scheduled", "Successfully assigned default/a to n1"
        )  # fmt: skip

    def test_pods_of_other_schedulers_are_left_alone_but_counted(self) -> None:
        placed = pod("b", cpu="1", on="n1", schedulerName="mine")
        one = brain(node("n1", cpu="1"), pod("a", schedulerName="mine"), placed, pod("c", cpu="1"))
        made = turns(one)
        assert [turn.pod.name for turn in made] == ["c"]
        assert not bound(made)


class TestVolumes:
    def test_a_pod_is_bound_when_its_volumes_are(self) -> None:
        one = brain(node("n1"), claim(), storage_class(), volume("v1"), pod(claims=["data"]))
        (turn,) = turns(one)
        (prepare,) = turn.actions
        assert isinstance(prepare, Prepare)
        assert prepare.volumes.bind == (("v1", "default/data"),)
        one.prepared(prepare.pod)
        assert turns(one, 5) == []
        observe(one, claim(volume="v1"), 6)
        assert bound(turns(one, 6)) == {"p1": "n1"}

    def test_a_volume_is_promised_to_one_pod_only(self) -> None:
        one = brain(node("n1"), claim("a"), claim("b"), storage_class(), volume("v1"),
                    pod("p1", claims=["a"]), pod("p2", claims=["b"]))  # fmt: skip
        first, second = turns(one)
        assert isinstance(first.actions[0], Prepare)
        assert "didn't find available persistent volumes" in message(second)

    def test_volumes_that_never_come_free_the_place_again(self) -> None:
        one = brain(node("n1"), claim(of="h"), storage_class("h", "p"), pod(claims=["data"]))
        (turn,) = turns(one)
        one.prepared(turn.pod)
        assert one.due() == 600
        made = turns(one, 600)
        assert message(made[0]) == "binding volumes: context deadline exceeded"
        assert not one.view.assumed("default/p1")

    def test_a_provisioner_that_gives_up_makes_the_pod_try_elsewhere(self) -> None:
        one = brain(node("n1"), claim(of="h"), storage_class("h", "p"), pod(claims=["data"]))
        (turn,) = turns(one)
        one.prepared(turn.pod)
        chosen = {"volume.kubernetes.io/selected-node": "n1"}
        observe(one, claim(of="h", annotations=chosen), 1)
        assert turns(one, 1) == []
        observe(one, claim(of="h"), 2)
        (failed,) = turns(one, 2)
        assert message(failed) == ('binding volumes: provisioning failed for PVC "default/data"')


class TestPreemption:
    def test_the_least_important_pods_that_suffice_have_to_leave(self) -> None:
        one = brain(
            node("n1", cpu="3"),
            *(pod(f"o{p}", cpu="1", priority=p, on="n1") for p in (1, 2, 3)),
            pod(cpu="2", priority=10),
        )
        made = turns(one)
        assert sorted(evicted(made)) == ["o1", "o2"]
        (mark,) = (a for a in made[0].actions if isinstance(a, Mark))
        assert mark.nominated == "n1"

    def test_when_they_have_left_the_pod_gets_its_place(self) -> None:
        one = brain(node("n1", cpu="1"), pod("o", cpu="1", on="n1"), pod(cpu="1", priority=10))
        turns(one)
        leaving = pod("o", cpu="1", on="n1")
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        observe(one, leaving, 5)
        assert turns(one, 5) == []
        one.pod_gone("default/o", 30)
        assert bound(turns(one, 30)) == {"p1": "n1"}

    def test_a_place_made_for_one_is_not_taken_by_a_less_important_one(self) -> None:
        one = brain(node("n1", cpu="1"), pod("o", cpu="1", on="n1"), pod(cpu="1", priority=10))
        turns(one)
        one.pod_gone("default/o", 0.1)  # the pod for which it was is still backing off
        observe(one, pod("thief", cpu="1", priority=5), 0.1)
        (turn,) = turns(one, 0.1)
        assert turn.result == "unschedulable"
        assert bound(turns(one, 1.2)) == {"p1": "n1"}

    def test_a_more_important_pod_takes_over_a_nomination(self) -> None:
        one = brain(node("n1", cpu="1"), pod("o", cpu="1", on="n1"), pod("a", cpu="1", priority=5))
        turns(one)
        observe(one, pod("b", cpu="1", priority=10), 1)
        made = turns(one, 1)
        withdrawn = [a.pod.name for t in made for a in t.actions if isinstance(a, Withdraw)]
        assert withdrawn == ["a"]

    def test_nobody_leaves_for_a_pod_that_would_not_fit_even_then(self) -> None:
        vip = pod("vip", cpu="1", priority=99, on="n1")
        other = pod("o", cpu="1", on="n1")
        one = brain(node("n1", cpu="2"), other, vip, pod(cpu="2", priority=10))
        (turn,) = turns(one)
        assert not evicted([turn])
        assert "preemption: 0/1 nodes are available: 1 Insufficient cpu." in message(turn)

    def test_a_pod_that_never_preempts_does_not(self) -> None:
        one = brain(node("n1", cpu="1"), pod("o", cpu="1", on="n1"),
                    pod(cpu="1", priority=10, preemptionPolicy="Never"))  # fmt: skip
        (turn,) = turns(one)
        assert message(turn).endswith("preemption: not eligible due to preemptionPolicy=Never.")

    def test_a_disruption_budget_is_kept_where_another_node_does(self) -> None:
        budget = {
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "b", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "db"}}},
            "status": {"disruptionsAllowed": 0},
        }
        one = brain(
            budget, node("n1", cpu="1"), node("n2", cpu="1"),
            pod("db", cpu="1", labels={"app": "db"}, on="n1"),
            pod("web", cpu="1", priority=5, on="n2"),
            pod(cpu="1", priority=10),
        )  # fmt: skip
        assert evicted(turns(one)) == ["web"]

    @pytest.mark.parametrize(
        ("on_n1", "on_n2", "victims"),
        [
            ([(5, "1")], [(3, "1")], "n2"),  # the lowest of the highest priorities
            ([(3, "500m"), (3, "500m")], [(3, "1")], "n2"),  # the fewest
            ([(3, "500m"), (1, "500m")], [(3, "500m"), (2, "500m")], "n1"),  # the lowest sum
        ],
    )
    def test_the_node_is_chosen_whose_victims_matter_least(
        self, on_n1: list[tuple[int, str]], on_n2: list[tuple[int, str]], victims: str
    ) -> None:
        others = [
            pod(f"{where}-{n}", cpu=cpu, priority=priority, on=where)
            for where, there in (("n1", on_n1), ("n2", on_n2))
            for n, (priority, cpu) in enumerate(there)
        ]
        one = brain(node("n1", cpu="1"), node("n2", cpu="1"), *others, pod(cpu="1", priority=9))
        assert {name.partition("-")[0] for name in evicted(turns(one))} == {victims}

    def test_of_equals_the_one_that_started_last_leaves(self) -> None:
        old = {"startTime": "2026-01-01T00:00:00Z"}
        new = {"startTime": "2026-02-01T00:00:00Z"}
        one = brain(
            node("n1", cpu="2"),
            pod("old", cpu="1", on="n1", status=old), pod("new", cpu="1", on="n1", status=new),
            pod(cpu="1", priority=9),
        )  # fmt: skip
        assert evicted(turns(one)) == ["new"]

    def test_a_pod_that_is_in_the_way_of_anti_affinity_can_be_made_to_leave(self) -> None:
        against = {"topologyKey": "kubernetes.io/hostname",
                   "labelSelector": {"matchLabels": {"app": "noisy"}}}  # fmt: skip
        apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [against]}}
        one = brain(node("n1"), pod("noisy", labels={"app": "noisy"}, on="n1"),
                    pod("calm", on="n1"), pod(priority=9, affinity=apart))  # fmt: skip
        assert evicted(turns(one)) == ["noisy"]


class TestProfiles:
    def test_a_profile_without_preemption_says_nothing_about_it(self) -> None:
        off = {"postFilter": PluginSet(disabled=frozenset(("DefaultPreemption",)))}
        settings = ProfileSettings(plugins=off)
        one = brain(node("n1", cpu="1"), pod("o", cpu="1", on="n1"), pod(cpu="1", priority=9),
                    settings=settings)  # fmt: skip
        (turn,) = turns(one)
        assert message(turn) == "0/1 nodes are available: 1 Insufficient cpu."

    def test_a_filter_that_is_off_forbids_nothing(self) -> None:
        off = {"filter": PluginSet(disabled=frozenset(("TaintToleration",)))}
        taint = {"key": "k", "effect": "NoSchedule"}
        one = brain(node("n1", taints=[taint]), pod(), settings=ProfileSettings(plugins=off))
        assert bound(turns(one)) == {"p1": "n1"}

    def test_full_nodes_first_packs_pods(self) -> None:
        strategy = {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 1}]}
        settings = ProfileSettings(
            args={"NodeResourcesFit": {"scoringStrategy": strategy}},
            plugins={"score": PluginSet((("NodeResourcesFit", 10),), frozenset("*"))},
        )
        one = brain(*(node(f"n{n}", cpu="4") for n in range(3)),
                    *(pod(f"p{n}", cpu="1") for n in range(4)), settings=settings)  # fmt: skip
        assert len(set(bound(turns(one)).values())) == 1


@pytest.mark.parametrize(
    ("nodes", "percentage", "expected"),
    [(50, 0, 50), (100, 0, 100), (1000, 0, 420), (5000, 0, 500), (10000, 0, 500),
     (1000, 30, 300), (1000, 100, 1000), (1000, 5, 100)],
)  # fmt: skip
def test_how_many_nodes_are_enough_to_choose_from(
    nodes: int, percentage: int, expected: int
) -> None:
    assert nodes_to_find(nodes, percentage) == expected


def test_the_same_observations_give_the_same_decisions() -> None:
    def play() -> list[str]:
        one: Brain = brain(*(node(f"n{n}", zone=f"z{n % 3}") for n in range(200)))
        for number in range(300):
            observe(one, pod(f"p{number}", cpu="100m", labels={"app": f"a{number % 7}"}))
        return [turn.sentence for turn in turns(one)]

    assert play() == play()
