"""DefaultPreemption: which pods would have to leave, on which node, for this one to run.

Pure. On each node where it could help, all pods of lower priority are supposed gone; if then the
pod fits, as many as possible are spared again, the more important first, and those first whose
disruption budget would be broken. Of all such nodes the one is chosen whose victims matter least.

Source: "Pod Priority and Preemption"; the order of choice is upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pykubelet.objects import selectors
from pykubelet.scheduler.deciding import NotFound, unavailable
from pykubelet.scheduler.equivalence import Verdicts
from pykubelet.scheduler.framework import Rejection
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.profile import Preemption
from pykubelet.scheduler.snapshot import Snapshot

Json = dict[str, Any]

NAME = "DefaultPreemption"
_NO_VICTIMS = Rejection(NAME, ("No preemption victims found for incoming pod",), False)
_NO_HELP = Rejection(NAME, ("Preemption is not helpful for scheduling",), False)
_NEVER = "not eligible due to preemptionPolicy=Never."
_UNDER_WAY = "not eligible due to a terminating pod on the nominated node."
_UNKNOWN_START = "9999"  # sorts after every time: what has not started matters least


@dataclass(frozen=True, slots=True)
class Victims:
    node: str
    pods: tuple[PodInfo, ...]
    """The most important first."""
    violations: int
    """How many of them a disruption budget would protect."""


@dataclass(frozen=True, slots=True)
class Helpless:
    """Preemption does not help; `keeps` says whether an earlier nomination stands."""

    message: str
    keeps: bool


def preempt(
    pod: PodInfo,
    failure: NotFound,
    view: Snapshot,
    verdicts: Verdicts,
    settings: Preemption,
    start: int,
) -> Victims | Helpless:
    refusal = _ineligible(pod, failure, view)
    if refusal:
        return Helpless(refusal, keeps=True)
    nodes = view.nodes
    candidates: list[Victims] = []
    tried: list[Rejection] = []
    where = failure.resolvable
    if where and any(priority < pod.priority for priority in view.priorities):
        offset = start % len(where)
        enough = max(len(where) * settings.percentage // 100, settings.at_least)
        budgets = _Budgets(view.catalog.all("PodDisruptionBudget"))
        for index in (*where[offset:], *where[:offset]):
            found = _victims_on(nodes[index], pod, view, verdicts, budgets)
            if isinstance(found, Rejection):
                tried.append(found)
                continue
            candidates.append(found)
            if len(candidates) >= enough and any(not c.violations for c in candidates):
                break
    else:
        tried = [_NO_VICTIMS] * len(where)
    if not candidates:
        return Helpless(unavailable(len(view), tried, _NO_HELP), keeps=False)
    return choose(candidates)


def _ineligible(pod: PodInfo, failure: NotFound, view: Snapshot) -> str:
    if not pod.preempts:
        return _NEVER
    node = view.node(pod.nominated) if pod.nominated else None
    if node is not None and view.index(node.name) in failure.resolvable:
        for other in node.pods.values():
            if other.terminating and other.priority < pod.priority:
                return _UNDER_WAY
    return ""


def _victims_on(
    node: NodeInfo, pod: PodInfo, view: Snapshot, verdicts: Verdicts, budgets: _Budgets
) -> Victims | Rejection:
    lower = [other for other in node.pods.values() if other.priority < pod.priority]
    if not lower:
        return _NO_VICTIMS
    waiting = [
        other
        for other in view.nominated.get(node.name, {}).values()
        if other.priority >= pod.priority and other.uid != pod.uid
    ]

    def refuses(supposed: NodeInfo) -> Rejection | None:
        refusal = verdicts.rejects(supposed)
        if refusal is None and waiting:
            refusal = verdicts.rejects_beside(supposed, waiting)
        return refusal

    left: list[PodInfo] = list(lower)  # who is supposed gone, for the counts to be put right
    verdicts.suppose(node, lower, -1)
    try:
        rest = node.without(lower)
        refusal = refuses(rest)
        if refusal is not None:
            return refusal
        victims: list[PodInfo] = []
        protected, others = budgets.split(sorted(lower, key=_importance))
        violations = 0
        for number, other in enumerate((*protected, *others)):
            with_it = rest.with_pod(other)
            verdicts.suppose(node, (other,), 1)
            left.remove(other)
            if refuses(with_it) is None:
                rest = with_it
                continue
            verdicts.suppose(node, (other,), -1)
            left.append(other)
            victims.append(other)
            violations += number < len(protected)
    finally:
        verdicts.suppose(node, left, 1)
    return Victims(node.name, tuple(sorted(victims, key=_importance)), violations)


def _importance(pod: PodInfo) -> tuple[int, str]:
    """Sorts the more important first: higher priority, then longer running."""
    return -pod.priority, pod.started or _UNKNOWN_START


def choose(candidates: Sequence[Victims]) -> Victims:
    """The node whose victims matter least: fewest broken budgets, then the lowest of their highest
    priorities, the lowest sum of priorities, the fewest, and of the most important ones the latest
    to have started."""

    def cost(one: Victims) -> tuple[int, int, int, int]:
        # Shifted, so that many pods of negative priority don't look cheaper than few.
        total = sum(pod.priority + 2**31 for pod in one.pods)
        highest = one.pods[0].priority if one.pods else -(2**31)
        return one.violations, highest, total, len(one.pods)

    def earliest(one: Victims) -> str:
        first = one.pods[0].priority if one.pods else 0
        return min(
            (p.started or _UNKNOWN_START for p in one.pods if p.priority == first), default=""
        )

    least = min(cost(one) for one in candidates)
    return max((one for one in candidates if cost(one) == least), key=earliest)


class _Budgets:
    """How many more pods each budget lets go."""

    def __init__(self, written: Iterable[Json]) -> None:
        self._budgets = [
            (
                one["metadata"]["namespace"],
                selectors.from_object((one.get("spec") or {}).get("selector")),
                int((one.get("status") or {}).get("disruptionsAllowed") or 0),
                (one.get("status") or {}).get("disruptedPods") or {},
            )
            for one in written
        ]

    def split(self, pods: Iterable[PodInfo]) -> tuple[list[PodInfo], list[PodInfo]]:
        """Those that a budget would protect if all of them left, and the others."""
        allowed = [budget[2] for budget in self._budgets]
        protected: list[PodInfo] = []
        others: list[PodInfo] = []
        for pod in pods:
            breaks = False
            for number, (namespace, selector, _, disrupted) in enumerate(self._budgets):
                if namespace != pod.namespace or not pod.labels or pod.name in disrupted:
                    continue  # one that is already being disrupted is paid for
                if selectors.matches(selector, pod.labels):
                    allowed[number] -= 1
                    breaks = breaks or allowed[number] < 0
            (protected if breaks else others).append(pod)
        return protected, others
