"""Protobuf's wire format, as little of it as the Kubernetes types use. Pure functions on bytes.

Source: protobuf's "Encoding" page.
"""

from __future__ import annotations

from collections.abc import Iterator

from pykubelet.errors import Invalid

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def fields(data: bytes | memoryview) -> Iterator[tuple[int, int, int | bytes]]:
    """(number, wire type, value) for each field. Invalid for bytes that are no message."""
    at, end = 0, len(data)
    while at < end:
        tag, at = read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = read_varint(data, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = read_varint(data, at)
        elif kind == FIXED64:
            size = 8
        elif kind == FIXED32:
            size = 4
        else:
            raise Invalid("not protobuf", found=f"wire type {kind}")
        if not number or at + size > end:
            raise Invalid("not protobuf", found="a field that is cut off")
        yield number, kind, bytes(data[at : at + size])
        at += size


def read_varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """The number at a place, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Invalid("not protobuf", found="a number that is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def signed(value: int) -> int:
    """A number as the 64 bits of an int64 or int32."""
    return value - (1 << 64) if value >> 63 else value


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def block(number: int, content: bytes) -> bytes:
    """A field that holds bytes: text, or a message."""
    return tag(number, BYTES) + varint(len(content)) + content
