"""Just enough DER to read what a certificate says, without a cryptography library. Pure.

The agent looks at its own certificates now and then (when do they end? which names do they hold?),
and importing `cryptography` for that would cost it a quarter of its memory. Nothing here verifies a
signature: trust is the TLS library's business. `certificates` makes values of what is found.

Sources: X.690 (DER), RFC 5280 (certificates).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

BOOLEAN, OCTETS, OID, SEQUENCE, SET = 0x01, 0x04, 0x06, 0x30, 0x31
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18


@dataclass(frozen=True, slots=True)
class Element:
    """A tag and the bytes that it holds."""

    tag: int
    body: bytes

    def __iter__(self) -> Iterator[Element]:
        """The elements within a constructed one. ValueError where it holds none."""
        at = 0
        while at < len(self.body):
            element, at = _read(self.body, at)
            yield element

    def oid(self) -> str:
        """The dotted form of an object identifier."""
        numbers: list[int] = []
        value = 0
        for byte in self.body:
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                numbers.append(value)
                value = 0
        if not numbers:
            raise ValueError("an empty object identifier")
        first = min(numbers[0] // 40, 2)
        return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))

    def time(self) -> float:
        """Seconds since the epoch."""
        text = self.body.decode("ascii")
        if self.tag == UTC_TIME:  # two digits of the year: 1950 to 2049
            text = ("19" if text[:2] >= "50" else "20") + text
        elif self.tag != GENERALIZED_TIME:
            raise ValueError("not a time")
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def parse(data: bytes) -> Element:
    """The one element that `data` holds. ValueError on anything else."""
    element, end = _read(data, 0)
    if end != len(data):
        raise ValueError("bytes after the end")
    return element


def _read(data: bytes, at: int) -> tuple[Element, int]:
    if at + 2 > len(data):
        raise ValueError("cut short")
    tag, size = data[at], data[at + 1]
    at += 2
    if size & 0x80:
        width = size & 0x7F
        if not 1 <= width <= 4 or at + width > len(data):
            raise ValueError("no such length")
        size = int.from_bytes(data[at : at + width], "big")
        at += width
    if at + size > len(data):
        raise ValueError("cut short")
    return Element(tag, data[at : at + size]), at + size
