"""HTTP/1.1 as the agent's own API speaks it: bytes to requests, answers to bytes, no sockets.

The agent's clients are few and known (the API server, a scraper, curl, our own command line), so
this is the small strict core of RFC 9112: one request at a time, a bounded head, a bounded body of
a declared length, chunked answers. Anything ambiguous is refused with a sentence instead of being
guessed at, which closes the door to request smuggling. `connection` does the reading and writing,
`server` the waiting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, unquote

MAX_HEAD = 32 * 1024
"""Bytes of request line and headers; a bearer token of 8 KiB and a long exec command fit well."""

MAX_BODY = 64 * 1024
"""Bytes of a request body. No request of this API means anything by its body."""

_METHOD = re.compile(rb"[A-Z]{1,16}\Z")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VERSION = re.compile(rb"HTTP/(\d)\.(\d)\Z")
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET = re.compile(rb"[\x21-\x7e]+\Z")


class BadRequest(Exception):
    """The bytes are no request that we answer. `status` and `message` are what the client gets."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed head. `path` is as sent, without the query; header names are in lower case.

    `head` is the head as it came, for passing an upgrade on unchanged.
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int = 0
    version: tuple[int, int] = (1, 1)
    keep_alive: bool = True
    head: bytes = b""

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's parts, each percent-decoded; empty ones are dropped."""
        return tuple(unquote(part) for part in self.path.split("/") if part)

    @property
    def upgrade(self) -> str:
        """The protocol that the client asks to change to, in lower case; empty for none."""
        wanted = {part.strip().lower() for part in self.headers.get("connection", "").split(",")}
        return self.headers.get("upgrade", "").strip().lower() if "upgrade" in wanted else ""

    def text(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """A boolean query parameter; absent, empty, 0 and false mean no."""
        return self.text(name).lower() in ("1", "t", "true")


def end_of_head(data: bytes | bytearray) -> int:
    """Where the body begins, or 0 while the head is still incomplete. Raises BadRequest (431)."""
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end >= 0:
        return end + 4
    if len(data) >= MAX_HEAD:
        raise BadRequest(431, f"the request's head is longer than {MAX_HEAD} bytes")
    return 0


def parse_head(head: bytes) -> Request:
    """A head, with its closing empty line. Raises BadRequest (400, 411, 413, 501, 505)."""
    line, *rest = head[:-4].split(b"\r\n")
    method, target, version = _request_line(line)
    headers: dict[str, str] = {}
    for raw in rest:
        name, colon, value = raw.partition(b":")
        if not colon or not _NAME.match(name):
            raise BadRequest(400, f"not a header: {_show(raw)}")
        if _CONTROLS.search(value):
            raise BadRequest(400, f"a control character in header {name.decode()}")
        key, text = name.decode().lower(), value.strip(b" \t").decode("latin-1")
        if key in headers and key in ("content-length", "host", "authorization"):
            raise BadRequest(400, f"header {key} is given twice")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    if "transfer-encoding" in headers:
        raise BadRequest(411, "a body needs a Content-Length here; Transfer-Encoding is not taken")
    if version == (1, 1) and "host" not in headers:
        raise BadRequest(400, "header host is missing")
    path, _, query = target.partition("?")
    connection = {part.strip().lower() for part in headers.get("connection", "").split(",")}
    return Request(
        method=method,
        path=path,
        query=_query(query),
        headers=headers,
        length=_length(headers),
        version=version,
        keep_alive="close" not in connection and (version >= (1, 1) or "keep-alive" in connection),
        head=head,
    )


def _request_line(line: bytes) -> tuple[str, str, tuple[int, int]]:
    parts = line.split(b" ")
    if len(parts) != 3 or not _METHOD.match(parts[0]) or not _TARGET.match(parts[1]):
        raise BadRequest(400, f"not a request line: {_show(line)}")
    version = _VERSION.match(parts[2])
    if not version:
        raise BadRequest(400, f"not an HTTP version: {_show(parts[2])}")
    major, minor = int(version[1]), int(version[2])
    if major != 1:
        raise BadRequest(505, f"HTTP/{major}.{minor} is not spoken here, HTTP/1.1 is")
    target = parts[1].decode()
    if "://" in target.partition("?")[0]:
        target = "/" + target.partition("://")[2].partition("/")[2]
    if not target.startswith("/"):
        raise BadRequest(400, f"not a path: {_show(parts[1])}")
    return parts[0].decode(), target, (major, minor)


def _query(text: str) -> Mapping[str, Sequence[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise BadRequest(400, f"the query can't be read: {error}") from None


def _length(headers: Mapping[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(400, f"not a Content-Length: {text[:40]!r}")
    length = int(text[:20])
    if length > MAX_BODY:
        raise BadRequest(413, f"the body is longer than {MAX_BODY} bytes")
    return length


def _show(raw: bytes) -> str:
    return repr(raw[:80].decode("latin-1"))


def answer_head(status: int, headers: Mapping[str, str]) -> bytes:
    """Status line and headers of an answer, with the closing empty line."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked answer. Empty data would end it, so it makes no chunk at all."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"
