"""One request passed on, byte for byte where it can be: the other end's answer becomes ours.

A request that wants to upgrade (SPDY, WebSocket) turns, once the other end agrees, into two sockets
joined; everything else streams through as it comes. One connection for each request: these are few
and long.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from pykubelet.apiserver.front.messages import Duplex, Request, Response
from pykubelet.apiserver.relay.targets import Nowhere, Target

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
_HEAD_SECONDS = 60.0
_MOST_HEAD = 64 * 1024
_PIECE = 64 * 1024

#: Of this connection only, or none of the other end's business.
_NOT_PASSED_ON = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
     "transfer-encoding", "upgrade", "host", "authorization", "content-length", "expect"}
)  # fmt: skip
#: Given several times; some servers know them only line by line, and the front joins lines.
_LISTS = frozenset({"x-stream-protocol-version"})


async def pass_on(request: Request, target: Target, tls: ssl.SSLContext | None) -> Response:
    """The answer of the other end. Raises Nowhere where it can't be reached."""
    try:
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(target.host, target.port, ssl=tls, limit=_MOST_HEAD),
            _CONNECT_SECONDS,
        )
    except (TimeoutError, OSError) as error:
        why = str(error) or "no answer"
        raise Nowhere(503, f"{target.host}:{target.port} can't be reached: {why}") from error
    try:
        writer.write(_head_of(request, target) + request.body)
        await writer.drain()
        status, headers = await asyncio.wait_for(_read_head(reader), _HEAD_SECONDS)
    except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError) as error:
        writer.close()
        raise Nowhere(502, f"{target.host}:{target.port} gave no answer: {error}") from error
    if status == 101:
        return Response(
            101, b"", "", _passed_back(headers, upgrade=True),
            takeover=lambda client: _join(client, reader, writer),
        )  # fmt: skip
    kind = headers.get("content-type", "application/octet-stream")
    body = _body(reader, writer, headers)
    return Response(status, body, kind, _passed_back(headers))


def _head_of(request: Request, target: Target) -> bytes:
    wants = request.headers.get("upgrade", "")
    lines = [f"{request.method} {target.path} HTTP/1.1", f"Host: {target.host}:{target.port}"]
    for name, value in request.headers.items():
        if name in _NOT_PASSED_ON or name.startswith("impersonate-"):
            continue
        values = value.split(",") if name in _LISTS else [value]
        lines += [f"{name}: {each.strip()}" for each in values]
    if wants:
        lines += ["Connection: Upgrade", f"Upgrade: {wants}"]
    else:
        lines.append("Connection: close")
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(request.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        status = int(first.split(" ", 2)[1])
        if status != 100:
            break
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return status, headers


async def _body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Mapping[str, str]
) -> AsyncIterator[bytes]:
    try:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
                yield await reader.readexactly(size)
                await reader.readexactly(2)
            return
        left = int(headers.get("content-length", "-1"))
        while left and (piece := await reader.read(_PIECE if left < 0 else min(left, _PIECE))):
            left -= len(piece) if left > 0 else 0
            yield piece
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        log.debug("an answer that was passed on broke off: %s", error)
    finally:
        writer.close()


def _passed_back(headers: Mapping[str, str], upgrade: bool = False) -> tuple[tuple[str, str], ...]:
    found = [
        (name, value)
        for name, value in headers.items()
        if name not in _NOT_PASSED_ON and name != "content-type"
    ]
    if upgrade:
        found += [("Connection", "Upgrade"), ("Upgrade", headers.get("upgrade", ""))]
    return tuple(found)


async def _join(client: Duplex, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Both ways, until both have ended or one has broken."""

    async def outward() -> None:
        while data := await client.read():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()

    async def inward() -> None:
        while data := await reader.read(_PIECE):
            client.write(data)
            await client.drain()

    tasks = [asyncio.ensure_future(outward()), asyncio.ensure_future(inward())]
    try:
        # The other end decides when it is over: its last words must still arrive.
        await asyncio.wait(tasks[1:], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await task
        writer.close()
