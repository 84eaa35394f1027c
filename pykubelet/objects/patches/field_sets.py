"""Sets of fields, as server-side apply records who owns what.

A set is a tree in the form of `metadata.managedFields[].fieldsV1`: `f:name` is a field, `k:{...}`
an item of a list by its keys, `v:...` an item by its value; `.` says that the thing itself is in
the set, and a leaf (an empty mapping) is the same. Which lists have items of their own, and which
are one value, the schema tables tell. Source: KEP-555, and the structured-merge-diff project.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from pykubelet.objects.schema import tables

Json = dict[str, Any]
FieldSet = dict[str, Any]
SELF = "."


@dataclass(frozen=True, slots=True)
class Shape:
    """What stands somewhere: a structure (`type_name`), a map, a list, a value. `field` tells how
    its list, if it is one, is treated. Without a type everything below is deduced: mappings have
    fields, lists are one value."""

    type_name: str = ""
    field: tables.Field | None = None
    shape: str = ""

    def child(self, key: str) -> AnyShape:
        """What stands below a key of a mapping."""
        if self.shape.startswith("{}") and self.field is not None:
            return Shape(self.type_name, self.field, self.shape[2:])
        if self.shape or not self.type_name:
            return UNKNOWN
        field = tables.type_of(self.type_name).fields.get(key)
        if field is None:
            return UNKNOWN
        return Shape(field.base if tables.is_type(field.base) else "", field, field.shape)

    def item(self) -> AnyShape:
        """An item of a list."""
        return Shape(self.type_name, None, "")

    @property
    def list_type(self) -> str:
        """`map`, `set` or `atomic`, for a list."""
        if self.field is None or not self.shape.startswith("[]"):
            return "atomic"
        return self.field.list_type or "atomic"

    @property
    def atomic(self) -> bool:
        """Whether a mapping here is one value."""
        if self.field is not None and self.field.atomic:
            return True
        base = self.field.base if self.field else ""
        if base in ("RawExtension", "FieldsV1", "JSON", "Quantity", "IntOrString"):
            return not self.shape.startswith("{}")
        if self.type_name and not self.shape:
            return tables.type_of(self.type_name).atomic
        return False

    @property
    def keys(self) -> tuple[str, ...]:
        return self.field.keys if self.field else ()

    def key_default(self, key: str) -> Any:
        """What a key of an item is where the item doesn't say."""
        if not self.type_name:
            return None
        known = tables.type_of(self.type_name).fields.get(key)
        return known.default if known else None


class AnyShape(Protocol):
    """What stands somewhere, whoever tells it: the tables, or a custom schema."""

    def child(self, key: str) -> AnyShape: ...
    def item(self) -> AnyShape: ...
    def key_default(self, key: str) -> Any: ...
    @property
    def list_type(self) -> str: ...
    @property
    def atomic(self) -> bool: ...
    @property
    def keys(self) -> tuple[str, ...]: ...


UNKNOWN = Shape()


def entries(value: Any, shape: AnyShape) -> Iterator[tuple[str, Any, AnyShape]] | None:
    """The parts of a value that are owned one by one: (path element, part, its shape). None for
    what is owned as a whole."""
    if isinstance(value, dict) and not shape.atomic:
        return ((f"f:{key}", item, shape.child(key)) for key, item in value.items())
    if isinstance(value, list):
        if shape.list_type == "map":
            inner = shape.item()
            return ((key_of(item, shape), item, inner) for item in value)
        if shape.list_type == "set":
            return ((f"v:{_json(item)}", None, UNKNOWN) for item in value)
    return None


def key_of(item: Any, shape: AnyShape) -> str:
    """The path element of an item of a `map` list: its keys, with their defaults."""
    keys: Json = {}
    for key in shape.keys:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            value = shape.key_default(key)
        if value is not None:
            keys[key] = value
    return f"k:{_json(keys)}"


