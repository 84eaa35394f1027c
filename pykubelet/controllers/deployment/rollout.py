"""How far a rollout may go now: never more pods than the surge allows, never too few available.

Pure. Sizes are decided from what the replica sets' own controller has acknowledged; `decision` asks
only when it has, so that a pod is neither counted away before it is deleted nor counted on before
it is ready.
"""

from __future__ import annotations

from typing import Any

from pykubelet.controllers.deployment.model import (
    is_going,
    is_rolling,
    limits,
    replicas,
    reported,
    standing,
    total,
)

Json = dict[str, Any]

#: A replica set, and the size that it is to get.
Resize = tuple[Json, int]


def first_size(deployment: Json, others: list[Json]) -> int:
    """The size to make the new replica set with."""
    return _grown(deployment, 0, others) if is_rolling(deployment) else replicas(deployment)


def _grown(deployment: Json, size: int, others: list[Json]) -> int:
    """What a new replica set of this size may grow to beside the others."""
    wanted, (surge, _) = replicas(deployment), limits(deployment)
    room = wanted + surge - standing(others) - size
    return size + max(0, min(room, wanted - size))


def rolling(deployment: Json, new: Json, old: list[Json]) -> list[Resize]:
    """The next step of a rolling update: the new one grows first, then the old ones shrink."""
    wanted, size = replicas(deployment), replicas(new)
    if size > wanted:
        return [(new, wanted)]
    surplus = max(reported(new, "replicas") - size, 0)
    room = _grown(deployment, size + surplus, old) - surplus
    if room > size:
        return [(new, room)]
    return _shrink(deployment, new, old)


def _shrink(deployment: Json, new: Json, old: list[Json]) -> list[Resize]:
    can_go = [one for one in old if not is_going(one)]
    sizes = {one["metadata"]["uid"]: replicas(one) for one in can_go}
    if not any(sizes.values()):
        return []
    _, unavailable = limits(deployment)
    least = replicas(deployment) - unavailable
    not_yet = max(replicas(new) - reported(new, "availableReplicas"), 0)
    may_go = total([new, *old]) - least - not_yet
    # First the ones that serve nobody: taking them away costs nothing.
    for one in can_go:
        uid = one["metadata"]["uid"]
        broken = max(sizes[uid] - reported(one, "availableReplicas"), 0)
        going = max(0, min(may_go, broken))
        sizes[uid] -= going
        may_go -= going
    available = sum(reported(one, "availableReplicas") for one in [new, *old])
    may_go = min(may_go, available - least)
    for one in can_go:
        uid = one["metadata"]["uid"]
        going = max(0, min(may_go, sizes[uid]))
        sizes[uid] -= going
        may_go -= going
    found = [(one, sizes[one["metadata"]["uid"]]) for one in can_go]
    return [(one, size) for one, size in found if size != replicas(one)]


def recreate(deployment: Json, new: Json | None, old: list[Json], running: bool) -> list[Resize]:
    """The next step where nothing of the old may be left when the new begins. `running` says
    whether any pod of the old ones is still alive."""
    stopping = [(one, 0) for one in old if replicas(one)]
    if stopping or running or new is None or replicas(new) == replicas(deployment):
        return stopping
    return [(new, replicas(deployment))]
