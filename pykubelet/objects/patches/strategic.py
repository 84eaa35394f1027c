"""Strategic merge patch: a merge that knows the lists of the API.

A list whose field has a merge key is merged item by item; other lists are replaced. Directives in
the patch: `$patch: delete|replace|merge`, `$retainKeys`, `$deleteFromPrimitiveList/<field>` and
`$setElementOrder/<field>`. Source: sig-api-machinery, "strategic-merge-patch".
"""

from __future__ import annotations

from typing import Any

from pykubelet.errors import Invalid
from pykubelet.objects.schema import tables

Json = dict[str, Any]

_DIRECTIVE, _RETAIN = "$patch", "$retainKeys"
_ORDER, _DELETE_FROM = "$setElementOrder/", "$deleteFromPrimitiveList/"


def apply(tree: Json, patch: Json, type_name: str) -> Json:
    """The patched tree of an object of a built-in type."""
    return _mapping(tree, patch, type_name, "")


def _mapping(tree: Json, patch: Json, type_name: str, shape: str) -> Json:
    """`shape` is what stands before the type: `{}` for a map to it, nothing for itself."""
    match patch.get(_DIRECTIVE):
        case None | "merge":
            pass
        case "replace":
            return {key: value for key, value in patch.items() if key != _DIRECTIVE}
        case "delete":
            return {}
        case other:
            raise Invalid("unknown directive $patch", expected="delete, replace or merge",
                          found=repr(other))  # fmt: skip
    made = dict(tree)
    if _RETAIN in patch:
        keep = set(patch[_RETAIN])
        made = {key: value for key, value in made.items() if key in keep}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            made.pop(key, None)
        elif key not in made:
            made[key] = _bare(value)
        else:
            made[key] = _value(made[key], value, type_name, shape, key, patch)
    for key, removed in patch.items():
        if key.startswith(_DELETE_FROM):
            name = key.removeprefix(_DELETE_FROM)
            if name in made:
                made[name] = [item for item in made[name] if item not in removed]
    for key, order in patch.items():
        if key.startswith(_ORDER):
            name = key.removeprefix(_ORDER)
            if isinstance(made.get(name), list):
                field = _field(type_name, shape, name)
                made[name] = _ordered(made[name], order, field.merge_key if field else "")
    return made


def _value(old: Any, new: Any, type_name: str, shape: str, key: str, patch: Json) -> Any:
    field = _field(type_name, shape, key)
    if isinstance(new, dict) and isinstance(old, dict):
        if field is None:
            return _mapping(old, new, type_name if shape.startswith("{}") else "", shape[2:])
        below = field.base if tables.is_type(field.base) else ""
        return _mapping(old, new, below, field.shape)
    if isinstance(new, list) and isinstance(old, list) and field is not None and field.merge:
        if field.merge_key:
            return _list(old, new, field)
        return [*old, *(item for item in new if item not in old)]
    return _bare(new)


def _list(old: list[Any], new: list[Any], field: tables.Field) -> list[Any]:
    """Items with the same merge key are merged; new ones go to the end."""
    key = field.merge_key
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" for item in new):
        return [_bare(item) for item in new if _DIRECTIVE not in item]
    made = list(old)
    for item in new:
        if not isinstance(item, dict) or item.get(key) is None:
            raise Invalid(f"map: {item} does not contain declared merge key: {key}")
        place = next((i for i, one in enumerate(made) if one.get(key) == item[key]), None)
        if item.get(_DIRECTIVE) == "delete":
            made = [one for one in made if one.get(key) != item[key]]
        elif place is None:
            made.append(_bare(item))
        else:
            made[place] = _mapping(made[place], item, field.base, "")
    return made


def _ordered(items: list[Any], order: list[Any], key: str) -> list[Any]:
    """In the given order; what isn't named keeps its place after what it followed."""
    if key:
        wanted = [one[key] for one in order]
        name = [item.get(key) for item in items]
    else:
        wanted, name = order, items
    rank: list[tuple[int, int]] = []
    last = -1
    for index, one in enumerate(name):
        if one in wanted:
            last = wanted.index(one)
        rank.append((last, index if one not in wanted else -1))
    return [item for _, item in sorted(zip(rank, items, strict=True), key=lambda pair: pair[0])]


def _bare(value: Any) -> Any:
    """A patch's value where nothing is there to merge with: without its directives and nulls."""
    if isinstance(value, dict):
        return {
            key: _bare(item)
            for key, item in value.items()
            if not key.startswith("$") and item is not None
        }
    if isinstance(value, list):
        return [
            _bare(item)
            for item in value
            if not (isinstance(item, dict) and item.get(_DIRECTIVE) in ("delete", "replace"))
        ]
    return value


def _field(type_name: str, shape: str, key: str) -> tables.Field | None:
    if not type_name or shape.startswith("{}"):
        return None
    return tables.type_of(type_name).fields.get(key)
