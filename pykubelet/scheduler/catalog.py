"""Everything beside pods and nodes that a decision may look at: namespaces, the selectors of
services and their like, volumes and classes, disruption budgets.

Objects are kept as they come (slim: see `observing`), by their key. `version` changes with every
one that verdicts may rest on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pykubelet.objects import selectors
from pykubelet.scheduler.pods import PodInfo, Template

Json = dict[str, Any]
Objects = dict[str, Json]

SELECTING = ("ReplicaSet", "StatefulSet", "ReplicationController")
"""Kinds whose selector tells which pods belong together, beside Service."""

BOUND = "pv.kubernetes.io/bind-completed"


@dataclass(slots=True)
class Catalog:
    objects: dict[str, Objects] = field(default_factory=dict)
    """By kind and key."""
    version: int = 0
    reserved: dict[str, str] = field(default_factory=dict)
    """Volumes by name that a decision has promised to a claim, until the volume itself says so."""
    _services: dict[str, Objects] = field(default_factory=dict)
    _labels: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def put(self, kind: str, key: str, object_: Json) -> None:
        self.objects.setdefault(kind, {})[key] = object_
        self._index(kind, key, object_)

    def drop(self, kind: str, key: str) -> None:
        self.objects.get(kind, {}).pop(key, None)
        self._index(kind, key, None)

    def get(self, kind: str, key: str) -> Json | None:
        return self.objects.get(kind, {}).get(key)

    def all(self, kind: str) -> list[Json]:
        return list(self.objects.get(kind, {}).values())

    def namespace_labels(self) -> Mapping[str, Mapping[str, str]]:
        return self._labels

    def selector_of(self, template: Template) -> selectors.Selector:
        """Which pods are of one kind with this: by its services and its controller. Empty where
        nobody selects it, in which case there is nothing to spread over."""
        made: set[selectors.Requirement] = set()
        for service in self._services.get(template.namespace, {}).values():
            wanted = (service.get("spec") or {}).get("selector")
            if wanted and all(template.labels.get(k) == v for k, v in wanted.items()):
                made.update(selectors.from_map(wanted))
        if template.controller and template.controller[0] in SELECTING:
            kind, name = template.controller
            owner = self.get(kind, f"{template.namespace}/{name}")
            wanted = ((owner or {}).get("spec") or {}).get("selector") or {}
            if wanted:
                plain = kind == "ReplicationController"
                made.update(selectors.from_map(wanted) if plain else selectors.from_object(wanted))
        return tuple(sorted(made, key=lambda r: (r.key, r.operator, sorted(r.values))))

    def claims_of(self, pod: PodInfo) -> Iterator[Json | None]:
        for name, _ in pod.claims():
            yield self.get("PersistentVolumeClaim", f"{pod.namespace}/{name}")

    def volumes_of(self, pod: PodInfo) -> Iterator[Json]:
        """The volumes that the pod's claims are bound to."""
        for claim in self.claims_of(pod):
            volume = self.get("PersistentVolume", volume_name(claim)) if claim else None
            if volume is not None:
                yield volume

    def _index(self, kind: str, key: str, object_: Json | None) -> None:
        if kind == "Service":
            services = self._services.setdefault(key.partition("/")[0], {})
            if object_ is None:
                services.pop(key, None)
            else:
                services[key] = object_
        elif kind == "Namespace":
            if object_ is None:
                self._labels.pop(key, None)
            else:
                self._labels[key] = object_["metadata"].get("labels") or {}
        if kind in (*SELECTING, "Service", "Namespace"):
            self.version += 1


def volume_name(claim: Json) -> str:
    return str((claim.get("spec") or {}).get("volumeName") or "")


def is_bound(claim: Json) -> bool:
    """Whether claim and volume have found each other, both ways."""
    return bool(volume_name(claim)) and BOUND in (claim["metadata"].get("annotations") or {})
