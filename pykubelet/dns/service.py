"""Cluster DNS, put together: the zone filled from the API, the server that answers from it.

The informers' threads only hand their changes over; the zone belongs to the event loop. Without an
API server it still forwards, so that a pod which was told to ask here is never left alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.informer import Informer
from pykubelet.client.resources import ENDPOINT_SLICES, SERVICES
from pykubelet.dns.cache import Cache
from pykubelet.dns.forward import Forwarder
from pykubelet.dns.server import DnsServer, Resolver
from pykubelet.dns.zone import Zone

log = logging.getLogger(__name__)

Json = dict[str, Any]


class ClusterDns:
    """`listen` are addresses to answer at, `upstream` the resolvers for everything else."""

    def __init__(
        self,
        api: Api | None,
        *,
        domain: str,
        listen: Sequence[str],
        upstream: Sequence[str],
        port: int = 53,
        cache_size: int = 10_000,
    ) -> None:
        self.zone = Zone(domain)
        self._listen = listen
        self._port = port
        self._informers = [Informer(api, r) for r in (SERVICES, ENDPOINT_SLICES)] if api else []
        self.resolver = Resolver(self.zone, Forwarder(upstream), Cache(cache_size), self.synced)
        self._servers: list[DnsServer] = []

    def synced(self) -> bool:
        """Whether every service and slice that there is has been heard of."""
        return all(informer.synced.is_set() for informer in self._informers)

    async def run(self, stop: asyncio.Event) -> None:
        """Answer until `stop` is set. Raises OSError where an address can't be listened at."""
        loop = asyncio.get_running_loop()
        for address in self._listen:
            server = DnsServer(self.resolver)
            await server.start(address, self._port)
            self._servers.append(server)
        for informer, change in zip(
            self._informers, (self._service_changed, self._slice_changed), strict=False
        ):
            informer.add_handler(_handed_over(loop, change))
            informer.start()
        log.info("answering for %s at %s", self.zone.domain, ", ".join(self._listen))
        try:
            await stop.wait()
        finally:
            for informer in self._informers:
                await loop.run_in_executor(None, informer.stop)
            for server in self._servers:
                await server.stop()

    def _service_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None:
            self.zone.put_service(new)
        elif old is not None:
            self.zone.drop_service(old["metadata"]["namespace"], old["metadata"]["name"])

    def _slice_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None:
            self.zone.put_slice(new)
        elif old is not None:
            self.zone.drop_slice(old)


def _handed_over(
    loop: asyncio.AbstractEventLoop, change: Callable[[Json | None, Json | None], None]
) -> Callable[[Json | None, Json | None], None]:
    def hand_over(old: Json | None, new: Json | None) -> None:
        try:
            loop.call_soon_threadsafe(change, old, new)
        except RuntimeError:
            pass  # the loop has ended, and with it the zone

    return hand_over
