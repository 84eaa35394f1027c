"""The sockets: queries in, answers out, by UDP and TCP.

A query is looked for in the cache by its bytes, then in the zone, and forwarded where it is not
ours. Nothing that a client sends makes it fail or grow: malformed packets get an error or nothing,
TCP connections are few and short-lived.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

from pykubelet.dns import wire
from pykubelet.dns.answers import answer
from pykubelet.dns.cache import FOREIGN, Cache
from pykubelet.dns.forward import Forwarder
from pykubelet.dns.zone import TTL, Zone
from pykubelet.errors import Failed

log = logging.getLogger(__name__)

_TRIES = 20
TCP_IDLE_SECONDS = 10.0
TCP_CONNECTIONS = 256
#: An answer from outside is kept no longer than this, whatever its own TTLs say.
FOREIGN_SECONDS = 30.0
NEGATIVE_SECONDS = 5.0


class Resolver:
    """Answers one query. `ready()` is False until the zone has been filled."""

    def __init__(
        self,
        zone: Zone,
        forwarder: Forwarder,
        cache: Cache | None = None,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.zone = zone
        self.counts: Counter[str] = Counter()
        self._forwarder = forwarder
        self._cache = cache or Cache()
        self._ready = ready

    def at_once(self, query: bytes, tcp: bool) -> bytes | None:
        """The answer where it needs no waiting: kept, or of our own zone. `b""`: say nothing."""
        now = time.monotonic()
        kept = self._cache.get(query, tcp, self.zone.serial, now)
        if kept is not None:
            self.counts["kept"] += 1
            return kept
        try:
            question = wire.read(query)
        except wire.Malformed as malformed:
            self.counts["malformed"] += 1
            return malformed.reply
        if not self._ready() and self.zone.covers(question.name):
            return wire.refusal(question, "SERVFAIL")
        found = answer(self.zone, question.name, question.kind)
        if found is None or found.follow:
            return None
        self.counts["own"] += 1
        whole = wire.reply(question, found)
        made = whole if tcp else wire.fit(whole, question, question.payload)
        self._cache.put(query, tcp, made, now + TTL, self.zone.serial)
        return made

    async def later(self, query: bytes, tcp: bool) -> bytes:
        """The answer that has to be asked for elsewhere."""
        self.counts["forwarded"] += 1
        question = wire.read(query)
        try:
            found = answer(self.zone, question.name, question.kind)
            if found is not None and found.follow:
                # An ExternalName: our CNAME, and what the name outside stands for.
                elsewhere = await self._forwarder.ask(wire.question_about(question, found.follow))
                whole = wire.joined(question, found, elsewhere)
            else:
                whole = await self._forwarder.ask(query)
        except Failed:
            return wire.refusal(question, "SERVFAIL")
        made = whole if tcp else wire.fit(whole, question, question.payload)
        failed = made[3] & 0x0F not in (0, 3)
        seconds = FOREIGN_SECONDS if made[6:8] != b"\0\0" else NEGATIVE_SECONDS
        if not failed:
            self._cache.put(query, tcp, made, time.monotonic() + seconds, FOREIGN)
        return made


class DnsServer:
    """`start` binds both sockets; port 0 takes a free one, which `port` then says."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, address: str, port: int) -> None:
        """Raises OSError where the port can't be had. Port 0 looks for one that is free for both
        UDP and TCP, which the kernel only knows of each."""
        for left in reversed(range(_TRIES if port == 0 else 1)):
            try:
                await self._listen(address, port)
                return
            except OSError:
                await self.stop()
                if not left:
                    raise

    async def _listen(self, address: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(address, port)
        )
        self.port = self._udp.get_extra_info("sockname")[1]
        self._tcp = await asyncio.start_server(self._serve, address, self.port)

    async def stop(self) -> None:
        if self._udp:
            self._udp.close()
        if self._tcp:
            self._tcp.close()
            await self._tcp.wait_closed()

    def datagram(self, data: bytes, client: tuple[str, int]) -> None:
        assert self._udp
        made = self._resolver.at_once(data, tcp=False)
        if made is None:
            task = asyncio.ensure_future(self._send_later(data, client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif made:
            self._udp.sendto(made, client)

    async def _send_later(self, data: bytes, client: tuple[str, int]) -> None:
        made = await self._resolver.later(data, tcp=False)
        if self._udp and not self._udp.is_closing():
            self._udp.sendto(made, client)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= TCP_CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            while True:
                head = await asyncio.wait_for(reader.readexactly(2), TCP_IDLE_SECONDS)
                size = int.from_bytes(head)
                query = await asyncio.wait_for(reader.readexactly(size), TCP_IDLE_SECONDS)
                made = self._resolver.at_once(query, tcp=True)
                if made is None:
                    made = await self._resolver.later(query, tcp=True)
                if not made:
                    return
                writer.write(len(made).to_bytes(2) + made)
                await asyncio.wait_for(writer.drain(), TCP_IDLE_SECONDS)
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            pass  # the client has left, or is too slow to wait for
        finally:
            self._connections -= 1
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            self._server.datagram(data, addr)
        except Exception:
            log.exception("a query could not be answered")
