"""Questions that are not ours, passed on to the host's real resolvers, and their answers back.

UDP first, TCP where the answer was cut; the next resolver where one does not answer. The bytes go
through as they are but for the ID, which is our own and unguessable, and is checked together with
the question before an answer is believed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import cast

from pykubelet.errors import Failed

_TRY_SECONDS = 2.0
#: Questions under way at once; more are refused, so that a flood can't eat the memory.
MOST = 1000


class Forwarder:
    """`servers` are addresses, with `#port` or `@port` where it is not 53."""

    def __init__(self, servers: Sequence[str]) -> None:
        self.servers = [_parsed(server) for server in servers]
        self._under_way = 0

    async def ask(self, query: bytes) -> bytes:
        """The answer with the query's own ID. Raises Failed where nobody answers."""
        if not self.servers:
            raise Failed("no upstream resolver is known")
        if self._under_way >= MOST:
            raise Failed("too many questions are under way")
        self._under_way += 1
        try:
            for address, port in self.servers:
                try:
                    answer = await asyncio.wait_for(_udp(query, address, port), _TRY_SECONDS)
                    if answer[2] & 0x02:
                        answer = await asyncio.wait_for(_tcp(query, address, port), _TRY_SECONDS)
                    return query[:2] + answer[2:]
                except (TimeoutError, OSError, asyncio.IncompleteReadError):
                    continue
        finally:
            self._under_way -= 1
        raise Failed("no upstream resolver answers")


class _Exchange(asyncio.DatagramProtocol):
    def __init__(self, query: bytes, answer: asyncio.Future[bytes]) -> None:
        self._query = query
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own datagram transport is no DatagramTransport by class, only by methods.
        cast(asyncio.DatagramTransport, transport).sendto(self._query)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._answer.done() and _belongs(self._query, data):
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


async def _udp(query: bytes, address: str, port: int) -> bytes:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    ours = secrets.token_bytes(2) + query[2:]
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Exchange(ours, answer), remote_addr=(address, port)
    )
    try:
        return await answer
    finally:
        transport.close()


async def _tcp(query: bytes, address: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(len(query).to_bytes(2) + query)
        await writer.drain()
        size = int.from_bytes(await reader.readexactly(2))
        return await reader.readexactly(size)
    finally:
        writer.close()


def _belongs(query: bytes, answer: bytes) -> bool:
    """An answer, to this ID, about this very question."""
    if len(answer) < 12 or answer[:2] != query[:2] or not answer[2] & 0x80:
        return False
    end = _question_end(query)
    return answer[12:end].lower() == query[12:end].lower()


def _question_end(query: bytes) -> int:
    at = 12
    while at < len(query) and query[at]:
        at += query[at] + 1
    return at + 5


def _parsed(server: str) -> tuple[str, int]:
    for mark in ("#", "@"):
        address, found, port = server.partition(mark)
        if found:
            return address, int(port)
    return server, 53
