"""A structural schema as server-side apply sees it: which lists have items of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pykubelet.objects.patches.field_sets import UNKNOWN, Shape

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StructuralShape:
    """The same answers as `field_sets.Shape` gives, from a schema."""

    schema: Json = field(default_factory=dict, hash=False)
    root: bool = False
    type_name: str = ""

    def child(self, key: str) -> StructuralShape | Shape:
        if self.root and key == "metadata":
            return Shape("meta/v1.ObjectMeta")
        below = (self.schema.get("properties") or {}).get(key)
        if below is None:
            below = self.schema.get("additionalProperties")
        return StructuralShape(below) if isinstance(below, dict) else UNKNOWN

    def item(self) -> StructuralShape | Shape:
        items = self.schema.get("items")
        return StructuralShape(items) if isinstance(items, dict) else UNKNOWN

    @property
    def list_type(self) -> str:
        return str(self.schema.get("x-kubernetes-list-type") or "atomic")

    @property
    def atomic(self) -> bool:
        return self.schema.get("x-kubernetes-map-type") == "atomic"

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.schema.get("x-kubernetes-list-map-keys") or ())

    def key_default(self, key: str) -> Any:
        """What a key of an item is where the item doesn't say."""
        items = self.schema.get("items") or {}
        return ((items.get("properties") or {}).get(key) or {}).get("default")
