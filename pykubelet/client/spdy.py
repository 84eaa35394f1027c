"""SPDY/3.1 as a client of exec, attach and port-forward needs it: bytes to events and back. Pure.

Kubernetes speaks SPDY, long dead elsewhere, to carry several streams over one upgraded connection;
every container runtime's streaming server understands it, and unlike the older WebSocket protocols
it can end stdin while the rest goes on. Only that much is here: a client that opens streams, sends
and receives data, ends streams, answers pings. The peers (moby/spdystream) use no flow control.

Header blocks are compressed. A client may leave the protocol's preset dictionary out (the peer's
decompressor looks for it only when the stream says so), and what the peer's reply headers say is
nothing that we need, so neither direction needs the dictionary here.

Source: "SPDY Protocol - Draft 3.1", chromium.org.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_FIN = 1
_MAX_FRAME = 1 << 24


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes on a stream."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer says no more on this stream. `reset` where it gave it up."""

    stream: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer has accepted a stream. What is sent on it before this, moby/spdystream drops."""

    stream: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send back."""

    data: bytes


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The peer is about to close the connection."""


Event = Data | Ended | Opened | Reply | GoneAway


class ProtocolError(ValueError):
    """The peer doesn't speak SPDY/3.1."""


class Client:
    """Framing of one connection. Stream numbers are 1, 3, 5, ... in the order of opening."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj()
        self._next = 1
        self._buffer = bytearray()

    def open(self, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """A new stream's number, and what to send for it. Header names are in lower case."""
        number, self._next = self._next, self._next + 2
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        packed = self._compressor.compress(block) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return number, _control(_SYN_STREAM, struct.pack(">IIH", number, 0, 0) + packed)

    @staticmethod
    def data(stream: int, data: bytes, end: bool = False) -> bytes:
        """Bytes on a stream; with `end`, the last ones."""
        return struct.pack(">II", stream, (_FIN if end else 0) << 24 | len(data)) + data

    def receive(self, data: bytes) -> list[Event]:
        """What the peer's bytes mean. Raises ProtocolError."""
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            flags, length = second >> 24, second & 0xFFFFFF
            if length >= _MAX_FRAME:
                raise ProtocolError("a frame is too long")
            if len(self._buffer) < 8 + length:
                break
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if first >> 31:
                events += self._control(first, flags, body)
            else:
                if body:
                    events.append(Data(first, body))
                if flags & _FIN:
                    events.append(Ended(first))
        return events

    @staticmethod
    def _control(first: int, flags: int, body: bytes) -> list[Event]:
        if first >> 16 & 0x7FFF != _VERSION:
            raise ProtocolError(f"SPDY version {first >> 16 & 0x7FFF}, not {_VERSION}")
        kind = first & 0xFFFF
        if kind == _GOAWAY:
            return [GoneAway()]
        if kind not in (_SYN_REPLY, _RST_STREAM, _PING):
            return []  # settings, window updates and more headers change nothing for us
        if len(body) < 4:
            raise ProtocolError("a frame is too short")
        number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        if kind == _PING:
            # Even numbers are the peer's own; odd ones would answer pings that we never send.
            return [] if number & 1 else [Reply(_control(_PING, body[:4]))]
        if kind == _RST_STREAM:
            return [Ended(number, reset=True)]
        opened: list[Event] = [Opened(number)]
        return [*opened, Ended(number)] if flags & _FIN else opened


def _control(kind: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | _VERSION, kind, len(body)) + body
