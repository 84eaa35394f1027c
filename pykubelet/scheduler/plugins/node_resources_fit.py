"""NodeResourcesFit: what a pod asks for has to be free on the node; and by its strategy, which of
several nodes with room is the better one.

Strategies (scored from what all containers ask for, guesses included): LeastAllocated prefers empty
nodes, MostAllocated full ones, RequestedToCapacityRatio follows a curve that the operator draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from pykubelet.scheduler.framework import (
    MAX_SCORE,
    ROOM_EVENTS,
    Event,
    NodeFilter,
    NodeScore,
    Plugin,
    Rejection,
)
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot

Weights = Mapping[str, int]
Curve = Sequence[tuple[int, int]]
"""Points (utilization in percent, score 0 to 10), in order."""

DEFAULT_WEIGHTS: Weights = {"cpu": 1, "memory": 1}
_NATIVE = ("cpu", "memory", "ephemeral-storage", "pods")


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    events = ROOM_EVENTS

    def __init__(
        self,
        strategy: str = "LeastAllocated",
        weights: Weights = DEFAULT_WEIGHTS,
        curve: Curve = (),
        ignored: frozenset[str] = frozenset(),
        ignored_groups: frozenset[str] = frozenset(),
    ) -> None:
        self._weights = weights
        self._ignored = ignored
        self._ignored_groups = ignored_groups
        self._worth = _STRATEGIES.get(strategy) or _along(curve)

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        wanted = [
            (name, amount)
            for name, amount in pod.shape.requests.items()
            if not self._is_ignored(name)
        ]

        def verdict(node: NodeInfo) -> Rejection | None:
            offered, taken = node.facts.allocatable, node.requested
            for name, amount in wanted:
                if amount > offered.get(name, 0) - taken.get(name, 0):
                    return shortage(node)
            if len(node.pods) >= offered.get("pods", 0):
                return shortage(node)
            return None

        def shortage(node: NodeInfo) -> Rejection:
            offered, taken = node.facts.allocatable, node.requested
            full = len(node.pods) >= offered.get("pods", 0)
            lacking = [
                (name, amount)
                for name, amount in wanted
                if amount > offered.get(name, 0) - taken.get(name, 0)
            ]
            hopeless = any(amount > offered.get(name, 0) for name, amount in lacking)
            return _short(full, tuple(name for name, _ in lacking), not hopeless)

        return verdict

    def score(self, pod: PodInfo, view: Snapshot) -> NodeScore | None:
        shape = pod.shape
        worth = self._worth
        # What the pod lacks of extended resources is no reason to prefer a node.
        weights = [
            (name, weight, shape.guessed.get(name, shape.requests.get(name, 0)))
            for name, weight in self._weights.items()
            if name in _NATIVE or shape.requests.get(name)
        ]

        def score(node: NodeInfo) -> int:
            offered = node.facts.allocatable
            total = shares = 0
            for name, weight, mine in weights:
                capacity = offered.get(name, 0)
                if capacity == 0:
                    continue
                if name == "cpu":
                    asked = node.guessed_cpu + mine
                elif name == "memory":
                    asked = node.guessed_memory + mine
                else:
                    asked = node.requested.get(name, 0) + mine
                total += weight * worth(asked, capacity)
                shares += weight
            return total // shares if shares else 0

        return score

    def hint(self, pod: PodInfo, event: Event, view: Snapshot) -> bool:
        if event.pod is not None and event.node is None:
            return False
        return super().hint(pod, event, view)

    def _is_ignored(self, name: str) -> bool:
        group = name.partition("/")[0] if "/" in name else ""
        return name in self._ignored or group in self._ignored_groups


def least_allocated(asked: int, capacity: int) -> int:
    return 0 if asked > capacity else (capacity - asked) * MAX_SCORE // capacity


def most_allocated(asked: int, capacity: int) -> int:
    return min(asked, capacity) * MAX_SCORE // capacity


def _along(curve: Curve) -> Callable[[int, int], int]:
    """Scores of 0 to 10 drawn over percents become 0 to 100, straight between the points."""
    points = [(x, y * 10) for x, y in curve] or [(0, 0), (100, MAX_SCORE)]

    def worth(asked: int, capacity: int) -> int:
        used = 100 if asked > capacity else asked * 100 // capacity
        if used <= points[0][0]:
            return points[0][1]
        for (x0, y0), (x1, y1) in pairwise(points):
            if used <= x1:
                # As Go divides: towards zero.
                return y0 + int((y1 - y0) * (used - x0) / (x1 - x0))
        return points[-1][1]

    return worth


_STRATEGIES = {"LeastAllocated": least_allocated, "MostAllocated": most_allocated}
_shorts: dict[tuple[bool, tuple[str, ...], bool], Rejection] = {}


def _short(full: bool, lacking: tuple[str, ...], resolvable: bool) -> Rejection:
    key = full, lacking, resolvable
    known = _shorts.get(key)
    if known is None:
        reasons = (("Too many pods",) if full else ()) + tuple(f"Insufficient {n}" for n in lacking)
        known = _shorts[key] = Rejection(NodeResourcesFit.name, reasons, resolvable)
    return known
