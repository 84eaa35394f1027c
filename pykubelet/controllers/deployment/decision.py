"""What a Deployment needs next, from itself, its replica sets and whether old pods still run. Pure.

One turn makes, sizes or removes replica sets; the rest follows when their own controller has acted
on that and told so. A step is taken only from figures that are all acknowledged: this is what keeps
the limits of surge and unavailability exact, whatever is late.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pykubelet.controllers.deployment import conditions, history, rollout, scaling
from pykubelet.controllers.deployment.model import (
    acknowledged,
    is_going,
    is_rolling,
    replicas,
    resized,
    split,
    standing,
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """`create` a replica set, `update` these (old, new), `delete` those. `revision` is the number
    that the Deployment's annotation is to show; 0 leaves it."""

    status: Json
    create: Json | None = None
    update: tuple[tuple[Json, Json], ...] = ()
    delete: tuple[Json, ...] = ()
    revision: int = 0
    look_in: float | None = None


def decide(deployment: Json, replica_sets: list[Json], old_pods_run: bool, now: float) -> Decision:
    """`old_pods_run`: whether a pod of a replica set other than the present template's is alive."""
    new, old = split(deployment, replica_sets)
    if is_going(deployment):
        status = conditions.status(deployment, new, old, now, rolling_out=False)
        return Decision(status)
    sizing = bool(deployment["spec"].get("paused")) or scaling.has_changed(deployment, replica_sets)
    status = conditions.status(deployment, new, old, now, rolling_out=not sizing)
    look_in = conditions.look_in(deployment, status, now)
    revision = history.revision(new) if new else 0
    revision = revision if revision != history.revision(deployment) else 0
    told = Decision(status, revision=revision, look_in=look_in)
    if not all(acknowledged(one) for one in replica_sets if not is_going(one)):
        return told
    if not sizing:
        if new is None:
            created = _create(deployment, old, old_pods_run)
            if created is not None:
                name = created["metadata"]["name"]
                begun = conditions.begun(deployment, status, name, made=True, now=now)
                return replace(told, create=created, status=begun)
        else:
            current = history.brought_up_to_date(deployment, new, old)
            if history.revision(current) != history.revision(new):
                name = new["metadata"]["name"]
                begun = conditions.begun(deployment, status, name, made=False, now=now)
                return replace(told, update=((new, current),), status=begun)
            if current is not new:
                return replace(told, update=((new, current),))
    steps = _steps(deployment, new, old, old_pods_run, sizing)
    if steps:
        update = tuple((one, resized(deployment, one, size)) for one, size in steps)
        return replace(told, update=update)
    if deployment["spec"].get("paused") or conditions.is_complete(deployment, status):
        return replace(told, delete=tuple(history.to_clear_away(deployment, old)))
    return told


def _create(deployment: Json, old: list[Json], old_pods_run: bool) -> Json | None:
    if not is_rolling(deployment) and (old_pods_run or standing(old)):
        return None
    return history.new_replica_set(deployment, old, rollout.first_size(deployment, old))


def _steps(
    deployment: Json, new: Json | None, old: list[Json], old_pods_run: bool, sizing: bool
) -> list[rollout.Resize]:
    living = [one for one in old if not is_going(one)]
    if sizing:
        return scaling.spread(deployment, new, living)
    if not is_rolling(deployment):
        return rollout.recreate(deployment, new, living, old_pods_run)
    if new is None or is_going(new):
        return []
    return rollout.rolling(deployment, new, old)


def describe(old: Json, new: Json) -> str:
    """The event of a new size; empty where the size stays."""
    before, after = replicas(old), replicas(new)
    if before == after:
        return ""
    way = "up" if after > before else "down"
    return f"Scaled {way} replica set {new['metadata']['name']} from {before} to {after}"
