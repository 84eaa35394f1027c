"""Deployment: rollouts, sizes, revisions, conditions by values, and its promises in any trouble."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.client.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from pykubelet.clock import rfc3339
from pykubelet.controllers.deployment import DeploymentController, decision, history, scaling
from pykubelet.controllers.deployment.model import REVISION, limits
from pykubelet.controllers.replicaset import ReplicaSetController
from pykubelet.controllers.templates import same_template
from tests.unit.controllers.cluster import START
from tests.unit.controllers.simulation import Simulation, seeds, template

Json = dict[str, Any]
NOW = START


def deployment(replicas: int = 3, image: str = "web:1", **spec: Any) -> Json:
    strategy = spec.pop("strategy", {"maxSurge": 1, "maxUnavailable": 1})
    rolling = {"type": "RollingUpdate", "rollingUpdate": strategy}
    return {
        "metadata": {
            "name": "web", "namespace": "default", "uid": "d", "generation": 1, "annotations": {},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image=image),
            "strategy": rolling if isinstance(strategy, dict) else {"type": strategy},
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }  # fmt: skip


def replica_set(
    image: str, size: int, available: int | None = None, number: int = 1, of: int | None = None
) -> Json:
    owner = deployment(of if of is not None else 3, image)
    made = history.new_replica_set(owner, [], size)
    made["metadata"] |= {
        "uid": image,
        "generation": 1,
        "creationTimestamp": rfc3339(NOW + number),
    }
    made["metadata"]["annotations"] |= {REVISION: str(number)}
    available = size if available is None else available
    made["status"] = {
        "replicas": size,
        "readyReplicas": available,
        "availableReplicas": available,
        "observedGeneration": 1,
    }
    return made


def sizes(found: decision.Decision) -> dict[str, int]:
    return {old["metadata"]["uid"]: new["spec"]["replicas"] for old, new in found.update}


def decide(d: Json, *sets: Json, old_pods_run: bool = False) -> decision.Decision:
    return decision.decide(d, list(sets), old_pods_run, NOW)


def condition(status: Json, kind: str) -> Json:
    return next(c for c in status["conditions"] if c["type"] == kind)


# -- rolling -------------------------------------------------------------------------------------


def test_the_first_replica_set_gets_the_whole_size() -> None:
    made = decide(deployment(3)).create
    assert made is not None
    assert made["spec"]["replicas"] == 3
    assert made["metadata"]["annotations"][REVISION] == "1"
    hash_ = made["metadata"]["labels"]["pod-template-hash"]
    assert made["metadata"]["name"] == f"web-{hash_}"
    assert made["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": hash_}


def test_a_new_template_begins_with_what_the_surge_allows() -> None:
    made = decide(deployment(3, "web:2"), replica_set("web:1", 3)).create
    assert made is not None
    assert made["spec"]["replicas"] == 1


def test_old_pods_go_only_as_far_as_enough_stay_available() -> None:
    found = decide(deployment(3, "web:2"), replica_set("web:1", 3), replica_set("web:2", 1, 0, 2))
    assert sizes(found) == {"web:1": 2}


def test_the_new_one_grows_into_the_room_that_the_old_one_left() -> None:
    found = decide(deployment(3, "web:2"), replica_set("web:1", 2), replica_set("web:2", 1, 0, 2))
    assert sizes(found) == {"web:2": 2}


def test_without_room_nothing_moves() -> None:
    found = decide(deployment(3, "web:2"), replica_set("web:1", 2), replica_set("web:2", 2, 0, 2))
    assert not found.update


def test_old_pods_that_serve_nobody_go_first() -> None:
    old, older = replica_set("web:2", 2, 2, 2), replica_set("web:1", 1, 0, 1)
    found = decide(deployment(3, "web:3"), older, old, replica_set("web:3", 1, 0, 3))
    assert sizes(found) == {"web:1": 0}


def test_a_pod_still_to_be_deleted_leaves_no_room() -> None:
    old = replica_set("web:1", 2)
    old["status"]["replicas"] = 3
    found = decide(deployment(3, "web:2"), old, replica_set("web:2", 1, 0, 2))
    assert "web:2" not in sizes(found)


def test_no_step_is_taken_from_figures_that_are_not_acknowledged() -> None:
    old = replica_set("web:1", 3)
    old["metadata"]["generation"] = 2
    assert not decide(deployment(3, "web:2"), old, replica_set("web:2", 1, 1, 2)).update


def test_surge_and_unavailability_of_nothing_would_never_move_so_one_may_be_missing() -> None:
    assert limits(deployment(3, strategy={"maxSurge": 0, "maxUnavailable": "10%"})) == (0, 1)
    assert limits(deployment(10, strategy={"maxSurge": "25%", "maxUnavailable": "25%"})) == (3, 2)


# -- recreate ------------------------------------------------------------------------------------


def test_recreating_stops_everything_before_it_begins() -> None:
    d = deployment(3, "web:2", strategy="Recreate")
    assert sizes(decide(d, replica_set("web:1", 3))) == {"web:1": 0}
    assert decide(d, replica_set("web:1", 0), old_pods_run=True).create is None
    made = decide(d, replica_set("web:1", 0)).create
    assert made is not None
    assert made["spec"]["replicas"] == 3


# -- scaling -------------------------------------------------------------------------------------


def test_a_new_size_goes_to_the_only_replica_set() -> None:
    assert sizes(decide(deployment(7), replica_set("web:1", 3))) == {"web:1": 7}


def test_a_new_size_in_the_middle_of_a_rollout_is_spread_in_proportion() -> None:
    d = deployment(30, "web:2", strategy={"maxSurge": 0, "maxUnavailable": 3})
    old = replica_set("web:1", 8, 8, 1, of=10)
    new = replica_set("web:2", 2, 2, 2, of=10)
    for one in (old, new):
        one["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"] = "10"
    assert sizes(decide(d, old, new)) == {"web:1": 24, "web:2": 6}


def test_scaling_to_nothing_takes_all_away() -> None:
    old, new = replica_set("web:1", 2, number=1), replica_set("web:2", 2, number=2)
    assert sizes(decide(deployment(0, "web:2"), old, new)) == {"web:1": 0, "web:2": 0}


@pytest.mark.parametrize("wanted", range(1, 40, 3))
@pytest.mark.parametrize("parts", [(1, 2, 3), (5, 5, 5), (9, 1, 1), (2, 9)])
def test_spreading_always_adds_up(wanted: int, parts: tuple[int, ...]) -> None:
    d = deployment(wanted, "none", strategy={"maxSurge": 2, "maxUnavailable": 0})
    old = [replica_set(f"web:{n}", size, number=n, of=sum(parts)) for n, size in enumerate(parts)]
    found = {r["metadata"]["uid"]: size for r, size in scaling.spread(d, None, old)}
    total = sum(found.get(r["metadata"]["uid"], r["spec"]["replicas"]) for r in old)
    assert total == wanted + 2


def test_paused_it_is_still_scaled_but_not_rolled_out() -> None:
    d = deployment(5, "web:2", paused=True)
    found = decide(d, replica_set("web:1", 3))
    assert found.create is None
    assert sizes(found) == {"web:1": 5}
    assert condition(found.status, "Progressing")["reason"] == "DeploymentPaused"


# -- revisions -----------------------------------------------------------------------------------


def test_going_back_gives_the_old_replica_set_a_new_number_and_keeps_its_past() -> None:
    first, second = replica_set("web:1", 0, number=1), replica_set("web:2", 3, number=2)
    ((_, new),) = decide(deployment(3, "web:1"), first, second).update
    assert new["metadata"]["annotations"][REVISION] == "3"
    assert new["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


def test_the_oldest_revisions_beyond_the_limit_are_cleared_away() -> None:
    old = [replica_set(f"web:{n}", 0, number=n) for n in range(1, 5)]
    found = decide(deployment(3, "now", revisionHistoryLimit=2), *old, replica_set("now", 3, 3, 9))
    gone = [one["metadata"]["uid"] for one in found.delete]
    assert gone == ["web:1", "web:2"]


def test_a_collision_gives_another_name() -> None:
    d = deployment()
    d["status"] = {"collisionCount": 1}
    assert (
        history.new_replica_set(d, [], 1)["metadata"]["name"]
        != history.new_replica_set(deployment(), [], 1)["metadata"]["name"]
    )


def test_templates_are_equal_but_for_the_hash_label() -> None:
    made = history.new_replica_set(deployment(), [], 1)
    assert same_template(made["spec"]["template"], template())
    assert not same_template(made["spec"]["template"], template(image="web:2"))


# -- conditions ----------------------------------------------------------------------------------


def test_when_all_are_new_and_available_it_is_done() -> None:
    found = decide(deployment(3), replica_set("web:1", 3))
    assert condition(found.status, "Progressing")["reason"] == "NewReplicaSetAvailable"
    assert condition(found.status, "Available")["status"] == "True"
    assert found.look_in is None


def test_without_progress_within_the_deadline_it_is_stuck() -> None:
    d = deployment(3, progressDeadlineSeconds=60)
    stale = replica_set("web:1", 3, 0)
    begun = decide(d, stale)
    assert condition(begun.status, "Progressing")["reason"] == "ReplicaSetUpdated"
    assert begun.look_in == 60
    d["status"] = begun.status
    late = decision.decide(d, [stale], False, NOW + 61)
    assert condition(late.status, "Progressing")["reason"] == "ProgressDeadlineExceeded"
    d["status"] = late.status
    well = decision.decide(d, [replica_set("web:1", 3)], False, NOW + 90)
    assert condition(well.status, "Progressing")["status"] == "True"


def test_a_replica_set_that_cannot_make_pods_is_told_of() -> None:
    poor = replica_set("web:1", 3, 0)
    poor["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    ]
    status = decide(deployment(3), poor).status
    assert condition(status, "ReplicaFailure")["message"] == "quota"


# -- in trouble ----------------------------------------------------------------------------------


def living(sim: Simulation) -> list[Json]:
    return [p for p in sim.cluster.all(PODS) if "deletionTimestamp" not in p["metadata"]]


def available(sim: Simulation) -> int:
    return sum(
        any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in p["status"].get("conditions", ())
        )
        for p in living(sim)
    )


def started(seed: int, **spec: Any) -> Simulation:
    sim = Simulation(seed, [DeploymentController, ReplicaSetController])
    sim.flaky = False
    made = deployment(**spec)
    sim.cluster.create(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": made["spec"]})
    return sim


def set_image(sim: Simulation, image: str) -> None:
    sim.change(
        DEPLOYMENTS,
        "web",
        lambda d: d["spec"]["template"]["spec"]["containers"][0].update(image=image),
    )


def images(sim: Simulation) -> set[str]:
    return {p["spec"]["containers"][0]["image"] for p in sim.cluster.all(PODS)}


@pytest.mark.parametrize("seed", seeds(40))
def test_surge_and_unavailability_are_kept_whatever_happens(seed: int) -> None:
    surge, missing = [(1, 0), (0, 1), (2, 1), (3, 3)][seed % 4]
    strategy = {"maxSurge": surge, "maxUnavailable": missing}
    sim = started(seed, replicas=5, strategy=strategy)
    reached = False

    def check(*change: Any) -> None:
        nonlocal reached
        assert len(living(sim)) <= 5 + surge
        serving = available(sim)
        reached = reached or serving == 5
        assert not reached or serving >= 5 - missing

    sim.cluster.observers.append(check)
    sim.run(300)
    for image in ("web:2", "web:bad", "web:3", "web:1"):
        set_image(sim, image)
        sim.run(300)
    sim.settle()
    assert images(sim) == {"web:1"}
    assert len(living(sim)) == 5
    status = sim.cluster.get(DEPLOYMENTS, "web")["status"]
    assert status["updatedReplicas"] == status["availableReplicas"] == 5
    assert condition(status, "Progressing")["reason"] == "NewReplicaSetAvailable"


@pytest.mark.parametrize("seed", seeds(20))
def test_recreating_never_runs_two_templates_at_once(seed: int) -> None:
    sim = started(seed, replicas=3, strategy="Recreate")

    def check(resource: Any, old: Json | None, new: Json | None) -> None:
        running = {
            p["spec"]["containers"][0]["image"]
            for p in sim.cluster.all(PODS)
            if p["status"]["phase"] not in ("Succeeded", "Failed")
        }
        assert len(running) <= 1

    sim.cluster.observers.append(check)
    sim.run(200)
    for image in ("web:2", "web:3"):
        set_image(sim, image)
        sim.run(250)
    sim.settle()
    assert images(sim) == {"web:3"}


@pytest.mark.parametrize("seed", seeds(20))
def test_scaled_and_changed_again_and_again_with_flaky_pods_it_comes_to_rest(seed: int) -> None:
    sim = started(seed, replicas=4, revisionHistoryLimit=1)
    sim.flaky = True
    for number in range(6):
        sim.run(60)
        set_image(sim, f"web:{number % 4}")
        sim.run(60)
        sim.change(DEPLOYMENTS, "web", lambda d, n=number: d["spec"].update(replicas=2 + n))
    sim.settle()
    assert images(sim) == {"web:1"}
    assert len(living(sim)) == 7
    assert len(sim.cluster.all(REPLICA_SETS)) == 2
