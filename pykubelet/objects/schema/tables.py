"""Reads the tables of types (`*.schema`), one type at a time, when somebody first asks for it.

There is one table for each group-version, with the facts of its Go declarations, made by
`tests/support/schema_tables.py`. A type is called `core/v1.Pod`: the folder of its package, and its
name.

    enum Protocol TCP UDP SCTP          an enumerated string; `-` stands for the empty one
    type Service object                 an API object: it has apiVersion and kind besides
     metadata 1 meta/v1.ObjectMeta      a field: JSON name, protobuf number, type, facts
     ~ 2 VolumeSource                   fields of another type, inline in JSON, nested in protobuf
    type ExtraValue wrapper             a list in JSON, a message with one field in protobuf

A type is `string`, `int32`, ..., `Quantity`, `Time`, ... or the name of another type, with `*`
(absent and zero differ), `[]` (list of) and `{}` (map from text to) before it. The facts:

    always          written even when zero or empty; so OpenAPI requires it, unless `optional`
    required        OpenAPI requires it although it may be left out when empty
    omitzero        an empty structure is left out (otherwise Go writes it as {})
    default=JSON    what upstream's generated defaulting sets
    list, set, map=KEYS   how server-side apply treats a list: as one value, by value, by keys
    atomic          a mapping (or, on a type, each value of it) is one value for server-side apply
    merge[=KEY], retainKeys, replace     how a strategic merge patch treats it
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
SCALARS = frozenset(
    ("string", "bool", "int32", "int64", "float64", "byte", "bytes", "Quantity", "IntOrString",
     "Time", "MicroTime", "Duration", "RawExtension", "FieldsV1", "JSON", "JSONSchemaPropsOrArray",
     "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a type. `base` is a scalar, an enum or a type (see `is_type`), qualified; `shape`
    is what stands before it: `` (itself), `[]`, `{}` or a combination such as `{}[]`."""

    name: str
    number: int
    base: str
    shape: str = ""
    pointer: bool = False
    always: bool = False
    required: bool = False
    omitzero: bool = False
    default: Any = None
    list_type: str = ""
    """`atomic`, `set`, `map` or nothing, for server-side apply."""
    keys: tuple[str, ...] = ()
    """The fields that tell the items of a `map` list apart."""
    atomic: bool = False
    merge: bool = False
    merge_key: str = ""
    retain_keys: bool = False


@dataclass(frozen=True, slots=True)
class Type:
    """A structure. `fields` is by JSON name, those of inlined types included; `inlined` names
    the inlined types with their protobuf numbers."""

    name: str
    fields: dict[str, Field]
    object: bool = False
    wrapper: bool = False
    atomic: bool = False
    inlined: tuple[tuple[int, str], ...] = ()

    @property
    def required(self) -> Iterator[str]:
        return (field.name for field in self.fields.values() if field.required)


_API_VERSION = Field("apiVersion", 0, "string")
_KIND = Field("kind", 0, "string")


@cache
def type_of(name: str) -> Type:
    """A type by its qualified name. Raises KeyError where there is none."""
    package, _, short = name.rpartition(".")
    lines = _sections(package)[short]
    flags = lines[0].split()[2:]
    fields: dict[str, Field] = {}
    inlined = []
    if "object" in flags:
        fields = {"kind": _KIND, "apiVersion": _API_VERSION}
    for line in lines[1:]:
        field = _field(line.split(), package)
        if field.name == "~":
            inlined.append((field.number, field.base))
            fields.update(type_of(field.base).fields)
        else:
            fields[field.name] = field
    return Type(
        name, fields, "object" in flags, "wrapper" in flags, "atomic" in flags, tuple(inlined)
    )


@cache
def enum_of(name: str) -> tuple[str, ...]:
    """The values of an enumerated string; nothing where it isn't one."""
    package, _, short = name.rpartition(".")
    lines = _sections(package).get(short, ("",)) if package else ("",)
    words = lines[0].split()
    return tuple("" if word == "-" else word for word in words[2:] if words[0] == "enum")


def is_type(name: str) -> bool:
    """Whether a field's base is a structure (and not a scalar or an enum)."""
    return name not in SCALARS and not enum_of(name)


def names(package: str) -> list[str]:
    """The types of a group-version (`core/v1`), by their short names."""
    return [name for name, lines in _sections(package).items() if lines[0].startswith("type")]


@cache
def packages() -> tuple[str, ...]:
    """The group-versions that there are tables for."""
    return tuple(sorted(path.stem.replace("_", "/") for path in _FOLDER.glob("*.schema")))


@cache
def _sections(package: str) -> dict[str, list[str]]:
    """The lines of each type of a table, unread."""
    try:
        text = (_FOLDER / f"{package.replace('/', '_')}.schema").read_text()
    except FileNotFoundError:
        raise KeyError(package) from None
    sections: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith(("type", "enum")):
            current = sections[line.split(" ", 2)[1]] = [line]
        elif line.startswith(" "):
            current.append(line)
    return sections


def _field(words: list[str], package: str) -> Field:
    name, number, written, *facts = words
    base = written.lstrip("*[]{}")
    known = dict(fact.partition("=")[::2] for fact in facts)
    keys = tuple(known["map"].split(",")) if "map" in known else ()
    return Field(
        name=name,
        number=int(number),
        base=base if base in SCALARS or "." in base else f"{package}.{base}",
        shape=written[: -len(base)].replace("*", ""),
        pointer=written.startswith("*"),
        always="always" in known,
        required="required" in known or ("always" in known and "optional" not in known),
        omitzero="omitzero" in known,
        default=json.loads(known["default"]) if "default" in known else None,
        list_type="map" if keys else "set" if "set" in known else "atomic" * ("list" in known),
        keys=keys,
        atomic="atomic" in known,
        merge="merge" in known,
        merge_key=known.get("merge", ""),
        retain_keys="retainKeys" in known,
    )
