"""A profile: which plugins decide for the pods of one scheduler name, and with what weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pykubelet.scheduler.framework import Plugin
from pykubelet.scheduler.pods import DEFAULT_SCHEDULER


@dataclass(frozen=True, slots=True, eq=False)
class Preemption:
    """How many nodes are tried for victims: a share of those where it could help, at least so
    many (upstream's DefaultPreemptionArgs)."""

    percentage: int = 10
    at_least: int = 100


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    filters: Sequence[Plugin]
    scorers: Sequence[tuple[Plugin, int]]
    """With their weights."""
    name: str = DEFAULT_SCHEDULER
    preemption: Preemption | None = None
    """None where nobody is preempted."""
    gates: bool = True
    percentage: int = 0
    """Of the nodes to be found before scoring begins; 0 lets it depend on their number."""
    bind_timeout: float = 600.0
    """Seconds to wait for a pod's volumes to be bound."""

    def plugin(self, name: str) -> Plugin | None:
        every = [*self.filters, *(plugin for plugin, _ in self.scorers)]
        return next((one for one in every if one.name == name), None)


_FEW = 100
_LEAST_SHARE = 5


def nodes_to_find(nodes: int, percentage: int) -> int:
    """How many nodes with room are enough to choose from, of so many. As upstream: all of up to
    100; else a share that shrinks from 50 % by one for every 125 nodes, but at least 5 %, and never
    fewer than 100."""
    if nodes < _FEW:
        return nodes
    share = percentage or max(50 - nodes // 125, _LEAST_SHARE)
    return max(nodes * min(share, 100) // 100, _FEW)
