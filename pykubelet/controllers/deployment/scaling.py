"""A new size for a Deployment: spread over its replica sets in proportion, mid-rollout. Pure.

Each replica set remembers, in annotations, the size that it was last sized for; where that differs
from what is wanted, somebody has scaled.
"""

from __future__ import annotations

from typing import Any

from pykubelet.controllers.deployment.model import (
    DESIRED,
    MAXIMUM,
    is_rolling,
    limits,
    replicas,
    reported,
    size_annotations,
)
from pykubelet.controllers.deployment.rollout import Resize

Json = dict[str, Any]


def has_changed(deployment: Json, replica_sets: list[Json]) -> bool:
    """Whether the Deployment was scaled since its replica sets were last sized."""
    wanted = str(replicas(deployment))
    found = [_annotation(one, DESIRED) for one in replica_sets if replicas(one)]
    return any(desired and desired != wanted for desired in found)


def spread(deployment: Json, new: Json | None, old: list[Json]) -> list[Resize]:
    """The sizes that scaling alone asks for; the rollout goes on from there."""
    wanted = replicas(deployment)
    sets = [*old, new] if new else old
    active = [one for one in sets if replicas(one)]
    if len(active) <= 1:
        only = active[0] if active else new or (old[-1] if old else None)
        return [(only, wanted)] if only is not None and replicas(only) != wanted else []
    if new is not None and _is_saturated(deployment, new):
        return [(one, 0) for one in old if replicas(one)]
    if not is_rolling(deployment):
        return []
    allowed = wanted + limits(deployment)[0] if wanted else 0
    return _proportional(deployment, active, allowed - sum(map(replicas, active)))


def _is_saturated(deployment: Json, new: Json) -> bool:
    wanted = replicas(deployment)
    return (
        replicas(new) == wanted
        and _annotation(new, DESIRED) == str(wanted)
        and reported(new, "availableReplicas") == wanted
    )


def _proportional(deployment: Json, active: list[Json], change: int) -> list[Resize]:
    """The largest first; what rounding leaves goes to it. Ties: the newer one grows first, the
    older one shrinks first."""
    ordered = sorted(active, key=lambda one: one["metadata"].get("creationTimestamp", ""))
    if change > 0:
        ordered.reverse()
    ordered.sort(key=replicas, reverse=True)
    sizes = [replicas(one) for one in ordered]
    left = change
    for index, one in enumerate(ordered):
        share = _share(deployment, one)
        part = min(share, left) if change > 0 else max(share, left)
        if change == 0 or (part > 0) != (change > 0):
            continue
        sizes[index] += part
        left -= part
    sizes[0] = max(sizes[0] + left, 0)
    marks = size_annotations(deployment).items()
    return [
        (one, size)
        for one, size in zip(ordered, sizes, strict=True)
        if size != replicas(one) or not marks <= (one["metadata"].get("annotations") or {}).items()
    ]


def _share(deployment: Json, replica_set: Json) -> int:
    """How much a replica set would change to keep its part of the whole."""
    size, wanted = replicas(replica_set), replicas(deployment)
    if not wanted:
        return -size
    most = wanted + limits(deployment)[0]
    before = int(_annotation(replica_set, MAXIMUM) or 0)
    before = before or int((deployment.get("status") or {}).get("replicas") or 0) or most
    return (2 * size * most + before) // (2 * before) - size  # rounded half up


def _annotation(object_: Json, name: str) -> str:
    return str((object_["metadata"].get("annotations") or {}).get(name) or "")
