"""A tree as a client wrote it into the one form that the API stores and shows.

What decoding into the reference's types and encoding again does, done on trees: unknown fields are
left out (and named), a value of another type is refused, null and empty values go where empty means
absent, quantities and times get their canonical spelling, structures that are always there appear,
and keys come in the order of the declaration. Compiled once for each type, like `checking`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pykubelet.objects import quantity
from pykubelet.objects.fields import FieldError, Path
from pykubelet.objects.schema import checking, tables

Decode = Callable[[Any, Path, "Findings"], Any]
Json = dict[str, Any]

_ABSENT: Any = object()
_EMPTY: dict[str, Any] = {
    "string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0, "byte": 0,
    "Quantity": "0", "IntOrString": 0, "Duration": "0s",
}  # fmt: skip


@dataclass(slots=True)
class Findings:
    """What was found on the way: `wrong` refuses the object, `unknown` is left out."""

    wrong: list[FieldError] = field(default_factory=list)
    unknown: list[FieldError] = field(default_factory=list)


def decode(type_name: str, tree: Any) -> tuple[Json, Findings]:
    """A new tree in canonical form (sharing what didn't change), and what was found."""
    findings = Findings()
    made = decoder(type_name)(tree, (), findings)
    return (made if isinstance(made, dict) else {}), findings


@cache
def decoder(type_name: str) -> Decode:
    """The compiled decoding of a type."""
    made = tables.type_of(type_name)
    if made.wrapper:
        return _shaped(made.fields["items"].shape, made.fields["items"].base)
    parts: list[tuple[str, Decode, Any, Any]] = []
    known = made.fields.keys()

    def compile_parts() -> None:
        for one in made.fields.values():
            parts.append((one.name, _shaped(one.shape, one.base), *_emptiness(one)))

    def structure(value: Any, path: Path, findings: Findings) -> Any:
        if type(value) is not dict:
            findings.wrong.append(FieldError(path, "a mapping", checking.describe(value), "type"))
            return {}
        if not parts:
            compile_parts()
        out: Json = {}
        seen = 0
        for name, inner, drop, fill in parts:
            item = value.get(name)
            if item is not None:
                seen += 1
                item = inner(item, (*path, name), findings)
                if item is not drop and item != drop:
                    out[name] = item
                    continue
            elif name in value:
                seen += 1
            if fill is not _ABSENT:
                out[name] = fill() if callable(fill) else fill
        if seen != len(value):
            for key in value:
                if key not in known:
                    findings.unknown.append(
                        FieldError((*path, key), f"a field of {made.name}", key, "unknown")
                    )
        return out

    return structure


def _emptiness(one: tables.Field) -> tuple[Any, Any]:
    """What value is left out, and what stands where there is none."""
    if one.pointer:
        return _ABSENT, (None if one.always else _ABSENT)
    if one.shape:
        return ([] if one.shape.startswith("[]") else {}) if not one.always else _ABSENT, (
            None if one.always else _ABSENT
        )
    if one.base in ("Time", "MicroTime"):
        return _ABSENT, (_ABSENT if one.omitzero else None)
    if tables.is_type(one.base):
        if tables.type_of(one.base).wrapper:
            return [], (None if one.always else _ABSENT)
        if one.omitzero:
            return {}, _ABSENT
        inner = decoder(one.base)
        return _ABSENT, lambda: inner({}, (), Findings())
    empty = _EMPTY.get(one.base, "" if one.base not in tables.SCALARS else _ABSENT)
    if one.base in ("RawExtension", "FieldsV1", "JSON", "bytes"):
        return _ABSENT, (None if one.always else _ABSENT)
    return (_ABSENT, empty) if one.always else (empty, _ABSENT)


@cache
def _shaped(shape: str, base: str) -> Decode:
    if shape:
        inner = _shaped(shape[2:], base)
        return _list_of(inner) if shape.startswith("[]") else _map_of(inner, base, shape)
    if base in _CANONICAL:
        return _checked(base, _CANONICAL[base])
    if tables.is_type(base):
        return decoder(base)
    return _checked(base if base in tables.SCALARS else "string", None)


def _list_of(inner: Decode) -> Decode:
    def decode_list(value: Any, path: Path, findings: Findings) -> Any:
        if type(value) is not list:
            findings.wrong.append(FieldError(path, "a list", checking.describe(value), "type"))
            return []
        return [inner(item, (*path, index), findings) for index, item in enumerate(value)]

    return decode_list


def _map_of(inner: Decode, base: str, shape: str) -> Decode:
    zero = _EMPTY.get(base, "") if shape == "{}" and not tables.is_type(base) else None

    def decode_map(value: Any, path: Path, findings: Findings) -> Any:
        if type(value) is not dict:
            findings.wrong.append(FieldError(path, "a mapping", checking.describe(value), "type"))
            return {}
        return {
            key: zero if item is None else inner(item, (*path, key), findings)
            for key, item in value.items()
        }

    return decode_map


def _checked(base: str, canonical: Callable[[Any], Any] | None) -> Decode:
    expected, accepts = checking.SCALARS[base]

    def decode_scalar(value: Any, path: Path, findings: Findings) -> Any:
        if not accepts(value):
            findings.wrong.append(FieldError(path, expected, checking.describe(value), "type"))
            return value
        return canonical(value) if canonical else value

    return decode_scalar


def _canonical_time(value: str) -> str:
    if len(value) == 20 and value[-1] == "Z":
        return value
    moment = datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _canonical_micro_time(value: str) -> str:
    whole, _, rest = value.partition(".")
    digits = "".join(c for c in rest[:9] if c.isdigit())[:6]
    if digits and value.endswith("Z"):
        return f"{whole}.{digits:0<6}Z"
    moment = datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _canonical_bytes(value: str) -> str:
    if "\n" in value or "\r" in value:
        return base64.b64encode(base64.b64decode(value)).decode()
    return value


_CANONICAL: dict[str, Callable[[Any], Any]] = {
    "Quantity": quantity.canonical,
    "Time": _canonical_time,
    "MicroTime": _canonical_micro_time,
    "bytes": _canonical_bytes,
}
