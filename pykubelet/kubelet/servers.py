"""The sockets that the agent listens on: health, the kubelet API, the local socket, CNI.

`agent` says when; what is answered is `serve`'s and `network`'s business.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.serve.api import Api, ApiOptions
from pykubelet.kubelet.serve.backend import Backend
from pykubelet.kubelet.serve.server import Listener, Server, listen_tcp, listen_unix

log = logging.getLogger(__name__)


class Servers:
    def __init__(self, config: Configuration) -> None:
        self._config = config
        self._server: Server | None = None
        self._api: Api | None = None

    def start_health(self) -> None:
        """Take the ports, so that a second agent is told at once."""

    def start_cni(self) -> None:
        """Serve the CNI plugin."""

    def start(self, backend: Backend) -> None:
        config = self._config
        self._api = Api(
            backend,
            ApiOptions(enable_debugging_handlers=config.enable_debugging_handlers),
        )
        server = Server()
        server.add(
            Listener(
                "local",
                listen_unix(Path(config.agent_socket)),
                self._api.local,
                allowed_uids=frozenset({0}),
            )
        )
        if config.healthz_port:
            server.add(
                Listener(
                    "healthz",
                    listen_tcp(config.healthz_bind_address, config.healthz_port),
                    self._api.health,
                )
            )
        server.start()
        self._server = server

    def stop(self) -> None:
        if self._server:
            self._server.stop()
        if self._api:
            self._api.close()
