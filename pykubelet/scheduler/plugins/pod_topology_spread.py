"""PodTopologySpread: pods of one kind spread evenly over the values of a node label.

A hard constraint (DoNotSchedule) forbids a place where, with the pod, there would be more than
`maxSkew` more of its kind than in the emptiest place; a soft one makes fuller places worse. Pods
that bring no constraints are spread softly by the profile's defaults, the kind being what their
services and controllers select.

Sources: KEP-895, KEP-3022 (minDomains), KEP-3094 (which nodes count), KEP-3243 (matchLabelKeys),
KEP-1258 (default constraints).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import log
from typing import Any

from pykubelet.objects import selectors
from pykubelet.scheduler.framework import (
    MAX_SCORE,
    NODE_ADD,
    NODE_CHANGE,
    NODE_DELETE,
    POD_ADD,
    POD_CHANGE,
    POD_DELETE,
    Bar,
    Event,
    Joint,
    Plugin,
    Rejection,
)
from pykubelet.scheduler.nodes import HOSTNAME, ZONE, NodeInfo
from pykubelet.scheduler.plugins.node_affinity import wanted
from pykubelet.scheduler.pods import PodInfo, Template
from pykubelet.scheduler.snapshot import Snapshot
from pykubelet.scheduler.terms import same_values

Json = dict[str, Any]

SYSTEM_DEFAULTS: tuple[Json, ...] = (
    {"topologyKey": HOSTNAME, "maxSkew": 3, "whenUnsatisfiable": "ScheduleAnyway"},
    {"topologyKey": ZONE, "maxSkew": 5, "whenUnsatisfiable": "ScheduleAnyway"},
)


@dataclass(frozen=True, slots=True)
class Constraint:
    key: str
    max_skew: int
    hard: bool
    selector: selectors.Selector
    min_domains: int
    honors_affinity: bool
    honors_taints: bool


class PodTopologySpread(Plugin):
    name = "PodTopologySpread"
    about_others = True
    events = frozenset((NODE_ADD, NODE_CHANGE, NODE_DELETE, POD_ADD, POD_DELETE, POD_CHANGE))

    def __init__(self, defaults: Sequence[Json] | None = None) -> None:
        """Default constraints of the profile; None for upstream's own."""
        self._defaults = tuple(SYSTEM_DEFAULTS if defaults is None else defaults)
        self._system = defaults is None

    def joint(self, pod: PodInfo, view: Snapshot) -> Joint | None:
        template = pod.template
        constraints = self.constraints(template, view)
        if not constraints and not self._defaulted(template):
            return None
        # The system's defaults let nodes without a zone take part by their name.
        strict = bool(template.spread) or not self._system
        return _Spread(self, template, constraints, strict, view)

    def constraints(self, template: Template, view: Snapshot) -> tuple[Constraint, ...]:
        if template.spread:
            return tuple(_constraint(one, template) for one in template.spread)
        kind = view.catalog.selector_of(template) if self._defaults else ()
        return tuple(_default(one, kind) for one in self._defaults) if kind else ()

    def _defaulted(self, template: Template) -> bool:
        return bool(self._defaults) and not template.spread

    def hint(self, pod: PodInfo, event: Event, view: Snapshot) -> bool:
        if event.pod is None:
            return True
        other = event.pod.template
        if other.namespace != pod.namespace:
            return False
        return any(
            selectors.matches(one.selector, other.labels)
            for one in self.constraints(pod.template, view)
        )


