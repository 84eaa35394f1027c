"""What a Deployment and its replica sets say: sizes, limits, templates. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pykubelet.controllers.amounts import scaled
from pykubelet.controllers.templates import same_template

Json = dict[str, Any]

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"

#: What `progressDeadlineSeconds` says when it means never.
NO_DEADLINE = 2**31 - 1


def replicas(object_: Json) -> int:
    """`spec.replicas`, of a Deployment or of a replica set."""
    number = object_["spec"].get("replicas")
    return 1 if number is None else int(number)


def reported(replica_set: Json, field: str) -> int:
    """A number of a replica set's status."""
    return int((replica_set.get("status") or {}).get(field) or 0)


def total(replica_sets: Iterable[Json]) -> int:
    return sum(replicas(one) for one in replica_sets)


def standing(replica_sets: Iterable[Json]) -> int:
    """Pods that are there or may be in a moment: those still to be deleted count."""
    return sum(max(replicas(one), reported(one, "replicas")) for one in replica_sets)


def acknowledged(replica_set: Json) -> bool:
    """Whether its status speaks of its present spec."""
    generation = replica_set["metadata"].get("generation", 0)
    return bool(reported(replica_set, "observedGeneration") >= generation)


def is_going(object_: Json) -> bool:
    return "deletionTimestamp" in object_["metadata"]


def is_rolling(deployment: Json) -> bool:
    strategy = deployment["spec"].get("strategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def limits(deployment: Json) -> tuple[int, int]:
    """(surge, unavailable) in pods. Not both 0, or nothing could ever move."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    wanted = replicas(deployment)
    surge = scaled(rolling.get("maxSurge"), wanted, up=True)
    unavailable = scaled(rolling.get("maxUnavailable"), wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, wanted)


def oldest_first(replica_sets: Iterable[Json]) -> list[Json]:
    return sorted(
        replica_sets,
        key=lambda one: (one["metadata"].get("creationTimestamp", ""), one["metadata"]["name"]),
    )


def split(deployment: Json, replica_sets: Iterable[Json]) -> tuple[Json | None, list[Json]]:
    """(the replica set of the present template, all others), oldest first. If several have it, the
    oldest is the one."""
    ordered = oldest_first(replica_sets)
    template = deployment["spec"]["template"]
    new = next((r for r in ordered if same_template(r["spec"]["template"], template)), None)
    return new, [one for one in ordered if one is not new]


def resized(deployment: Json, replica_set: Json, size: int) -> Json:
    """The replica set with this size, and with the figures that a later scaling starts from."""
    metadata = replica_set["metadata"]
    annotations = {**(metadata.get("annotations") or {}), **size_annotations(deployment)}
    return {
        **replica_set,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**replica_set["spec"], "replicas": size},
    }


def size_annotations(deployment: Json) -> dict[str, str]:
    wanted, (surge, _) = replicas(deployment), limits(deployment)
    return {DESIRED: str(wanted), MAXIMUM: str(wanted + surge)}
