"""Does a tree have the shape of its type? Which fields does it have that the type doesn't know?

The good case is the common one, so a checker is compiled once for each type that is met (a closure
for each field) and nothing is built while all is well. Semantics (is this name a DNS label?) are
the business of validation, not of this.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from pykubelet.objects import quantity
from pykubelet.objects.fields import FieldError, Path
from pykubelet.objects.schema import tables

Check = Callable[[Any, Path, list[FieldError]], None]

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[-+]\d\d:\d\d)")
_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")


def check(type_name: str, tree: Any) -> list[FieldError]:
    """What is wrong with the shape of `tree` as a `type_name` (such as `core/v1.Pod`).

    Kinds: `unknown` (a field that the type lacks), `type` (a value of another type), `required` (a
    field that the API reference marks as required is missing; the reference server does not refuse
    these when decoding). A null counts as absent.
    """
    errors: list[FieldError] = []
    checker(type_name)(tree, (), errors)
    return errors


@cache
def checker(type_name: str) -> Check:
    """The compiled check of a type."""
    made = tables.type_of(type_name)
    if made.wrapper:
        return _field(made.fields["items"])
    checks: dict[str, Check] = {}
    required = tuple(made.required)

    def structure(value: Any, path: Path, errors: list[FieldError]) -> None:
        if type(value) is not dict:
            errors.append(_mismatch(path, "a mapping", value))
            return
        for key, item in value.items():
            if item is None:
                continue
            known = checks.get(key)
            if known is None:
                field = made.fields.get(key)
                if field is None:
                    errors.append(_unknown((*path, key), made))
                    continue
                known = checks[key] = _field(field)
            known(item, (*path, key), errors)
        for key in required:
            if value.get(key) is None:
                errors.append(FieldError((*path, key), "a value", "nothing", "required"))

    return structure


def _field(field: tables.Field) -> Check:
    return _shaped(field.shape, field.base)


@cache
def _shaped(shape: str, base: str) -> Check:
    if shape:
        inner = _shaped(shape[2:], base)
        return _list_of(inner) if shape.startswith("[]") else _map_of(inner)
    if base in SCALARS:
        return _scalar(*SCALARS[base])
    return checker(base) if tables.is_type(base) else _scalar("a string", _is_string)


def _list_of(inner: Check) -> Check:
    def check_list(value: Any, path: Path, errors: list[FieldError]) -> None:
        if type(value) is not list:
            errors.append(_mismatch(path, "a list", value))
            return
        for index, item in enumerate(value):
            if item is not None:
                inner(item, (*path, index), errors)

    return check_list


def _map_of(inner: Check) -> Check:
    def check_map(value: Any, path: Path, errors: list[FieldError]) -> None:
        if type(value) is not dict:
            errors.append(_mismatch(path, "a mapping", value))
            return
        for key, item in value.items():
            if item is not None:
                inner(item, (*path, key), errors)

    return check_map


def _scalar(expected: str, accepts: Callable[[Any], bool]) -> Check:
    def check_scalar(value: Any, path: Path, errors: list[FieldError]) -> None:
        if not accepts(value):
            errors.append(_mismatch(path, expected, value))

    return check_scalar


def _is_string(value: Any) -> bool:
    return type(value) is str


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_int32(value: Any) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


def _is_int64(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    return type(value) is float or type(value) is int


def _is_int_or_string(value: Any) -> bool:
    return type(value) is str or _is_int32(value)


def _is_bytes(value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        binascii.a2b_base64(value.encode().translate(None, b"\r\n"), strict_mode=True)
    except binascii.Error:
        return value == ""
    return True


def _is_time(value: Any) -> bool:
    if type(value) is not str or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value[:19])
    except ValueError:
        return False
    return True


def _is_duration(value: Any) -> bool:
    return type(value) is str and _DURATION.fullmatch(value) is not None


def _is_mapping(value: Any) -> bool:
    return type(value) is dict


def _is_anything(_: Any) -> bool:
    return True


SCALARS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("a string", _is_string),
    "bool": ("true or false", _is_bool),
    "int32": ("an integer of 32 bits", _is_int32),
    "int64": ("an integer of 64 bits", _is_int64),
    "byte": ("an integer from 0 to 255", lambda value: type(value) is int and 0 <= value < 256),
    "float64": ("a number", _is_number),
    "bytes": ("a string in base64", _is_bytes),
    "Quantity": ("a quantity, such as 100m or 1.5Gi", quantity.is_quantity),
    "IntOrString": ("an integer or a string", _is_int_or_string),
    "Time": ("a time, such as 2006-01-02T15:04:05Z", _is_time),
    "MicroTime": ("a time, such as 2006-01-02T15:04:05.000000Z", _is_time),
    "Duration": ("a duration, such as 1h30m", _is_duration),
    "RawExtension": ("an object", _is_mapping),
    "FieldsV1": ("a mapping", _is_mapping),
    "JSON": ("anything", _is_anything),
    "JSONSchemaPropsOrArray": (
        "a schema or a list of them",
        lambda value: isinstance(value, dict | list),
    ),
    "JSONSchemaPropsOrBool": (
        "a schema, true or false",
        lambda value: isinstance(value, dict | bool),
    ),
    "JSONSchemaPropsOrStringArray": (
        "a schema or a list of strings",
        lambda value: isinstance(value, dict | list),
    ),
}


def _mismatch(path: Path, expected: str, value: Any) -> FieldError:
    return FieldError(path, expected, describe(value), "type")


def _unknown(path: Path, made: tables.Type) -> FieldError:
    from difflib import get_close_matches  # only on the way to a complaint

    near = get_close_matches(str(path[-1]), made.fields, n=1, cutoff=0.6)
    return FieldError(
        path,
        f"a field of {made.name.rpartition('.')[2]}" + (f" ({near[0]}?)" if near else ""),
        str(path[-1]),
        "unknown",
    )


def describe(value: Any) -> str:
    """A value as a message shows it: its type, and itself where it is short."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case str():
            return repr(value) if len(value) <= 60 else repr(value[:57] + "...")
        case list():
            return "a list"
        case _:
            return "a mapping"
