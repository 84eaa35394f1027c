"""How the values of the schema's scalar types look in protobuf: (wire type, encode, decode).

Most are what they are; quantities, times and the types that can be one thing or another are
messages of their own. Source: the `.proto` files of apimachinery and apiextensions-apiserver.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import orjson

from pykubelet.errors import Invalid
from pykubelet.objects.wire.primitives import (
    BYTES,
    FIXED64,
    VARINT,
    block,
    fields,
    signed,
    tag,
    varint,
)

Codec = tuple[int, Callable[[Any], Any], Callable[[Any], Any]]

_UNITS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000,
          "us": 1_000, "µs": 1_000, "μs": 1_000, "ns": 1}  # fmt: skip


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _members(data: bytes) -> dict[int, Any]:
    return {number: value for number, _, value in fields(data)}


def _encode_time(value: str) -> bytes:
    moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    seconds = int(moment.replace(microsecond=0).timestamp())
    made = tag(1, VARINT) + varint(seconds)
    return made + tag(2, VARINT) + varint(moment.microsecond * 1000)


def _decode_time(data: bytes) -> str | None:
    found = _members(data)
    seconds = signed(found.get(1, 0))
    if not seconds and not found.get(2):
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _decode_micro_time(data: bytes) -> str | None:
    found = _members(data)
    seconds, nanos = signed(found.get(1, 0)), found.get(2, 0)
    if not seconds and not nanos:
        return None
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{nanos // 1000:06d}Z"


def _encode_duration(value: str) -> bytes:
    total = Fraction(0)
    for amount, unit in re.findall(r"([\d.]+)([a-zµμ]+)", value):
        total += Fraction(amount) * _UNITS[unit]
    return tag(1, VARINT) + varint(int(-total if value.startswith("-") else total))


def _decode_duration(data: bytes) -> str:
    left = signed(_members(data).get(1, 0))
    if not left:
        return "0s"
    sign, left = ("-", -left) if left < 0 else ("", left)
    hours, left = divmod(left, _UNITS["h"])
    minutes, left = divmod(left, _UNITS["m"])
    if hours or minutes or left >= _UNITS["s"]:
        seconds = f"{left / 1e9:.9f}".rstrip("0").rstrip(".")
        out = f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s"
        return sign + (out if hours or minutes else f"{seconds}s")
    for unit in ("ms", "µs", "ns"):
        if left >= _UNITS[unit]:
            return f"{sign}{left / _UNITS[unit]:g}{unit}"
    return "0s"


def _encode_int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return tag(1, VARINT) + varint(1) + block(3, value.encode())
    return tag(1, VARINT) + varint(0) + tag(2, VARINT) + varint(value)


def _decode_int_or_string(data: bytes) -> int | str:
    found = _members(data)
    if found.get(1):
        return _text(found.get(3, b""))
    return signed(found.get(2, 0))


def _decode_raw(data: bytes) -> Any:
    raw = _members(data).get(1, b"")
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        raise Invalid("an embedded object is not JSON") from None


_RAW: Codec = (BYTES, lambda value: block(1, orjson.dumps(value)), _decode_raw)

SCALARS: dict[str, Codec] = {
    "string": (BYTES, lambda value: value.encode(), _text),
    "bytes": (BYTES, base64.b64decode, lambda value: base64.b64encode(value).decode()),
    "bool": (VARINT, int, bool),
    "int32": (VARINT, lambda value: value, signed),
    "int64": (VARINT, lambda value: value, signed),
    "byte": (VARINT, lambda value: value, signed),
    "float64": (
        FIXED64,
        lambda value: struct.pack("<d", value),
        lambda value: struct.unpack("<d", value)[0],
    ),
    "Quantity": (
        BYTES,
        lambda value: block(1, str(value).encode()),
        lambda data: _text(_members(data).get(1, b"0")) or "0",
    ),
    "IntOrString": (BYTES, _encode_int_or_string, _decode_int_or_string),
    "Time": (BYTES, _encode_time, _decode_time),
    "MicroTime": (BYTES, _encode_time, _decode_micro_time),
    "Duration": (BYTES, _encode_duration, _decode_duration),
    "RawExtension": _RAW,
    "FieldsV1": _RAW,
    "JSON": _RAW,
}
