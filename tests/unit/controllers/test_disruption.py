"""PodDisruptionBudget: how many pods may be evicted now, by values and before changing pods."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.client.resources import POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS
from pykubelet.clock import rfc3339
from pykubelet.controllers.disruption import DELETION_TIMEOUT, DisruptionController, decide, failed
from pykubelet.controllers.replicaset import ReplicaSetController
from tests.unit.controllers.cluster import START
from tests.unit.controllers.simulation import Simulation, template

Json = dict[str, Any]
NOW = START


def budget(status: Json | None = None, **spec: Any) -> Json:
    return {
        "metadata": {"name": "pdb", "namespace": "default", "generation": 2},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
        "status": status or {},
    }


def pods(ready: int, unready: int = 0) -> list[Json]:
    made = []
    for number in range(ready + unready):
        status = "True" if number < ready else "False"
        conditions = [{"type": "Ready", "status": status}]
        made.append({"metadata": {"name": f"p{number}"}, "status": {"conditions": conditions}})
    return made


@pytest.mark.parametrize(
    ("spec", "ready", "scale", "desired", "allowed"),
    [
        ({"minAvailable": 2}, 3, 0, 2, 1),
        ({"minAvailable": 5}, 3, 0, 5, 0),
        ({"minAvailable": "50%"}, 5, 5, 3, 2),
        ({"maxUnavailable": 1}, 5, 5, 4, 1),
        ({"maxUnavailable": "30%"}, 10, 10, 7, 3),
        ({"maxUnavailable": "25%"}, 3, 3, 2, 1),
        ({"maxUnavailable": 10}, 3, 3, 0, 3),
        ({"maxUnavailable": 1}, 3, 5, 4, 0),
    ],
)
def test_what_is_healthy_beyond_what_must_be_may_be_evicted(
    spec: Json, ready: int, scale: int, desired: int, allowed: int
) -> None:
    status = decide(budget(**spec), pods(ready), scale, NOW).status
    assert (status["desiredHealthy"], status["disruptionsAllowed"]) == (desired, allowed)


def test_without_pods_nothing_may_be_evicted() -> None:
    assert decide(budget(maxUnavailable=3), [], 0, NOW).status["disruptionsAllowed"] == 0


def test_pods_that_are_not_ready_or_going_are_not_healthy() -> None:
    found = pods(3, 1)
    found[0]["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    assert decide(budget(minAvailable=1), found, 0, NOW).status["currentHealthy"] == 2


def test_an_eviction_that_was_granted_counts_until_it_shows_or_is_too_old() -> None:
    status = {"disruptedPods": {"p0": rfc3339(NOW - 20), "p1": rfc3339(NOW - 500), "gone": ""}}
    status["disruptedPods"]["gone"] = rfc3339(NOW)
    found = decide(budget(status, minAvailable=1), pods(3), 0, NOW)
    assert found.status["disruptedPods"] == {"p0": rfc3339(NOW - 20)}
    assert found.status["currentHealthy"] == 2
    assert found.look_in == pytest.approx(DELETION_TIMEOUT - 20)


def test_where_the_whole_is_not_known_nothing_may_be_evicted() -> None:
    status = failed(budget({"disruptionsAllowed": 3}), "no such kind", NOW)
    assert status["disruptionsAllowed"] == 0
    assert status["conditions"][0]["reason"] == "SyncFailed"


def test_the_budget_follows_the_pods_and_the_size_of_what_controls_them() -> None:
    sim = Simulation(3, [DisruptionController, ReplicaSetController], trouble=False)
    spec = {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": template()}
    sim.cluster.create(REPLICA_SETS, {"metadata": {"name": "web"}, "spec": spec})
    sim.cluster.create(
        POD_DISRUPTION_BUDGETS,
        {"metadata": {"name": "pdb"}, "spec": budget(maxUnavailable="50%")["spec"]},
    )
    sim.settle()
    assert sim.cluster.get(POD_DISRUPTION_BUDGETS, "pdb")["status"]["disruptionsAllowed"] == 2
    sim.change(REPLICA_SETS, "web", lambda rs: rs["spec"].update(replicas=8))
    sim.settle()
    status = sim.cluster.get(POD_DISRUPTION_BUDGETS, "pdb")["status"]
    assert (status["expectedPods"], status["disruptionsAllowed"]) == (8, 4)
    assert len(sim.cluster.all(PODS)) == 8
