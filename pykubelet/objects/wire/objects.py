"""API objects in protobuf, from the field numbers in the schema tables.

A message is read into the tree that the same object has in JSON, and a tree is written as a
message, by functions compiled once for each type. On the wire an object stands in an envelope: four
magic bytes, its kind and version, then the message. Source: API concepts, "Kubernetes Protobuf
encoding".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.objects.schema import tables
from pykubelet.objects.wire.primitives import (
    BYTES,
    FIXED64,
    VARINT,
    block,
    fields,
    read_varint,
    tag,
    varint,
)
from pykubelet.objects.wire.scalars import SCALARS, Codec

Json = dict[str, Any]
MAGIC = b"k8s\x00"
_MAX_DEPTH = 100
_TYPE_META, _RAW = 1, 2
_API_VERSION, _KIND = 1, 2
_SCHEMA = "apiextensions/v1.JSONSchemaProps"

Encode = Callable[[Json], bytes]
Decode = Callable[[bytes, int], Json]


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    """A message as it goes over the wire."""
    meta = block(_API_VERSION, api_version.encode()) + block(_KIND, kind.encode())
    return MAGIC + block(_TYPE_META, meta) + block(_RAW, message)


def open_envelope(data: bytes) -> tuple[str, str, bytes]:
    """apiVersion, kind and message. Invalid where the magic bytes are missing."""
    if not data.startswith(MAGIC):
        raise Invalid("not protobuf of this API", expected="the bytes k8s\\0 at the start")
    parts = {number: value for number, _, value in fields(memoryview(data)[4:])}
    meta = {number: value for number, _, value in fields(_bytes(parts.get(_TYPE_META, b"")))}
    return (
        _bytes(meta.get(_API_VERSION, b"")).decode(),
        _bytes(meta.get(_KIND, b"")).decode(),
        _bytes(parts.get(_RAW, b"")),
    )


def decode(type_name: str, message: bytes) -> Json:
    """The tree of a message. Invalid for bytes that are none."""
    return decoder(type_name)(message, 0)


def encode(type_name: str, tree: Json) -> bytes:
    """The message of a tree, which must have the shape of the type."""
    return encoder(type_name)(tree)


# -- reading -------------------------------------------------------------------------------------


@cache
def decoder(type_name: str) -> Decode:
    made = tables.type_of(type_name)
    known: dict[int, Callable[[Json, Any, int, int], None]] = {}

    def compile_fields() -> None:
        below = {name for _, inline in made.inlined for name in tables.type_of(inline).fields}
        for one in made.fields.values():
            if one.number and one.name not in below:
                known[one.number] = _reader(one)
        for number, inline in made.inlined:
            known[number] = _inline_reader(decoder(inline))

    def read(message: bytes, depth: int) -> Json:
        if not known:
            compile_fields()
        if depth > _MAX_DEPTH:
            raise Invalid("nested too deep", expected=f"at most {_MAX_DEPTH} levels")
        out: Json = {}
        for number, kind, value in fields(message):
            reader = known.get(number)
            if reader is not None:
                reader(out, value, kind, depth + 1)
        return out

    return read


def _inline_reader(inner: Decode) -> Callable[[Json, Any, int, int], None]:
    def read_inline(out: Json, value: Any, kind: int, depth: int) -> None:
        out.update(inner(_of_kind(value, kind, BYTES), depth))

    return read_inline


def _reader(one: tables.Field) -> Callable[[Json, Any, int, int], None]:
    name, shape = one.name, one.shape
    read = _read_value(shape.replace("{}", "", 1) if shape.startswith("{}") else "", one.base)
    if shape.startswith("[]"):
        read = _read_value(shape[2:], one.base)
        expected = _wire_type(one.base)

        def read_item(out: Json, value: Any, kind: int, depth: int) -> None:
            items = out.setdefault(name, [])
            if kind == BYTES and expected == VARINT:  # packed
                at = 0
                while at < len(value):
                    number, at = read_varint(value, at)
                    items.append(read(number, depth))
            else:
                items.append(read(_of_kind(value, kind, expected), depth))

        return read_item
    if shape.startswith("{}"):

        def read_entry(out: Json, value: Any, kind: int, depth: int) -> None:
            key, item = "", None
            for number, _, part in fields(_of_kind(value, kind, BYTES)):
                if number == 1:
                    key = _bytes(part).decode()
                elif number == 2:
                    item = read(part, depth)
            out.setdefault(name, {})[key] = item

        return read_entry
    expected = BYTES if tables.is_type(one.base) else _wire_type(one.base)

    def read_one(out: Json, value: Any, kind: int, depth: int) -> None:
        out[name] = read(_of_kind(value, kind, expected), depth)

    return read_one


@cache
def _read_value(shape: str, base: str) -> Callable[[Any, int], Any]:
    if shape.startswith("[]"):  # a list inside a map or list is a message of its own
        inner = _read_value(shape[2:], base)
        return lambda value, depth: [
            inner(part, depth) for number, _, part in fields(value) if number == 1
        ]
    if base.startswith("JSONSchemaPropsOr"):
        return _READ_SCHEMA_OR[base]
    if tables.is_type(base):
        if tables.type_of(base).wrapper:
            inside = decoder(base)
            return lambda value, depth: inside(value, depth).get("items", [])
        return decoder(base)
    codec = _codec(base)
    return lambda value, _: codec[2](value)


def _of_kind(value: Any, kind: int, expected: int) -> Any:
    if kind != expected:
        raise Invalid("not protobuf of this API", found=f"wire type {kind}, not {expected}")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise Invalid("not protobuf of this API", found="a number, not bytes")
    return value


# -- writing -------------------------------------------------------------------------------------


@cache
def encoder(type_name: str) -> Encode:
    made = tables.type_of(type_name)
    known: dict[str, Callable[[Any], bytes]] = {}

    def compile_fields() -> None:
        below = {name for _, inline in made.inlined for name in tables.type_of(inline).fields}
        for one in made.fields.values():
            if one.number and one.name not in below:
                known[one.name] = _writer(one)

    def write(tree: Json) -> bytes:
        if not known:
            compile_fields()
        out = [known[key](value) for key, value in tree.items()
               if value is not None and key in known]  # fmt: skip
        for number, inline in made.inlined:
            inner = encoder(inline)(tree)
            if inner:
                out.append(block(number, inner))
        return b"".join(out)

    return write


def _writer(one: tables.Field) -> Callable[[Any], bytes]:
    number, shape = one.number, one.shape
    if shape.startswith("[]"):
        write = _write_field(number, shape[2:], one.base)
        return lambda items: b"".join([write(item) for item in items])
    if shape.startswith("{}"):
        write = _write_field(2, shape[2:], one.base)
        return lambda entries: b"".join(
            [block(number, block(1, key.encode()) + write(entries[key])) for key in sorted(entries)]
        )
    return _write_field(number, "", one.base)


@cache
def _write_field(number: int, shape: str, base: str) -> Callable[[Any], bytes]:
    if shape.startswith("[]"):
        inner = _write_field(1, shape[2:], base)
        return lambda items: block(number, b"".join([inner(item) for item in items]))
    if base.startswith("JSONSchemaPropsOr"):
        write_or = _WRITE_SCHEMA_OR[base]
        return lambda value: block(number, write_or(value))
    if tables.is_type(base):
        message = encoder(base)
        if tables.type_of(base).wrapper:
            return lambda items: block(number, message({"items": items}))
        return lambda value: block(number, message(value))
    kind, write, _ = _codec(base)
    if kind == VARINT:
        head = tag(number, VARINT)
        return lambda value: head + varint(write(value))
    if kind == FIXED64:
        head = tag(number, FIXED64)
        return lambda value: head + write(value)
    return lambda value: block(number, write(value))


def _codec(base: str) -> Codec:
    return SCALARS.get(base, SCALARS["string"])  # what isn't a scalar is an enumerated string


def _wire_type(base: str) -> int:
    return BYTES if tables.is_type(base) else _codec(base)[0]


# -- the schema types that can be one thing or another ---------------------------------------------


def _read_or_array(value: bytes, depth: int) -> Any:
    schema, many = None, []
    for number, _, part in fields(value):
        if number == 1:
            schema = decoder(_SCHEMA)(_bytes(part), depth)
        else:
            many.append(decoder(_SCHEMA)(_bytes(part), depth))
    return many or schema


def _read_or_bool(value: bytes, depth: int) -> Any:
    allows: Any = False
    for number, _, part in fields(value):
        if number == 2:
            return decoder(_SCHEMA)(_bytes(part), depth)
        allows = bool(part)
    return allows


def _read_or_strings(value: bytes, depth: int) -> Any:
    many = []
    for number, _, part in fields(value):
        if number == 1:
            return decoder(_SCHEMA)(_bytes(part), depth)
        many.append(_bytes(part).decode())
    return many


def _write_or_array(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(block(2, encoder(_SCHEMA)(one)) for one in value)
    return block(1, encoder(_SCHEMA)(value))


def _write_or_bool(value: Any) -> bytes:
    if isinstance(value, dict):
        return tag(1, VARINT) + varint(1) + block(2, encoder(_SCHEMA)(value))
    return tag(1, VARINT) + varint(int(value))


def _write_or_strings(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(block(2, one.encode()) for one in value)
    return block(1, encoder(_SCHEMA)(value))


_READ_SCHEMA_OR = {
    "JSONSchemaPropsOrArray": _read_or_array,
    "JSONSchemaPropsOrBool": _read_or_bool,
    "JSONSchemaPropsOrStringArray": _read_or_strings,
}
_WRITE_SCHEMA_OR = {
    "JSONSchemaPropsOrArray": _write_or_array,
    "JSONSchemaPropsOrBool": _write_or_bool,
    "JSONSchemaPropsOrStringArray": _write_or_strings,
}
