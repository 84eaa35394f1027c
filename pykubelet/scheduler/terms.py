"""Pod affinity terms: which pods a term means, read once per template.

A term means pods by their labels and by their namespace: named namespaces, those that a selector
selects, or the pod's own where neither is given. Sources: the API reference (PodAffinityTerm),
KEP-2249 (namespace selector), KEP-3633 (matchLabelKeys and mismatchLabelKeys).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.objects import selectors

Json = dict[str, Any]
NamespaceLabels = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Term:
    topology_key: str
    selector: selectors.Selector
    namespaces: frozenset[str]
    namespace_selector: selectors.Selector | None
    weight: int = 0
    """1 to 100 of a preferred term; 0 of a required one."""

    def means(self, namespace: str, labels: Mapping[str, str], namespaces: NamespaceLabels) -> bool:
        """Whether pods with these labels in this namespace are meant."""
        if namespace not in self.namespaces:
            chosen = self.namespace_selector
            if chosen is None or not selectors.matches(chosen, namespaces.get(namespace)):
                return False
        return selectors.matches(self.selector, labels)


@dataclass(frozen=True, slots=True)
class Affinity:
    """A pod's terms towards other pods: to be near (`with_`) and to be apart (`against`)."""

    with_: tuple[Term, ...] = ()
    against: tuple[Term, ...] = ()
    prefers_with: tuple[Term, ...] = ()
    prefers_against: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.with_ or self.against or self.prefers_with or self.prefers_against)

    @property
    def looks_at_namespaces(self) -> bool:
        every = (*self.with_, *self.against, *self.prefers_with, *self.prefers_against)
        return any(term.namespace_selector is not None for term in every)


NONE = Affinity()


def affinity_of(affinity: Json, namespace: str, labels: Mapping[str, str]) -> Affinity:
    """From `spec.affinity` of a pod in a namespace with these labels."""
    near, apart = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    if not near and not apart:
        return NONE

    def required(side: Json) -> tuple[Term, ...]:
        written = side.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        return tuple(_term(term, namespace, labels) for term in written)

    def preferred(side: Json) -> tuple[Term, ...]:
        written = side.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        return tuple(
            _term(one["podAffinityTerm"], namespace, labels, int(one["weight"])) for one in written
        )

    return Affinity(required(near), required(apart), preferred(near), preferred(apart))


def _term(term: Json, namespace: str, labels: Mapping[str, str], weight: int = 0) -> Term:
    selector = selectors.from_object(term.get("labelSelector"))
    if term.get("labelSelector") is not None:
        selector = (
            *selector,
            *same_values(term.get("matchLabelKeys") or (), labels, "in"),
            *same_values(term.get("mismatchLabelKeys") or (), labels, "notin"),
        )
    named = frozenset(term.get("namespaces") or ())
    chosen = term.get("namespaceSelector")
    if not named and chosen is None:
        named = frozenset((namespace,))
    return Term(
        term["topologyKey"],
        selector,
        named,
        selectors.from_object(chosen) if chosen is not None else None,
        weight,
    )


def same_values(
    keys: Iterable[str], labels: Mapping[str, str], operator: str
) -> tuple[selectors.Requirement, ...]:
    """Requirements for the values that the pod itself has under these keys."""
    return tuple(
        selectors.Requirement(key, operator, frozenset((labels[key],)))
        for key in keys
        if key in labels
    )
