"""How a Deployment tells that it goes on, is done, or is stuck: its status. Pure.

Available: enough pods serve. Progressing: something has moved within the progress deadline, or all
is done. ReplicaFailure: pods can't be made. kubectl's `rollout status` and `wait` read these.
"""

from __future__ import annotations

from typing import Any

from pykubelet.clock import from_rfc3339, rfc3339
from pykubelet.controllers import pods, reporting
from pykubelet.controllers.deployment.model import NO_DEADLINE, limits, replicas, reported

Json = dict[str, Any]

DONE = "NewReplicaSetAvailable"
STUCK = "ProgressDeadlineExceeded"


def status(
    deployment: Json, new: Json | None, old: list[Json], now: float, *, rolling_out: bool = True
) -> Json:
    """The status to write. `rolling_out` is false where only the size or nothing is looked after
    (paused, scaled, ending): then the progress of the rollout is left as it was told."""
    sets = [*old, new] if new else old
    past = deployment.get("status") or {}
    available = sum(reported(one, "availableReplicas") for one in sets)
    there = sum(reported(one, "replicas") for one in sets)
    found: Json = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": there,
        "updatedReplicas": reported(new, "replicas") if new else 0,
        "readyReplicas": sum(reported(one, "readyReplicas") for one in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(there - available, 0),
        "terminatingReplicas": sum(reported(one, "terminatingReplicas") for one in sets),
    }
    if past.get("collisionCount"):
        found["collisionCount"] = past["collisionCount"]
    conditions = list(past.get("conditions") or ())
    conditions = _set(conditions, _availability(deployment, available, now))
    conditions = _pause(deployment, conditions, now)
    if rolling_out:
        conditions = _progress(deployment, new, found, conditions, now)
    failure = next((c for s in sets if (c := pods.condition(s, "ReplicaFailure"))), None)
    if failure:
        told = reporting.condition(
            "ReplicaFailure", True, failure.get("reason", ""), failure.get("message", ""), now
        )
        conditions = _set(conditions, {**told, "lastUpdateTime": rfc3339(now)})
    else:
        conditions = reporting.without(conditions, "ReplicaFailure")
    return {**found, "conditions": conditions}


def _availability(deployment: Json, available: int, now: float) -> Json:
    enough = available >= replicas(deployment) - limits(deployment)[1]
    reason = "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"
    verb = "has" if enough else "does not have"
    return _made("Available", enough, reason, f"Deployment {verb} minimum availability.", now)


def _pause(deployment: Json, conditions: list[Json], now: float) -> list[Json]:
    """Pausing stops the clock of the progress deadline, resuming starts it anew."""
    told = _of(conditions, "Progressing")
    if not has_deadline(deployment) or (told or {}).get("reason") == STUCK:
        return conditions
    was_paused = told is not None and told.get("reason") == "DeploymentPaused"
    if deployment["spec"].get("paused") and not was_paused:
        new = _made("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now)
        return _set(conditions, new)
    if not deployment["spec"].get("paused") and was_paused:
        new = _made("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now)
        return _set(conditions, new)
    return conditions


def _progress(
    deployment: Json, new: Json | None, found: Json, conditions: list[Json], now: float
) -> list[Json]:
    if not has_deadline(deployment):
        return reporting.without(conditions, "Progressing")
    told = _of(conditions, "Progressing")
    subject = f'ReplicaSet "{new["metadata"]["name"]}"' if new else "Deployment"
    done = told is not None and told.get("reason") == DONE
    if done and found["replicas"] == found["updatedReplicas"]:
        return conditions  # done once is done: pods that fail later concern availability
    if new and is_complete(deployment, found):
        return _set(conditions, _made("Progressing", True, DONE, f"{subject} has progressed.", now))
    if told is None or _has_moved(deployment.get("status") or {}, found):
        reason = "ReplicaSetUpdated" if new else "NewReplicaSetCreated"
        moving = _made("Progressing", True, reason, f"{subject} is progressing.", now)
        if told and told["status"] == "True":
            moving["lastTransitionTime"] = told.get("lastTransitionTime", rfc3339(now))
        return [*reporting.without(conditions, "Progressing"), moving]
    if _is_late(deployment, told, now):
        late = f"{subject} has made no progress within its deadline."
        return _set(conditions, _made("Progressing", False, STUCK, late, now))
    return conditions


def begun(deployment: Json, status: Json, name: str, *, made: bool, now: float) -> Json:
    """The status when a rollout begins, to a replica set just made or to one found again: from now
    on its deadline runs."""
    if not has_deadline(deployment):
        return status
    reason, verb = (
        ("NewReplicaSetCreated", "Created new") if made else ("FoundNewReplicaSet", "Found")
    )
    new = _made("Progressing", True, reason, f'{verb} replica set "{name}"', now)
    return {**status, "conditions": _set(status["conditions"], new)}


def is_complete(deployment: Json, status: Json) -> bool:
    wanted = replicas(deployment)
    fields = ("updatedReplicas", "replicas", "availableReplicas")
    return all(status[field] == wanted for field in fields)


def _has_moved(past: Json, found: Json) -> bool:
    def before(field: str) -> int:
        return int(past.get(field) or 0)

    return bool(
        found["updatedReplicas"] > before("updatedReplicas")
        or found["replicas"] - found["updatedReplicas"]
        < before("replicas") - before("updatedReplicas")
        or found["readyReplicas"] > before("readyReplicas")
        or found["availableReplicas"] > before("availableReplicas")
    )


def _is_late(deployment: Json, told: Json, now: float) -> bool:
    if told.get("reason") == DONE:
        return False
    return told.get("reason") == STUCK or _deadline(deployment, told) <= now


def look_in(deployment: Json, status: Json, now: float) -> float | None:
    """Seconds until the progress deadline will have passed, where that is still open."""
    told = _of(status["conditions"], "Progressing")
    if deployment["spec"].get("paused") or not has_deadline(deployment) or told is None:
        return None
    if told.get("reason") in (DONE, STUCK):
        return None
    return max(_deadline(deployment, told) - now, 1.0)


def _deadline(deployment: Json, told: Json) -> float:
    seconds = deployment["spec"].get("progressDeadlineSeconds") or 600
    return from_rfc3339(told.get("lastUpdateTime") or told["lastTransitionTime"]) + seconds


def has_deadline(deployment: Json) -> bool:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and seconds != NO_DEADLINE


def _made(kind: str, value: bool | str, reason: str, message: str, now: float) -> Json:
    made = reporting.condition(kind, value, reason, message, now)
    return {**made, "lastUpdateTime": rfc3339(now)}


def _of(conditions: list[Json], kind: str) -> Json | None:
    return next((c for c in conditions if c["type"] == kind), None)


def _set(conditions: list[Json], new: Json) -> list[Json]:
    """As upstream: one with the same status and reason stays as it is, its times too."""
    old = _of(conditions, new["type"])
    if old and old["status"] == new["status"] and old.get("reason") == new["reason"]:
        return conditions
    if old and old["status"] == new["status"]:
        new = {**new, "lastTransitionTime": old.get("lastTransitionTime")}
    return [*reporting.without(conditions, new["type"]), new]
