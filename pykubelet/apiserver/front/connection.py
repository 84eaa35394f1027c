"""One client's connection: httptools reads the bytes, a handler answers, one request at a time.

Requests that arrive while one is being answered wait, and the socket isn't read beyond a few of
them, so a client that sends without reading can't fill the memory. A client that goes away cancels
what was being done for it; a client that doesn't read its answer holds up only itself. A request
that doesn't arrive completely within a minute is given up.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools

from pykubelet.apiserver.front.messages import Handler, Peer, Request, Response

log = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]

MAX_BODY = 3 * 1024 * 1024
MAX_HEADERS = 64 * 1024
_MOST_WAITING = 4
_PATIENCE = 60.0
_IDLE = 300.0
_GZIP_FROM = 128 * 1024
_NO_HEADERS: Headers = ()
_GZIPPED: Headers = (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_TOO_LARGE = Response(
    413,
    b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Request '
    b'entity too large: limit is 3145728","reason":"RequestEntityTooLarge","code":413}\n',
)
_BAD = Response(400, b"400 Bad Request\n", "text/plain; charset=utf-8")


class Connection(asyncio.Protocol):
    """Made by the event loop for each client, of one `Server`'s parts."""

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._peer = Peer()
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._upgraded: _Upgraded | None = None
        self._early = b""
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    # -- asyncio calls these -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connections.add(self)
        self._peer = _peer(transport)
        self._wait(_PATIENCE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._closing = True
        self._writable.set()
        self._stop_timer()
        if self._upgraded is not None:
            self._upgraded.end()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._upgraded is not None:
            self._upgraded.feed(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The request is complete; whether to upgrade is the handler's decision. What follows
            # it is not HTTP.
            self._early += data[upgrade.args[0] :]
        except httptools.HttpParserError:
            self._refuse(_BAD)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- httptools calls these ---------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._reset()
        if self._task is None:
            self._wait(_PATIENCE)

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url), MAX_HEADERS)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value), MAX_HEADERS)
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        self._size = 0
        length = self._headers.get("content-length", "")
        if length.isdigit() and int(length) > MAX_BODY:
            self._refuse(_TOO_LARGE)
        elif self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._count(len(body), MAX_BODY)
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._closing:
            return
        raw, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            method=self._parser.get_method().decode(),
            path=unquote(raw) if "%" in raw else raw,
            query_string=query,
            headers=self._headers,
            body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
            peer=self._peer,
            raw_path=raw,
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        if len(self._waiting) >= _MOST_WAITING:
            self._transport.pause_reading()
        if self._task is None:
            self._stop_timer()
            self._task = self._loop.create_task(self._answer_all())

    # -- answering ---------------------------------------------------------------------------------

    async def _answer_all(self) -> None:
        try:
            while self._waiting and not self._closing:
                request, keep_alive = self._waiting.popleft()
                if len(self._waiting) == _MOST_WAITING - 1:
                    self._transport.resume_reading()
                await self._answer(request, keep_alive)
                if not keep_alive:
                    self.close()
        finally:
            self._task = None
            if not self._closing:
                self._wait(_IDLE)

    async def _answer(self, request: Request, keep_alive: bool) -> None:
        try:
            response = await self._handler(request)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = Response(500, b"500 Internal Server Error\n", "text/plain; charset=utf-8")
        if response.takeover is not None:
            await self._hand_over(response)
        elif isinstance(response.body, bytes):
            body, extra = response.body, _NO_HEADERS
            if len(body) > _GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
                # In a thread: a large list takes long enough for everybody else to notice.
                body = await self._loop.run_in_executor(None, gzip.compress, body, 1)
                extra = _GZIPPED
            self._transport.write(_whole(request, response, body, extra, keep_alive))
            if not self._writable.is_set():
                await self._writable.wait()
        else:
            await self._stream(response.body, response)

    async def _hand_over(self, response: Response) -> None:
        """The connection belongs to `takeover` from here to its end."""
        assert response.takeover is not None
        self._upgraded = _Upgraded(self._transport, self._writable)
        self._upgraded.feed(self._early)
        self._stop_timer()
        self._transport.write(_head(response, ()))
        try:
            await response.takeover(self._upgraded)
        finally:
            self.close()

    async def _stream(self, chunks: AsyncIterator[bytes], response: Response) -> None:
        self._transport.write(_head(response, (("Transfer-Encoding", "chunked"),)))
        try:
            async for chunk in chunks:
                if chunk:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                if not self._writable.is_set():
                    await self._writable.wait()
                if self._closing:
                    return
            self._transport.write(b"0\r\n\r\n")
        finally:
            closer = getattr(chunks, "aclose", None)
            if closer is not None:
                await closer()

    def _refuse(self, response: Response) -> None:
        if not self._closing:
            assert isinstance(response.body, bytes)
            extra = (("Content-Length", str(len(response.body))), ("Connection", "close"))
            self._transport.write(_head(response, extra) + response.body)
            self.close()

    def close(self) -> None:
        """Let what was written go out, then close."""
        self._closing = True
        self._transport.close()

    # -- limits ------------------------------------------------------------------------------------

    def _count(self, size: int, most: int) -> None:
        self._size += size
        if self._size > most:
            self._refuse(_TOO_LARGE)

    def _wait(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self._task is None:
            self._closing = True
            self._transport.abort()


class _Upgraded:
    """Implements `messages.Duplex` on a connection's transport. Reading stops while a mebibyte
    waits to be taken."""

    _MOST = 1 << 20

    def __init__(self, transport: Any, writable: asyncio.Event) -> None:
        self._transport = transport
        self._writable = writable
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._news = asyncio.Event()

    def feed(self, data: bytes) -> None:
        if data:
            self._waiting.append(data)
            self._size += len(data)
            if self._size > self._MOST:
                self._transport.pause_reading()
            self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def read(self) -> bytes:
        while not self._waiting and not self._ended:
            self._news.clear()
            await self._news.wait()
        data = b"".join(self._waiting)
        self._waiting.clear()
        if self._size > self._MOST and not self._ended:
            self._transport.resume_reading()
        self._size = 0
        return data

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def drain(self) -> None:
        await self._writable.wait()


def _whole(
    request: Request, response: Response, body: bytes, extra: Headers, keep_alive: bool
) -> bytes:
    if not keep_alive:
        extra = (*extra, ("Connection", "close"))
    head = _head(response, (*extra, ("Content-Length", str(len(body)))))
    return head if request.method == "HEAD" else head + body


def _head(response: Response, extra: tuple[tuple[str, str], ...]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*response.headers, *extra))
    if response.content_type:
        lines = f"Content-Type: {response.content_type}\r\n{lines}"
    return _STATUS_LINES[response.status] + lines.encode("latin-1", "replace") + b"\r\n"


def _peer(transport: asyncio.BaseTransport) -> Peer:
    address = transport.get_extra_info("peername")
    where = str(address[0]) if isinstance(address, tuple) else ""
    certificate = transport.get_extra_info("peercert")
    if not certificate:
        return Peer(where)
    names = [pair for part in certificate.get("subject", ()) for pair in part]
    return Peer(
        where,
        next((value for key, value in names if key == "commonName"), ""),
        tuple(value for key, value in names if key == "organizationName"),
    )