def _constraint(written: Json, template: Template) -> Constraint:
    selector = selectors.from_object(written.get("labelSelector"))
    if written.get("labelSelector") is not None:
        keys = written.get("matchLabelKeys") or ()
        selector = (*selector, *same_values(keys, template.labels, "in"))
    return Constraint(
        written["topologyKey"],
        int(written["maxSkew"]),
        written.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
        selector,
        int(written.get("minDomains") or 1),
        written.get("nodeAffinityPolicy", "Honor") == "Honor",
        written.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def _default(written: Json, kind: selectors.Selector) -> Constraint:
    hard = written.get("whenUnsatisfiable") == "DoNotSchedule"
    return Constraint(written["topologyKey"], int(written["maxSkew"]), hard, kind, 1, True, False)


class _Spread:
    """Counts of the pods of one kind by place, for each constraint of one template."""

    def __init__(
        self,
        plugin: PodTopologySpread,
        template: Template,
        constraints: tuple[Constraint, ...],
        strict: bool,
        view: Snapshot,
    ) -> None:
        self._plugin = plugin
        self._mine = template
        self._view = view
        self._strict = strict
        self._constraints = constraints
        self._hard = [(n, c) for n, c in enumerate(constraints) if c.hard]
        self._soft = [(n, c) for n, c in enumerate(constraints) if not c.hard]
        self._own = [selectors.matches(c.selector, template.labels) for c in constraints]
        self._kinds: dict[Template, tuple[int, ...]] = {}
        # Places that take part, with their counts; of soft constraints those with pods suffice.
        self._counts: list[dict[str | None, int]] = [{} for _ in constraints]
        self._bars: list[Bar] | None = None
        self._count_all()

    def _count_all(self) -> None:
        if not self._constraints:
            return
        for node in self._view.nodes:
            for number, constraint in self._hard:
                if self._takes_part(node, constraint):
                    self._counts[number].setdefault(node.facts.labels[constraint.key], 0)
            for pod in node.pods.values():
                if pod.template not in self._kinds or self._kinds[pod.template]:
                    self.change(node, pod, 1)

    def change(self, node: NodeInfo, pod: PodInfo, sign: int) -> None:
        numbers = self._kinds.get(pod.template)
        if numbers is None:
            numbers = self._kinds[pod.template] = self._numbers(pod.template)
        if not numbers or pod.terminating:
            return
        for number in numbers:
            constraint = self._constraints[number]
            if self._takes_part(node, constraint):
                counts = self._counts[number]
                value = node.facts.labels[constraint.key]
                counts[value] = counts.get(value, 0) + sign
                self._bars = None

    def _numbers(self, other: Template) -> tuple[int, ...]:
        if other.namespace != self._mine.namespace:
            return ()
        return tuple(
            number
            for number, constraint in enumerate(self._constraints)
            if selectors.matches(constraint.selector, other.labels)
        )

    def _takes_part(self, node: NodeInfo, constraint: Constraint) -> bool:
        labels = node.facts.labels
        if constraint.key not in labels:
            return False
        if self._strict:
            group = self._hard if constraint.hard else self._soft
            if any(other.key not in labels for _, other in group):
                return False
        mine = self._mine
        if constraint.honors_affinity and not wanted(mine.shape, node):
            return False
        return not constraint.honors_taints or all(
            selectors.tolerated(taint, mine.shape.tolerations) for taint in node.taints
        )

    # -- hard ------------------------------------------------------------------------------------

    def bars(self) -> Sequence[Bar]:
        if self._bars is None:
            self._bars = list(self._barred())
        return self._bars

    def _barred(self) -> Iterator[Bar]:
        for number, constraint in self._hard:
            counts = self._counts[number]
            enough = len(counts) >= constraint.min_domains
            lowest = min(counts.values(), default=0) if enough else 0
            most = lowest + constraint.max_skew - self._own[number]
            yield Bar(constraint.key, _UNKNOWN, _UNLABELLED)
            full = {value for value, count in counts.items() if count > most}
            if full:
                yield Bar(constraint.key, full, _SKEWED)

    # -- soft ------------------------------------------------------------------------------------

    def scores(self, found: Sequence[int]) -> list[int] | None:
        if not self._soft:
            return None
        topologies = [self._view.topology(constraint.key) for _, constraint in self._soft]
        left_out: set[int] = set()
        if self._strict:
            left_out = {
                place
                for place, index in enumerate(found)
                if any(values[index] is None for values in topologies)
            }
        if not left_out and not any(any(self._counts[n].values()) for n, _ in self._soft):
            return None
        raw = [0.0] * len(found)
        for (number, constraint), values in zip(self._soft, topologies, strict=True):
            labels = [values[index] for index in found]
            if constraint.key == HOSTNAME:
                places = len(found) - len(left_out)
            elif left_out:
                places = len({one for place, one in enumerate(labels) if place not in left_out})
            else:
                places = len(set(labels))
            weight = log(places + 2)
            # In one sweep for all nodes: this is most of what a decision takes.
            counts = map(self._counts[number].get, labels, repeat(0))
            slack = constraint.max_skew - 1
            raw = [score + count * weight + slack for score, count in zip(raw, counts)]  # noqa: B905
            if slack and None in labels:
                raw = [r if v is not None else r - slack for r, v in zip(raw, labels, strict=True)]
        whole = [int(score + 0.5) for score in raw]
        taking_part = (
            [one for place, one in enumerate(whole) if place not in left_out] if left_out else whole
        )
        highest, lowest = max(taking_part, default=0), min(taking_part, default=0)
        if highest == 0:
            made = [MAX_SCORE] * len(whole)
        else:
            both = highest + lowest
            made = [MAX_SCORE * (both - one) // highest for one in whole]
        for place in left_out:
            made[place] = 0
        return made

    def fresh(self, view: Snapshot) -> bool:
        return self._plugin.constraints(self._mine, view) == self._constraints


_UNKNOWN = frozenset((None,))
_UNLABELLED = Rejection(
    PodTopologySpread.name,
    ("node(s) didn't match pod topology spread constraints (missing required label)",),
    False,
)
_SKEWED = Rejection(
    PodTopologySpread.name, ("node(s) didn't match pod topology spread constraints",)
)
