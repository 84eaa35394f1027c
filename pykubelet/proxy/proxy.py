"""The proxy put together: for `pykubelet proxy`, and for an agent that carries it inside.

`Proxy(api, config, node_name).start()` returns at once; rules come when the API server has told
everything. `stop()` leaves the rules as they are, so that services go on while the proxy is
restarted. `cleanup()` takes them away.
"""

from __future__ import annotations

import logging
import threading

from pykubelet.client.api import Api
from pykubelet.clock import Clock, SystemClock
from pykubelet.errors import Failed
from pykubelet.proxy import backend, nodes
from pykubelet.proxy.config.configuration import Configuration
from pykubelet.proxy.health import Answer, Server, ServicePorts, Wellness
from pykubelet.proxy.loop import Loop
from pykubelet.proxy.metrics import Metrics
from pykubelet.proxy.model import Settings
from pykubelet.proxy.observing import ApiSource
from pykubelet.proxy.watching import Watching

log = logging.getLogger(__name__)


class Proxy:
    """Raises Failed where the host has not what the configuration asks for. Rules are those of the
    network namespace that `start` is called in."""

    def __init__(
        self, api: Api, config: Configuration, node_name: str, clock: Clock | None = None
    ) -> None:
        mode = backend.choose(config.mode, Settings()).name
        self._config = config = nodes.with_mode(config, mode)
        of_mode = config.nftables if mode == backend.NFTABLES else config.iptables
        self.mode = mode
        self.metrics = Metrics()
        self.wellness = Wellness(clock or SystemClock(), patience=2 * of_mode.sync_period)
        self._health_ports = ServicePorts(self.wellness)
        self._loop = Loop(
            node_name,
            lambda settings: backend.choose(mode, settings),
            lambda facts: nodes.settings(config, facts),
            self.wellness,
            metrics=self.metrics,
            health_ports=self._health_ports,
            least_wait=of_mode.min_sync_period,
            period=of_mode.sync_period,
        )
        self._source = ApiSource(api, node_name, self._loop.touched)
        self._watching = Watching(self._loop.rules_changed)
        self._servers: list[Server] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def start(self) -> None:
        """Raises Failed where a port is taken and `bindAddressHardFail` is set."""
        backend.cleanup(keep=self.mode)
        self._serve()
        self._loop.hears = self._watching.start()
        self._source.start()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._loop.stop()
        self._source.stop()
        if self._thread.is_alive():
            self._thread.join(10)
        self._watching.stop()
        self._health_ports.stop()
        for server in self._servers:
            server.stop()

    def _run(self) -> None:
        if self._source.wait(self._stopping):
            self._loop.attach(self._source)
            self._loop.run()

    # -- HTTP -----------------------------------------------------------------------------------

    def _serve(self) -> None:
        for address, respond in (
            (self._config.healthz, self._health_page),
            (self._config.metrics, self._metrics_page),
        ):
            if address is None:
                continue
            try:
                self._servers.append(Server(address, respond))
            except Failed as error:
                if self._config.bind_hard_fail:
                    raise
                log.error("%s", error)

    def _health_page(self, path: str) -> Answer | None:
        if path == "/healthz":
            answer = self.wellness.answer(asks_balancer=True)
            self.metrics.healthz.add(code=str(answer.status))
            return answer
        if path == "/livez":
            answer = self.wellness.answer(asks_balancer=False)
            self.metrics.livez.add(code=str(answer.status))
            return answer
        return None

    def _metrics_page(self, path: str) -> Answer | None:
        if path == "/metrics":
            kind = "text/plain; version=0.0.4; charset=utf-8"
            return Answer(200, self.metrics.text(), content_type=kind)
        if path == "/proxyMode":
            return Answer(200, self.mode, content_type="text/plain; charset=utf-8")
        if path == "/healthz":
            return Answer(200, "ok", content_type="text/plain; charset=utf-8")
        return None


def cleanup() -> None:
    """Take away every rule that a proxy of ours has left in this network namespace, by either
    backend. Raises Failed."""
    backend.cleanup()
