"""InterPodAffinity: pods that must, or would rather, run near or far from others.

Near and far are measured by a node label: nodes with the same value are one place. Four counts
decide, each by (label, value): pods on which the incoming one insists, pods that it refuses, pods
that refuse it, and the sum of everybody's wishes. A pod may be the first of a group that wants to
be near itself. Wishes of pods that already run count as well, requirements with a small weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

from pykubelet.scheduler.framework import (
    MAX_SCORE,
    NODE_ADD,
    NODE_CHANGE,
    POD_ADD,
    POD_CHANGE,
    POD_DELETE,
    Bar,
    Event,
    Joint,
    Plugin,
    Rejection,
)
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo, Template
from pykubelet.scheduler.snapshot import Snapshot
from pykubelet.scheduler.terms import Term

Place = tuple[str, str]
"""A node label and a value of it."""

K = TypeVar("K")


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    about_others = True
    events = frozenset((NODE_ADD, NODE_CHANGE, POD_ADD, POD_DELETE, POD_CHANGE))
    kinds = frozenset(("Namespace",))

    def __init__(self, hard_weight: int = 1, ignore_preferred_of_existing: bool = False) -> None:
        self._hard_weight = hard_weight
        self._ignore = ignore_preferred_of_existing

    def joint(self, pod: PodInfo, view: Snapshot) -> Joint | None:
        mine = pod.template.affinity
        heeds = not self._ignore or bool(mine.prefers_with or mine.prefers_against)
        return _Affinities(pod.template, view, self._hard_weight, heeds)

    def hint(self, pod: PodInfo, event: Event, view: Snapshot) -> bool:
        if event.pod is None or event.name == POD_CHANGE:
            return True
        mine, other = pod.template, event.pod.template
        if event.name == POD_ADD:
            return any(_means(term, other, view) for term in mine.affinity.with_)
        return any(_means(term, other, view) for term in mine.affinity.against) or any(
            _means(term, mine, view) for term in other.affinity.against
        )


def _means(term: Term, template: Template, view: Snapshot) -> bool:
    return term.means(template.namespace, template.labels, view.catalog.namespace_labels())


class _Part:
    """What one pod of a template adds to the counts, wherever it runs: label and amount."""

    __slots__ = ("insisted", "refused", "refuses", "wishes")

    def __init__(self) -> None:
        self.insisted: tuple[str, ...] = ()
        self.refused: tuple[str, ...] = ()
        self.refuses: tuple[str, ...] = ()
        self.wishes: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.insisted or self.refused or self.refuses or self.wishes)


class _Affinities:
    def __init__(self, template: Template, view: Snapshot, hard_weight: int, heeds: bool) -> None:
        self._mine = template
        self._view = view
        self._hard_weight = hard_weight
        self._heeds = heeds
        self._parts: dict[Template, _Part] = {}
        self._insisted: Counter[Place] = Counter()
        self._bars: list[Bar] | None = None
        self._refused: dict[str, Counter[str]] = {}
        self._refuse: dict[str, Counter[str]] = {}
        self._wishes: Counter[Place] = Counter()
        self._namespaces = dict(view.catalog.namespace_labels())
        self._looks = template.affinity.looks_at_namespaces
        affinity = template.affinity
        # A pod that wants to be near its like may be the first.
        self._first_of_its_kind = all(_means(term, template, view) for term in affinity.with_)
        self._count_all()

    def _count_all(self) -> None:
        view = self._view
        nodes = view.nodes if self._mine.affinity else map(view.node, list(view.affine))
        for node in nodes:
            if node is not None:
                for pod in node.pods.values():
                    self.change(node, pod, 1)

    def change(self, node: NodeInfo, pod: PodInfo, sign: int) -> None:
        part = self._parts.get(pod.template)
        if part is None:
            part = self._parts[pod.template] = self._part(pod.template)
        if not part:
            return
        self._bars = None
        labels = node.facts.labels
        for key in part.insisted:
            if key in labels:
                _add(self._insisted, (key, labels[key]), sign)
        for counts, keys in ((self._refused, part.refused), (self._refuse, part.refuses)):
            for key in keys:
                if key in labels:
                    values = counts.setdefault(key, Counter())
                    _add(values, labels[key], sign)
                    if not values:
                        del counts[key]
        for key, weight in part.wishes:
            if key in labels:
                _add(self._wishes, (key, labels[key]), sign * weight)

    def _part(self, other: Template) -> _Part:
        view, mine = self._view, self._mine.affinity
        theirs = other.affinity
        if theirs.looks_at_namespaces:
            self._looks = True
        part = _Part()
        if mine.with_ and all(_means(term, other, view) for term in mine.with_):
            part.insisted = tuple(term.topology_key for term in mine.with_)
        part.refused = tuple(
            term.topology_key for term in mine.against if _means(term, other, view)
        )
        part.refuses = tuple(
            term.topology_key for term in theirs.against if _means(term, self._mine, view)
        )
        wishes: Counter[str] = Counter()
        for terms, about, sign in (
            (mine.prefers_with, other, 1),
            (mine.prefers_against, other, -1),
            (theirs.prefers_with if self._heeds else (), self._mine, 1),
            (theirs.prefers_against if self._heeds else (), self._mine, -1),
        ):
            for term in terms:
                if _means(term, about, view):
                    wishes[term.topology_key] += sign * term.weight
        if self._hard_weight and self._heeds:
            for term in theirs.with_:
                if _means(term, self._mine, view):
                    wishes[term.topology_key] += self._hard_weight
        part.wishes = tuple(item for item in wishes.items() if item[1])
        return part

    def bars(self) -> Sequence[Bar]:
        if self._bars is None:
            self._bars = [*self._not_near(), *self._too_near()]
        return self._bars

    def _not_near(self) -> Iterator[Bar]:
        terms = self._mine.affinity.with_
        first = not self._insisted and self._first_of_its_kind
        for term in terms:
            key = term.topology_key
            if first:  # anywhere will do, as long as it is a place
                yield Bar(key, _UNKNOWN, _NOT_NEAR)
            else:
                places = set(self._view.topology(key)) | _UNKNOWN
                near = {value for one, value in self._insisted if one == key}
                yield Bar(key, places - near, _NOT_NEAR)

    def _too_near(self) -> Iterator[Bar]:
        for key, refused in self._refused.items():
            yield Bar(key, refused, _TOO_NEAR)
        for key, refusing in self._refuse.items():
            yield Bar(key, refusing, _UNWELCOME)

    def scores(self, found: Sequence[int]) -> list[int] | None:
        if not self._wishes:
            return None
        by_key: dict[str, dict[str, int]] = {}
        for (key, value), weight in self._wishes.items():
            by_key.setdefault(key, {})[value] = weight
        raw = [0] * len(found)
        for key, weights in by_key.items():
            values = self._view.topology(key)
            raw = [
                score + weights.get(values[index] or "", 0)
                for score, index in zip(raw, found, strict=True)
            ]
        lowest, highest = min(raw), max(raw)
        if lowest == highest:
            return None
        return [MAX_SCORE * (one - lowest) // (highest - lowest) for one in raw]

    def fresh(self, view: Snapshot) -> bool:
        return not self._looks or self._namespaces == view.catalog.namespace_labels()


def _add(counts: Counter[K], key: K, amount: int) -> None:
    counts[key] += amount
    if not counts[key]:
        del counts[key]


_UNKNOWN: frozenset[str | None] = frozenset((None,))
_NOT_NEAR = Rejection(InterPodAffinity.name, ("node(s) didn't match pod affinity rules",), False)
_TOO_NEAR = Rejection(InterPodAffinity.name, ("node(s) didn't match pod anti-affinity rules",))
_UNWELCOME = Rejection(
    InterPodAffinity.name, ("node(s) didn't satisfy existing pods anti-affinity rules",)
)
