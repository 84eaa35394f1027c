"""Checks a tree against a structural schema, in the words of the reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pykubelet.objects import fields
from pykubelet.objects.fields import FieldError, Path, written
from pykubelet.objects.structural.pruning import INT_OR_STRING

Json = dict[str, Any]
Errors = Iterator[FieldError]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_MOST = 10_000


def validate(tree: Any, schema: Json, path: Path = ()) -> Errors:
    """Everything wrong with a tree."""
    if tree is None and schema.get("nullable"):
        return
    kind = schema.get("type")
    if schema.get(INT_OR_STRING):
        if not isinstance(tree, int | str) or isinstance(tree, bool):
            yield _not_of_type(tree, "integer,string", path)
            return
    elif kind and not _is_of(tree, kind):
        yield _not_of_type(tree, kind, path)
        return
    if "enum" in schema and tree not in schema["enum"]:
        yield fields.not_supported(path, tree, [str(one) for one in schema["enum"]])
    match tree:
        case dict():
            yield from _mapping(tree, schema, path)
        case list():
            yield from _list(tree, schema, path)
        case str():
            yield from _text(tree, schema, path)
        case int() | float() if not isinstance(tree, bool):
            yield from _number(tree, schema, path)
    yield from _combined(tree, schema, path)


def _mapping(tree: Json, schema: Json, path: Path) -> Errors:
    for key in schema.get("required") or ():
        if key not in tree:
            yield fields.required((*path, key))
    properties = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    for key, value in tree.items():
        if key in properties:
            known = properties[key]
            if value is None and not known.get("nullable") and "type" not in known:
                continue
            yield from validate(value, known, (*path, key))
        elif isinstance(others, dict):
            yield from validate(value, others, (*path, key))
    if len(tree) > schema.get("maxProperties", len(tree)):
        yield fields.too_many(path, len(tree), schema["maxProperties"])
    if len(tree) < schema.get("minProperties", 0):
        yield _body(path, tree, f"should have at least {schema['minProperties']} properties")


def _list(tree: list[Any], schema: Json, path: Path) -> Errors:
    items = schema.get("items")
    if isinstance(items, dict):
        for index, one in enumerate(tree[:_MOST]):
            yield from validate(one, items, (*path, index))
    if len(tree) > schema.get("maxItems", len(tree)):
        yield fields.too_many(path, len(tree), schema["maxItems"])
    if len(tree) < schema.get("minItems", 0):
        yield _body(path, len(tree), f"should have at least {schema['minItems']} items")
    kind = schema.get("x-kubernetes-list-type")
    if kind in ("set", "map"):
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        seen: list[Any] = []
        for index, one in enumerate(tree):
            mark = {k: one.get(k) for k in keys} if kind == "map" and isinstance(one, dict) else one
            if mark in seen:
                yield fields.duplicate((*path, index), mark)
            seen.append(mark)


def _text(tree: str, schema: Json, path: Path) -> Errors:
    if len(tree) > schema.get("maxLength", len(tree)):
        yield fields.too_long(path, schema["maxLength"])
    if len(tree) < schema.get("minLength", 0):
        yield _body(path, tree, f"should be at least {schema['minLength']} chars long")
    pattern = schema.get("pattern")
    if pattern and not _matches(pattern, tree):
        yield _body(path, tree, f"should match '{pattern}'")


def _number(tree: float, schema: Json, path: Path) -> Errors:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (tree <= low if schema.get("exclusiveMinimum") else tree < low):
        word = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield _body(path, tree, f"should be {word} {low:g}")
    if high is not None and (tree >= high if schema.get("exclusiveMaximum") else tree > high):
        word = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield _body(path, tree, f"should be {word} {high:g}")
    step = schema.get("multipleOf")
    if step and tree % step:
        yield _body(path, tree, f"should be a multiple of {step:g}")


def _combined(tree: Any, schema: Json, path: Path) -> Errors:
    for one in schema.get("allOf") or ():
        yield from validate(tree, one, path)
    for key, word in (("anyOf", "at least one"), ("oneOf", "one and only one")):
        choices = schema.get(key)
        if not choices or schema.get(INT_OR_STRING):
            continue
        fitting = sum(next(validate(tree, one, path), None) is None for one in choices)
        if not fitting or (key == "oneOf" and fitting > 1):
            text = f'"{written(path)}" must validate {word} schema ({key})'
            yield fields.invalid(path, tree, text)
    forbidden = schema.get("not")
    if forbidden and next(validate(tree, forbidden, path), None) is None:
        yield fields.invalid(path, tree, f'"{written(path)}" must not validate the schema (not)')


def _is_of(tree: Any, kind: str) -> bool:
    if isinstance(tree, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(tree, float):
        return tree.is_integer()
    return isinstance(tree, _TYPES.get(kind, (object,)))


def _not_of_type(tree: Any, kind: str, path: Path) -> FieldError:
    found = "null" if tree is None else next(
        (name for name, types in _TYPES.items() if _is_of(tree, name) and types), "object"
    )  # fmt: skip
    return fields.invalid(path, found, f'{written(path)} in body must be of type {kind}: "{found}"')


def _body(path: Path, value: Any, text: str) -> FieldError:
    return fields.invalid(path, value, f"{written(path)} in body {text}")


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None  # a pattern of another dialect: nothing can be said


def _matches(pattern: str, text: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(text) is not None
