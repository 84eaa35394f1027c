"""A request and a response, as plain values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl


@dataclass(slots=True)
class Request:
    """`path` is unquoted, `raw_path` as it came; header names are in lower case. `peer` is who
    is at the other end: address, and the subject of its verified certificate."""

    method: str
    path: str
    query_string: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: Peer = field(default_factory=lambda: Peer())
    raw_path: str = ""
    _query: dict[str, str] | None = None

    @property
    def query(self) -> dict[str, str]:
        """The parameters; of one that is given twice, the first."""
        if self._query is None:
            pairs = parse_qsl(self.query_string, keep_blank_values=True)
            self._query = dict(reversed(pairs))
        return self._query

    def query_all(self, name: str) -> list[str]:
        """All values of a parameter."""
        pairs = parse_qsl(self.query_string, keep_blank_values=True)
        return [value for key, value in pairs if key == name]


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection. `common_name` is empty without a verified certificate."""

    address: str = ""
    common_name: str = ""
    organizations: tuple[str, ...] = ()


class Duplex(Protocol):
    """A connection that speaks no HTTP any more."""

    async def read(self) -> bytes:
        """What has come; nothing once the client has left."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None:
        """Wait while the client reads more slowly than we write."""


Body = bytes | AsyncIterator[bytes]
Takeover = Callable[[Duplex], Awaitable[None]]


@dataclass(slots=True)
class Response:
    """`body` is bytes, or chunks as they come: then the response is chunked and ends with them.

    After a 101 `takeover` has the connection, until it returns.
    """

    status: int = 200
    body: Body = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    takeover: Takeover | None = None


Handler = Callable[[Request], Awaitable[Response]]
