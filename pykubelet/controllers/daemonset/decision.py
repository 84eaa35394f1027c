"""What a DaemonSet needs next, node by node, and how it tells. Pure.

First every node that takes a pod gets one, and loses what it should not have; then a new template
goes round: without surge an old pod goes before the new one comes, so many at once as may be
unavailable; with surge the new one comes first, and the old one goes when the new one is available.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.controllers import pods
from pykubelet.controllers.amounts import scaled
from pykubelet.controllers.daemonset.nodes import Fit, fit, node_of
from pykubelet.controllers.revisions import REVISION_LABEL

Json = dict[str, Any]

#: Pods made or deleted in one turn at most.
BURST = 250


@dataclass(frozen=True, slots=True)
class Decision:
    """`create` a pod on each of these nodes, `delete` these pods; `ended` are those among them that
    had come to an end; `look_in` seconds when a pod becomes available."""

    status: Json
    create: tuple[str, ...] = ()
    delete: tuple[Json, ...] = ()
    ended: tuple[Json, ...] = ()
    look_in: float | None = None


@dataclass(slots=True)
class _View:
    daemon_set: Json
    hash: str
    now: float
    fits: dict[str, Fit]
    by_node: dict[str, list[Json]]

    def is_available(self, pod: Json) -> bool:
        ready_for = self.daemon_set["spec"].get("minReadySeconds") or 0
        return pods.is_active(pod) and pods.is_available(pod, ready_for, self.now)

    def is_new(self, pod: Json) -> bool:
        return (pod["metadata"].get("labels") or {}).get(REVISION_LABEL) == self.hash

    def wanted(self) -> list[str]:
        return [name for name, one in self.fits.items() if one.run]


def decide(
    daemon_set: Json,
    own: list[Json],
    nodes: list[Json],
    hash_: str,
    now: float,
    held: Collection[str] = (),
) -> Decision:
    """`hash_` marks the pods of the present template. On nodes that are `held`, pods that ended a
    moment ago are left for a while, so that one that fails at once does not fail for ever."""
    by_node: dict[str, list[Json]] = {}
    for pod in sorted(own, key=_age):
        by_node.setdefault(node_of(pod), []).append(pod)
    view = _View(
        daemon_set, hash_, now, {n["metadata"]["name"]: fit(daemon_set, n) for n in nodes}, by_node
    )
    look_in = _look_in(daemon_set, own, now)
    status = _status(view)
    if "deletionTimestamp" in daemon_set["metadata"]:
        return Decision(status, look_in=look_in)
    surge, unavailable = _limits(daemon_set, len(view.wanted()))
    create, delete, ended = _place(view, surge > 0, held)
    if not create and not delete and _is_rolling(daemon_set):
        if surge:
            create = _surge(view, surge)
        else:
            delete = _renew(view, unavailable)
    return Decision(status, tuple(create[:BURST]), tuple(delete[:BURST]), tuple(ended), look_in)


def _is_rolling(daemon_set: Json) -> bool:
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def _limits(daemon_set: Json, wanted: int) -> tuple[int, int]:
    """(surge, unavailable) in nodes. Not both 0, or nothing could ever move."""
    if not _is_rolling(daemon_set):
        return 0, 0
    rolling = (daemon_set["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge"), wanted, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", 1), wanted, up=True)
    return surge, (unavailable if surge or unavailable else 1)


def _age(pod: Json) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]


def _is_going(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]


# -- where pods are to be ------------------------------------------------------------------------


def _place(
    view: _View, surging: bool, held: Collection[str]
) -> tuple[list[str], list[Json], list[Json]]:
    """(nodes to make a pod on, pods to delete, those of them that had ended)."""
    create: list[str] = []
    delete: list[Json] = []
    ended: list[Json] = []
    for name, one in view.fits.items():
        there = view.by_node.get(name, [])
        if not one.stay:
            delete += [pod for pod in there if not _is_going(pod)]
            continue
        over = [p for p in there if not pods.is_active(p) and not _is_going(p)]
        if name not in held:
            ended += over
            delete += over
        if one.run and not there:
            create.append(name)
        running = [pod for pod in there if pods.is_active(pod)]
        delete += _surplus_with_surge(view, running) if surging else running[1:]
    for name, there in view.by_node.items():
        if name not in view.fits:  # no such node any more; what runs there is the pod collector's
            delete += [p for p in there if not p["spec"].get("nodeName") and not _is_going(p)]
    return create, delete, ended


def _surplus_with_surge(view: _View, running: list[Json]) -> list[Json]:
    """An old pod and a new one may stand side by side until the new one is available."""
    new = [pod for pod in running if view.is_new(pod)]
    old = [pod for pod in running if not view.is_new(pod)]
    surplus = new[1:] + old[1:]
    if new and old and (view.is_available(new[0]) or not pods.is_ready(old[0])):
        surplus.append(old[0])
    return surplus


# -- a new template ------------------------------------------------------------------------------


def _renew(view: _View, unavailable: int) -> list[Json]:
    """Old pods to delete; those that serve nobody cost nothing of what may be missing."""
    missing = 0
    broken: list[Json] = []
    serving: list[Json] = []
    for name in view.wanted():
        there = view.by_node.get(name, [])
        active = [pod for pod in there if pods.is_active(pod)]
        if not any(view.is_available(pod) for pod in active):
            missing += 1
        for pod in active:
            if not view.is_new(pod):
                (serving if view.is_available(pod) else broken).append(pod)
    return broken + serving[: max(unavailable - missing, 0)]


def _surge(view: _View, surge: int) -> list[str]:
    """Nodes to make a new pod on beside the old one."""
    free: list[str] = []
    candidates: list[str] = []
    under_way = 0
    for name in view.wanted():
        there = view.by_node.get(name, [])
        old = [pod for pod in there if not view.is_new(pod)]
        if any(view.is_new(pod) for pod in there):
            under_way += bool(old)
        elif old:
            (candidates if any(map(view.is_available, old)) else free).append(name)
    return free + candidates[: max(surge - under_way, 0)]


# -- telling -------------------------------------------------------------------------------------


def _status(view: _View) -> Json:
    daemon_set = view.daemon_set
    counts: Mapping[str, int] = {}
    current = misplaced = ready = available = updated = 0
    wanted = len(view.wanted())
    for name, one in view.fits.items():
        there = [p for p in view.by_node.get(name, ()) if not _is_going(p)]
        if not one.run:
            misplaced += bool(there)
            continue
        current += bool(there)
        ready += any(map(pods.is_ready, there))
        available += any(map(view.is_available, there))
        updated += any(map(view.is_new, there))
    counts = {
        "observedGeneration": daemon_set["metadata"].get("generation", 0),
        "currentNumberScheduled": current,
        "desiredNumberScheduled": wanted,
        "numberMisscheduled": misplaced,
        "numberReady": ready,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": wanted - available,
    }
    past = daemon_set.get("status") or {}
    kept = {k: past[k] for k in ("collisionCount", "conditions") if past.get(k)}
    return {**counts, **kept}


def _look_in(daemon_set: Json, own: list[Json], now: float) -> float | None:
    ready_for = daemon_set["spec"].get("minReadySeconds") or 0
    waits = [at - now for p in own if (at := pods.available_at(p, ready_for)) and at > now]
    return min(waits, default=None)
