"""ReplicaSet: how many pods, who goes first, what the status says, and all of it in trouble."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pykubelet.client.errors import Rejected
from pykubelet.client.resources import PODS, REPLICA_SETS
from pykubelet.clock import rfc3339
from pykubelet.controllers import replicaset
from pykubelet.controllers.pods import first_to_go
from pykubelet.controllers.replicaset import ReplicaSetController
from tests.unit.controllers.cluster import START, SimApi
from tests.unit.controllers.simulation import Simulation, seeds, template

Json = dict[str, Any]

NOW = START


def owner(replicas: int | None = 3, **spec: Any) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "generation": 4},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
            **spec,
        },
    }


def pod(name: str, *, ready: float | None = None, node: str = "n", **status: Any) -> Json:
    conditions = []
    if ready is not None:
        conditions = [
            {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(NOW - ready)}
        ]
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "labels": {"app": "web"},
            "creationTimestamp": rfc3339(NOW - 1000),
        },
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": "Running", "conditions": conditions, **status},
    }


def test_what_is_missing_is_made() -> None:
    assert replicaset.decide(owner(3), [pod("a")], NOW).create == 2


def test_no_number_means_one() -> None:
    assert replicaset.decide(owner(None), [], NOW).create == 1


def test_finished_and_ending_pods_do_not_count() -> None:
    ending = pod("b")
    ending["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    found = replicaset.decide(owner(1), [pod("a", phase="Failed"), ending], NOW)
    assert found.create == 1


def test_an_owner_on_its_way_out_makes_and_deletes_nothing() -> None:
    ending = owner(3)
    ending["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    found = replicaset.decide(ending, [], NOW)
    assert (found.create, found.delete) == (0, ())


def test_never_more_than_a_burst_at_once() -> None:
    assert replicaset.decide(owner(10_000), [], NOW).create == replicaset.BURST


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (pod("a", node=""), pod("b")),
        (pod("a", phase="Pending"), pod("b")),
        (pod("a"), pod("b", ready=5)),
        (pod("a", ready=5), pod("b", ready=50)),
        (pod("a", containerStatuses=[{"restartCount": 3}]), pod("b")),
    ],
    ids=["unbound", "pending", "unready", "ready for a short time", "restarted"],
)
def test_the_pod_whose_loss_costs_least_goes_first(first: Json, then: Json) -> None:
    assert [p["metadata"]["name"] for p in first_to_go([then, first], NOW)] == ["a", "b"]


def test_a_pod_among_many_on_its_node_goes_before_one_alone() -> None:
    order = first_to_go([pod("a", node="x"), pod("b", node="y")], NOW, Counter(y=4, x=1))
    assert order[0]["metadata"]["name"] == "b"


def test_the_cost_of_deletion_that_an_annotation_gives_is_heeded() -> None:
    cheap = pod("a", ready=50)
    cheap["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    assert first_to_go([pod("b", ready=5), cheap], NOW)[0] is cheap


def test_a_pod_counts_as_available_only_after_its_seconds_of_readiness() -> None:
    own = [pod("a", ready=4), pod("b", ready=40)]
    rs = owner(2, minReadySeconds=10)
    assert replicaset.status(rs, own, NOW)["availableReplicas"] == 1
    assert replicaset.status(rs, own, NOW)["readyReplicas"] == 2
    assert replicaset.decide(rs, own, NOW).look_in == pytest.approx(6)


def test_a_refusal_stands_in_the_status_until_it_is_over() -> None:
    rs = owner(1)
    rs["status"] = replicaset.status(rs, [], NOW, "exceeded quota")
    (condition,) = rs["status"]["conditions"]
    assert (condition["type"], condition["message"]) == ("ReplicaFailure", "exceeded quota")
    again = replicaset.status(rs, [], NOW + 9, "exceeded quota, in other words")
    assert again == rs["status"], "no write, or it would wake itself for ever"
    assert "conditions" not in replicaset.status(rs, [], NOW)


@pytest.mark.parametrize("seed", seeds(40))
def test_in_any_trouble_there_are_never_too_many_pods_and_at_last_just_enough(seed: int) -> None:
    sim = Simulation(seed, [ReplicaSetController])
    wanted = [5]

    def check(resource: Any, old: Json | None, new: Json | None) -> None:
        if resource is PODS and old is None:
            living = [p for p in sim.cluster.all(PODS) if "deletionTimestamp" not in p["metadata"]]
            # A crash forgets what was made and not yet shown, never what was stored.
            assert len(living) <= max(wanted)

    sim.cluster.observers.append(check)
    sim.cluster.create(REPLICA_SETS, {"metadata": {"name": "web"}, "spec": owner(5)["spec"]})
    sim.run(150)
    for number in (2, 8, 3):
        wanted.append(number)
        sim.change(REPLICA_SETS, "web", lambda rs, n=number: rs["spec"].update(replicas=n))
        sim.run(150)
    sim.settle()
    assert len(sim.cluster.all(PODS)) == 3
    status = sim.cluster.get(REPLICA_SETS, "web")["status"]
    assert (status["replicas"], status["availableReplicas"]) == (3, 3)


def test_pods_that_fit_are_adopted_and_those_that_no_longer_do_are_let_go() -> None:
    sim = Simulation(1, [ReplicaSetController], trouble=False)
    sim.cluster.create(PODS, {"metadata": {"name": "orphan", "labels": {"app": "web"}}, **_spec()})
    sim.cluster.create(REPLICA_SETS, {"metadata": {"name": "web"}, "spec": owner(2)["spec"]})
    sim.settle()
    assert len(sim.cluster.all(PODS)) == 2
    sim.change(PODS, "orphan", lambda p: p["metadata"].update(labels={"app": "mine"}))
    sim.settle()
    assert not sim.cluster.get(PODS, "orphan")["metadata"].get("ownerReferences")
    assert len(sim.cluster.all(PODS)) == 3


def _spec() -> Json:
    return {"spec": template()["spec"]}


def test_refused_again_and_again_it_tries_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    sim = Simulation(1, [ReplicaSetController], trouble=False)
    tries = []

    def refuse(api: SimApi, resource: Any, object_: Json, *more: str) -> Json:
        tries.append(sim.cluster.now)
        raise Rejected(403, "Forbidden", f"exceeded quota, attempt {len(tries)}")

    monkeypatch.setattr(SimApi, "create", refuse)
    sim.cluster.create(REPLICA_SETS, {"metadata": {"name": "web"}, "spec": owner(9)["spec"]})
    sim.settle(horizon=600)
    assert len(tries) < 40
    condition = sim.cluster.get(REPLICA_SETS, "web")["status"]["conditions"][0]
    assert condition["message"] == "exceeded quota, attempt 1"
