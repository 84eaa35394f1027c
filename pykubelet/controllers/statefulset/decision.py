"""What a StatefulSet needs next: which pods to make, to take away, to replace, in order. Pure.

Ordered, one thing at a time: a pod is made when all before it are available, one is taken away when
all after it are gone and those that stay are well, and a new template goes from the last ordinal to
the first. Parallel does all of the first two at once; a new template stays careful.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pykubelet.controllers import pods
from pykubelet.controllers.amounts import scaled
from pykubelet.controllers.statefulset.identity import (
    new_pod,
    ordinal_of,
    ordinals,
    replicas,
    revision_of,
    start,
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Revision:
    """A name and the template that it stands for."""

    name: str
    template: Json


@dataclass(frozen=True, slots=True)
class Decision:
    """`create` pods by ordinal, lowest first; `delete` pods, in this order; `status` to write once
    that is done; `look_in` seconds when a pod becomes available."""

    status: Json
    create: tuple[tuple[int, Json], ...] = ()
    delete: tuple[Json, ...] = ()
    look_in: float | None = None


@dataclass(slots=True)
class _View:
    """The set's pods by ordinal, and what there is to say of each."""

    set_: Json
    now: float
    wanted: dict[int, Json | None] = field(default_factory=dict)
    surplus: dict[int, Json] = field(default_factory=dict)

    def is_available(self, pod: Json | None) -> bool:
        ready_for = self.set_["spec"].get("minReadySeconds") or 0
        return (
            pod is not None
            and pods.is_active(pod)
            and (pod.get("status") or {}).get("phase") == "Running"
            and pods.is_available(pod, ready_for, self.now)
        )


def is_going(object_: Json) -> bool:
    return "deletionTimestamp" in object_["metadata"]


def has_ended(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def decide(
    set_: Json, own: list[Json], current: Revision, update: Revision, now: float
) -> Decision:
    """`current` is what pods below the partition are made of, `update` the present template."""
    view = _View(set_, now, dict.fromkeys(ordinals(set_)))
    for pod in own:
        ordinal = ordinal_of(set_, pod)
        if ordinal in view.wanted:
            view.wanted[ordinal] = pod
        elif ordinal is not None:
            view.surplus[ordinal] = pod
    look_in = _look_in(set_, own, now)
    if is_going(set_):
        return Decision(_status(view, current, update), look_in=look_in)
    ordered = set_["spec"].get("podManagementPolicy", "OrderedReady") != "Parallel"
    create, delete, waits = _fill(view, current, update, ordered)
    if not waits:
        taken, waits = _shrink(view, ordered)
        delete += taken
    if not waits:
        delete += _renew(view, update)
    status = _status(view, current, update)
    return Decision(status, tuple(create), tuple(delete), look_in)


Made = list[tuple[int, Json]]


def _fill(
    view: _View, current: Revision, update: Revision, ordered: bool
) -> tuple[Made, list[Json], bool]:
    """(to make, to delete, whether to wait before anything else): the wanted ordinals, upwards."""
    create: Made = []
    delete: list[Json] = []
    for ordinal, pod in view.wanted.items():
        if pod is not None and has_ended(pod):
            # It ran to its end or was evicted: the same ordinal begins again. The name is free
            # only when it is gone.
            if not is_going(pod):
                delete.append(pod)
        elif pod is None:
            revision = current if _keeps_current(view.set_, ordinal) else update
            create.append((ordinal, new_pod(view.set_, revision.template, revision.name, ordinal)))
        elif view.is_available(pod) or not ordered:
            continue
        if ordered:
            return create, delete, True
    return create, delete, bool(create or delete) and ordered


def _keeps_current(set_: Json, ordinal: int) -> bool:
    strategy = set_["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return False
    return ordinal < start(set_) + _partition(set_)


def _partition(set_: Json) -> int:
    strategy = set_["spec"].get("updateStrategy") or {}
    return int((strategy.get("rollingUpdate") or {}).get("partition") or 0)


def _shrink(view: _View, ordered: bool) -> tuple[list[Json], bool]:
    """(to delete, whether to wait): the ordinals that are not wanted any more, downwards."""
    delete: list[Json] = []
    unwell = _first_unwell(view)
    for _, pod in sorted(view.surplus.items(), reverse=True):
        if is_going(pod):
            if ordered:
                return delete, True
            continue
        if ordered and not view.is_available(pod) and pod is not unwell:
            return delete, True  # the unwell one with the lowest ordinal is to recover or go first
        delete.append(pod)
        if ordered:
            return delete, True
    return delete, False


def _first_unwell(view: _View) -> Json | None:
    everyone = [pod for pod in view.wanted.values() if pod is not None]
    everyone += [pod for _, pod in sorted(view.surplus.items())]
    return next((pod for pod in everyone if not view.is_available(pod)), None)


def _renew(view: _View, update: Revision) -> list[Json]:
    """The pods to delete for a new template, from the last ordinal down to the partition."""
    strategy = view.set_["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return []
    lowest = start(view.set_) + _partition(view.set_)
    candidates = [(o, p) for o, p in sorted(view.wanted.items(), reverse=True) if o >= lowest]
    rolling = strategy.get("rollingUpdate") or {}
    if rolling.get("maxUnavailable") is None:
        for _, pod in candidates:
            if pod is None or is_going(pod):
                return []
            if revision_of(pod) != update.name:
                return [pod]
            if not view.is_available(pod):
                return []
        return []
    most = max(scaled(rolling["maxUnavailable"], replicas(view.set_), up=True), 1)
    missing = sum(not view.is_available(pod) for pod in view.wanted.values())
    old = [p for _, p in candidates if p and not is_going(p) and revision_of(p) != update.name]
    return old[: max(most - missing, 0)]


def _look_in(set_: Json, own: list[Json], now: float) -> float | None:
    ready_for = set_["spec"].get("minReadySeconds") or 0
    waits = [at - now for p in own if (at := pods.available_at(p, ready_for)) and at > now]
    return min(waits, default=None)


def _status(view: _View, current: Revision, update: Revision) -> Json:
    set_ = view.set_
    there = [pod for pod in [*view.wanted.values(), *view.surplus.values()] if pod is not None]
    ready = [pod for pod in there if pods.is_active(pod) and pods.is_ready(pod)]
    counted = [pod for pod in there if not is_going(pod)]
    status: Json = {
        "observedGeneration": set_["metadata"].get("generation", 0),
        "replicas": len(there),
        "readyReplicas": len(ready),
        "availableReplicas": sum(view.is_available(pod) for pod in ready),
        "currentReplicas": sum(revision_of(pod) == current.name for pod in counted),
        "updatedReplicas": sum(revision_of(pod) == update.name for pod in counted),
        "currentRevision": current.name,
        "updateRevision": update.name,
    }
    if (set_.get("status") or {}).get("collisionCount"):
        status["collisionCount"] = set_["status"]["collisionCount"]
    strategy = set_["spec"].get("updateStrategy") or {}
    numbers = [status[field] for field in ("updatedReplicas", "readyReplicas", "replicas")]
    if strategy.get("type", "RollingUpdate") == "RollingUpdate" and all(
        number == replicas(set_) for number in numbers
    ):
        status |= {"currentReplicas": status["updatedReplicas"], "currentRevision": update.name}
    if conditions := (set_.get("status") or {}).get("conditions"):
        status["conditions"] = conditions
    return status