def set_of(value: Any, shape: AnyShape, top: bool = True) -> FieldSet:
    """All fields that a tree has: the leaves, and with them the items of lists and the mappings
    that are given empty."""
    found = entries(value, shape)
    if found is None:
        return {}
    made: FieldSet = {}
    for element, part, inner in found:
        below = {} if element.startswith("v:") else set_of(part, inner, False)
        if below and element.startswith("k:"):
            below = {SELF: {}, **below}
        made[element] = below
    return made


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    made = dict(a)
    for key, below in b.items():
        if key not in made:
            made[key] = below
        elif below or made[key]:
            left = made[key] or {SELF: {}}
            made[key] = union(left, below or {SELF: {}})
    return made


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """What is in `a` and not in `b`."""
    made: FieldSet = {}
    for key, below in a.items():
        if key not in b:
            made[key] = below
            continue
        if key == SELF:
            continue
        other = b[key]
        left = difference(below or {SELF: {}}, other or {SELF: {}})
        if left == {SELF: {}}:
            made[key] = {}
        elif left:
            made[key] = left
    return made


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    """What is in both."""
    made: FieldSet = {}
    for key, below in a.items():
        if key not in b:
            continue
        if key == SELF:
            made[SELF] = {}
            continue
        common = intersection(below or {SELF: {}}, b[key] or {SELF: {}})
        if common == {SELF: {}}:
            made[key] = {}
        elif common:
            made[key] = common
    return made


def without(tree: FieldSet, *paths: tuple[str, ...]) -> FieldSet:
    """The set without what stands at, or below, these paths."""
    made = dict(tree)
    for first, *rest in paths:
        if first not in made:
            continue
        if not rest:
            del made[first]
            continue
        below = without(made[first], tuple(rest))
        if below:
            made[first] = below
        else:
            del made[first]
    return made


def changed(old: Any, new: Any, shape: AnyShape) -> tuple[FieldSet, FieldSet]:
    """(fields that are new or different, fields that are gone), comparing two trees."""
    if old == new:
        return {}, {}
    before = _parts(old, shape)
    after = _parts(new, shape)
    if before is None or after is None:
        return {SELF: {}}, {}
    set_now: FieldSet = {}
    gone: FieldSet = {}
    for element, (part, inner) in after.items():
        if element not in before:
            below = {} if element.startswith("v:") else set_of(part, inner)
            if below and element.startswith("k:"):
                below = {SELF: {}, **below}
            set_now[element] = below
            continue
        if element.startswith("v:"):
            continue
        more, less = changed(before[element][0], part, inner)
        if more:
            set_now[element] = {} if more == {SELF: {}} else more
        if less:
            gone[element] = less
    for element, (part, inner) in before.items():
        if element not in after:
            below = {} if element.startswith("v:") else set_of(part, inner)
            gone[element] = {SELF: {}, **below} if below else {}
    return set_now, gone


def _parts(value: Any, shape: AnyShape) -> dict[str, tuple[Any, AnyShape]] | None:
    found = entries(value, shape)
    if found is None:
        return None
    return {element: (part, inner) for element, part, inner in found}


def remove(tree: Any, fields: FieldSet, shape: AnyShape) -> Any:
    """The tree without the fields of a set. A mapping or item goes as a whole when the set holds
    it itself; else only what is named below it."""
    if isinstance(tree, dict):
        made = dict(tree)
        for key in tree:
            element = f"f:{key}"
            if element not in fields:
                continue
            below = fields[element]
            if not below or SELF in below:
                inner = remove(made[key], below, shape.child(key)) if below else None
                if not below or _is_empty(inner):
                    del made[key]
                else:
                    made[key] = inner
            else:
                made[key] = remove(made[key], below, shape.child(key))
        return made
    if isinstance(tree, list):
        kept = []
        for item in tree:
            element = key_of(item, shape) if shape.list_type == "map" else f"v:{_json(item)}"
            if element not in fields:
                kept.append(item)
                continue
            below = fields[element]
            if below and SELF not in below:
                kept.append(remove(item, below, shape.item()))
        return kept
    return tree


def _is_empty(value: Any) -> bool:
    return value in ({}, [], None)


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def path_text(path: tuple[str, ...]) -> str:
    """A path as conflicts name it: `.spec.containers[name="c"].image`."""
    out = ""
    for element in path:
        kind, _, rest = element.partition(":")
        match kind:
            case "f":
                out += f".{rest}"
            case "k":
                keys = orjson.loads(rest)
                inside = ",".join(
                    f"{key}={orjson.dumps(keys[key]).decode()}" for key in sorted(keys)
                )
                out += f"[{inside}]"
            case "v":
                out += f"[={rest}]"
    return out


def leaves(fields: FieldSet, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of a set."""
    for key, below in fields.items():
        if key == SELF:
            yield path
        elif below:
            yield from leaves(below, (*path, key))
        else:
            yield (*path, key)
