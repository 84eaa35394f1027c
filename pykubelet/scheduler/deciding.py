"""One decision: which node for this pod, or why none.

A pure function of the pod, the snapshot and where the last search ended. Nodes are looked at from
there on, round and round, until enough of them do (`profile.nodes_to_find`); of those the one with
the highest total score is taken, the first of several. There is no randomness: searches begin at
different nodes, which spreads as well and can be replayed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from pykubelet.scheduler.equivalence import Verdicts
from pykubelet.scheduler.framework import Rejection
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.profile import Profile, nodes_to_find
from pykubelet.scheduler.snapshot import Snapshot

NO_NODES = "no nodes available to schedule pods"


@dataclass(frozen=True, slots=True)
class Found:
    node: str
    evaluated: int
    feasible: int


@dataclass(frozen=True, slots=True)
class NotFound:
    message: str
    """Upstream's sentence, without what preemption would add."""
    plugins: frozenset[str]
    """Who rejected nodes: only what matters to them can change the verdict."""
    resolvable: tuple[int, ...]
    """Nodes, by number, on which the departure of pods might help."""
    evaluated: int


def decide(
    pod: PodInfo, view: Snapshot, verdicts: Verdicts, profile: Profile, start: int
) -> Found | NotFound:
    total = len(view)
    if not total:
        return NotFound(NO_NODES, frozenset(), (), 0)
    if verdicts.prefilter is not None:
        rejection = verdicts.prefilter
        message = f"{_none_of(total)} {', '.join(rejection.reasons)}."
        return NotFound(message, frozenset((rejection.plugin,)), (), 0)
    crowded = _crowded(pod, view)
    indexes, searched = _where(verdicts, view, start)
    nominated = view.node(pod.nominated) if pod.nominated else None
    if nominated is not None and (verdicts.names is None or nominated.name in verdicts.names):
        # Room was made for the pod there: if there is, it needs no search.
        found, _ = verdicts.find((view.index(nominated.name),), 1, crowded)
        if found:
            return Found(nominated.name, 1, 1)
    enough = nodes_to_find(searched, profile.percentage)
    found, seen = verdicts.find(indexes, enough, crowded)
    if not found:
        return _explain(verdicts, view, crowded)
    if len(found) == 1:
        return Found(view.nodes[found[0]].name, seen, 1)
    totals = verdicts.totals(found)
    best = found[totals.index(max(totals))]
    return Found(view.nodes[best].name, seen, len(found))


def _where(verdicts: Verdicts, view: Snapshot, start: int) -> tuple[Iterable[int], int]:
    """The nodes to look at, and how many those are."""
    total = len(view)
    if verdicts.names is not None:
        known = [view.index(name) for name in sorted(verdicts.names) if view.node(name)]
        return known, len(known)
    start %= total
    return chain(range(start, total), range(start)), total


def _crowded(pod: PodInfo, view: Snapshot) -> dict[int, list[PodInfo]]:
    """Nodes on which others, not less important, wait for room."""
    crowded = {}
    for name, waiting in view.nominated.items():
        before = [p for p in waiting.values() if p.priority >= pod.priority and p.uid != pod.uid]
        if before and view.node(name):
            crowded[view.index(name)] = before
    return crowded


def _explain(verdicts: Verdicts, view: Snapshot, crowded: dict[int, list[PodInfo]]) -> NotFound:
    reasons: Counter[str] = Counter()
    plugins: set[str] = set()
    resolvable: list[int] = []
    indexes, searched = _where(verdicts, view, 0)
    for index in indexes:
        rejection = verdicts.rejection(index, crowded)
        if rejection is not None:
            reasons.update(rejection.reasons)
            plugins.add(rejection.plugin)
            if rejection.resolvable:
                resolvable.append(index)
    if verdicts.names is not None and searched < len(view):
        narrowed = " ".join(sorted(verdicts.narrowed_by))
        reasons[f"node(s) didn't satisfy plugin(s) [{narrowed}]"] += len(view) - searched
        plugins.update(verdicts.narrowed_by)
    message = f"{_none_of(len(view))} {histogram(reasons)}."
    return NotFound(message, frozenset(plugins), tuple(resolvable), searched)


def histogram(reasons: Counter[str]) -> str:
    """`1 Insufficient cpu, 2 node(s) were unschedulable`, sorted as upstream sorts."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))


def _none_of(total: int) -> str:
    return f"0/{total} nodes are available:"


def unavailable(total: int, rejections: Iterable[Rejection], rest: Rejection) -> str:
    """The same sentence for what preemption found out; `rest` is true of all other nodes."""
    reasons: Counter[str] = Counter()
    counted = 0
    for rejection in rejections:
        reasons.update(rejection.reasons)
        counted += 1
    if total > counted:
        reasons[rest.reasons[0]] += total - counted
    return f"{_none_of(total)} {histogram(reasons)}."
