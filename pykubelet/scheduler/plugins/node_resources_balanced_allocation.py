"""NodeResourcesBalancedAllocation: better where CPU and memory are used to like shares, so that
neither is left over without the other. Says nothing about pods that ask for neither."""

from __future__ import annotations

from collections.abc import Collection
from math import sqrt

from pykubelet.scheduler.framework import MAX_SCORE, NodeScore, Plugin
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot


class NodeResourcesBalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"

    def __init__(self, resources: Collection[str] = ("cpu", "memory")) -> None:
        self._resources = tuple(resources)

    def score(self, pod: PodInfo, view: Snapshot) -> NodeScore | None:
        requests = pod.shape.requests
        wanted = [(name, requests.get(name, 0)) for name in self._resources]
        if not any(amount for _, amount in wanted):
            return None

        def score(node: NodeInfo) -> int:
            offered, taken = node.facts.allocatable, node.requested
            fractions = []
            for name, amount in wanted:
                capacity = offered.get(name, 0)
                if capacity:
                    fractions.append(min((taken.get(name, 0) + amount) / capacity, 1.0))
            return int((1 - _deviation(fractions)) * MAX_SCORE)

        return score


def _deviation(fractions: list[float]) -> float:
    if len(fractions) == 2:
        return abs(fractions[0] - fractions[1]) / 2
    if len(fractions) < 2:
        return 0.0
    mean = sum(fractions) / len(fractions)
    return sqrt(sum((one - mean) ** 2 for one in fractions) / len(fractions))
