"""WebSocket as a client of Kubernetes streams needs it: bytes to messages and back. Pure.

The upgrade request, the check of its answer, masked frames out, frames in (fragmented ones put
together), pings answered. What the messages mean (a channel number in the first byte) is
`remotecommand`'s business.

Source: RFC 6455.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE = 16 * 1024 * 1024


class ProtocolError(ValueError):
    """The peer doesn't speak WebSocket as RFC 6455 has it."""


@dataclass(frozen=True, slots=True)
class Message:
    data: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send back."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer closes; `code` as RFC 6455 section 7.4 has it (1005: it gave none)."""

    code: int
    reason: str = ""


Event = Message | Reply | Closed


def new_key() -> str:
    """A fresh Sec-WebSocket-Key."""
    return base64.b64encode(os.urandom(16)).decode()


def upgrade_headers(key: str, protocols: Sequence[str]) -> dict[str, str]:
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Protocol": ", ".join(protocols),
    }


def expected_accept(key: str) -> str:
    """What a server that understood must answer as Sec-WebSocket-Accept."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def frame(data: bytes, opcode: int = _BINARY) -> bytes:
    """One masked frame, as clients must send them."""
    size = len(data)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
    mask = os.urandom(4)
    return head + mask + _masked(data, mask)


def close_frame(code: int = 1000) -> bytes:
    return frame(struct.pack(">H", code), _CLOSE)


def _masked(data: bytes, mask: bytes) -> bytes:
    if not data:
        return b""
    # One big number instead of a loop over bytes: 100 times faster in Python.
    pad = (mask * (len(data) // 4 + 1))[: len(data)]
    number = int.from_bytes(data, "little") ^ int.from_bytes(pad, "little")
    return number.to_bytes(len(data), "little")


class Client:
    """Reads one connection's frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parts: list[bytes] = []

    def receive(self, data: bytes) -> list[Event]:
        """What the peer's bytes mean. Raises ProtocolError."""
        self._buffer += data
        events: list[Event] = []
        while (found := self._frame()) is not None:
            events += self._take(*found)
        return events

    def _frame(self) -> tuple[int, bool, bytes] | None:
        if len(self._buffer) < 2:
            return None
        first, second = self._buffer[0], self._buffer[1]
        if first & 0x70 or second & 0x80:
            raise ProtocolError("a frame uses extensions or is masked")
        size, at = second & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(self._buffer) < at + width:
                return None
            size = int.from_bytes(self._buffer[at : at + width], "big")
            at += width
        if size > MAX_MESSAGE:
            raise ProtocolError("a frame is too long")
        if len(self._buffer) < at + size:
            return None
        body = bytes(self._buffer[at : at + size])
        del self._buffer[: at + size]
        return first & 0x0F, bool(first & 0x80), body

    def _take(self, opcode: int, final: bool, body: bytes) -> list[Event]:
        if opcode == _PING:
            return [Reply(frame(body, _PONG))]
        if opcode == _PONG:
            return []
        if opcode == _CLOSE:
            code = struct.unpack(">H", body[:2])[0] if len(body) >= 2 else 1005
            return [Closed(code, body[2:].decode(errors="replace"))]
        if opcode not in (_CONTINUATION, _TEXT, _BINARY):
            raise ProtocolError(f"a frame of unknown kind {opcode}")
        if (opcode == _CONTINUATION) != bool(self._parts):
            raise ProtocolError("fragments out of order")
        self._parts.append(body)
        if sum(map(len, self._parts)) > MAX_MESSAGE:
            raise ProtocolError("a message is too long")
        if not final:
            return []
        whole, self._parts = b"".join(self._parts), []
        return [Message(whole)]
