"""The sockets that the agent listens on: health, the kubelet API, the local socket, CNI.

`agent` says when; what is answered is `serve`'s and `network`'s business. The ports are taken first
of all, so that a second agent, or whoever else holds one, is named before anything is done.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pykubelet.client.api import Api as ApiClient
from pykubelet.errors import Failed
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.serve.api import Api, ApiOptions
from pykubelet.kubelet.serve.auth import (
    AlwaysAllow,
    Anonymous,
    Authenticator,
    Authorizer,
    Standalone,
    Union,
    read_tokens,
)
from pykubelet.kubelet.serve.backend import Backend
from pykubelet.kubelet.serve.server import Listener, Server, listen_tcp, listen_unix
from pykubelet.kubelet.serve.tls import Contexts, TlsOptions
from pykubelet.kubelet.serve.webhook import AccessReviewer, TokenReviewer
from pykubelet.network.server import CniServer
from pykubelet.pki import serving

log = logging.getLogger(__name__)

_LOCAL, _HEALTH, _SECURE = "local", "healthz", "https"
_FOR_EVER = 100 * 365 * 86400.0


class Servers:
    def __init__(self, config: Configuration) -> None:
        self._config = config
        self._sockets: dict[str, socket.socket] = {}
        self._server: Server | None = None
        self._api: Api | None = None
        self._known = Standalone()
        self.cni: CniServer | None = None
        self._live_sandboxes: Callable[[], Iterable[str]] = tuple
        self._making = threading.Lock()

    def take_ports(self) -> None:
        """Listen, without answering yet. Raises Invalid naming the port that can't be had."""
        config = self._config
        self._sockets[_LOCAL] = listen_unix(Path(config.agent_socket))
        if config.healthz_port:
            self._sockets[_HEALTH] = listen_tcp(config.healthz_bind_address, config.healthz_port)
        if config.enable_server:
            self._sockets[_SECURE] = listen_tcp(config.address, config.port)

    def start_cni(self, live_sandboxes: Callable[[], Iterable[str]]) -> None:
        """Serve the CNI plugin, and take back what sandboxes that are gone have left."""
        self._live_sandboxes = live_sandboxes
        state = Path(self._config.root_dir) / "cni"
        self.cni = CniServer(self._config.cni_socket, state, live_sandboxes=live_sandboxes)
        try:
            self.cni.start()
        except OSError as error:
            raise Failed(f"can't serve CNI at {self._config.cni_socket}: {error}") from error

    def tidy_network(self) -> Iterable[object]:
        """Take back what sandboxes that are gone have left; the leases that are free again."""
        return self.cni.gc(self._live_sandboxes()) if self.cni else ()

    def start(
        self, backend: Backend, node_name: str, addresses: Iterable[str], api: ApiClient | None
    ) -> None:
        """Answer from now on. `api` is how to ask the cluster who may do what; without one only
        certificates of the configured authority and the tokens of the token file count."""
        config = self._config
        self.read_tokens(config)
        self._api = Api(
            backend,
            ApiOptions(
                enable_debugging_handlers=config.enable_debugging_handlers,
                enable_system_log_handler=config.enable_system_log_handler,
                streaming_idle_seconds=config.streaming_connection_idle_timeout or _FOR_EVER,
                node_log_folder=Path(config.pod_logs_dir).parent,
            ),
            self._authenticator(api),
            self._authorizer(api, node_name),
        )
        server = Server()
        for name, sock in self._sockets.items():
            if name == _LOCAL:
                root_only = frozenset({0})
                server.add(Listener(name, sock, self._api.local, allowed_uids=root_only))
            elif name == _HEALTH:
                server.add(Listener(name, sock, self._api.health))
            else:
                contexts = Contexts(self._tls(node_name, addresses))
                server.add(Listener(name, sock, self._api.secure, tls=contexts))
        server.start()
        self._server = server

    def read_tokens(self, config: Configuration) -> None:
        """Have the token file's present content count. Raises Invalid naming a line."""
        file = config.token_auth_file
        self._known.take_up(read_tokens(Path(file)) if file else {})

    def _authenticator(self, api: ApiClient | None) -> Authenticator:
        config = self._config
        known: list[Authenticator] = [self._known]
        if api is not None and config.webhook_authentication:
            known.append(TokenReviewer(api, config.webhook_authentication_ttl))
        if config.anonymous_auth and api is not None:
            known.append(Anonymous())
        elif config.anonymous_auth:
            log.warning(
                "anonymous requests are refused all the same: without an API server nobody can "
                "say what they may do"
            )
        return Union(known)

    def _authorizer(self, api: ApiClient | None, node_name: str) -> Authorizer:
        config = self._config
        if api is None or config.authorization_mode == "AlwaysAllow":
            return AlwaysAllow()
        return AccessReviewer(api, node_name, config.authorized_ttl, config.unauthorized_ttl)

    def renew(self, node_name: str, addresses: Iterable[str]) -> None:
        """See to it that the serving certificate fits the node and is not about to end."""
        if self._config.enable_server and not self._config.tls_cert_file:
            self._ensure_certificate(node_name, addresses)

    def _ensure_certificate(self, node_name: str, addresses: Iterable[str]) -> serving.Serving:
        # Asked for by the start and by the housekeeping at the same time: two makers at once
        # would leave the key of the one beside the certificate of the other.
        with self._making:
            return serving.ensure(self._folder(), node_name, addresses, time.time())

    def stop(self) -> None:
        if self.cni:
            self.cni.stop()
        if self._server:
            self._server.stop()
        else:
            for sock in self._sockets.values():
                sock.close()
        if self._api:
            self._api.close()

    def _folder(self) -> Path:
        return Path(self._config.cert_dir or f"{self._config.root_dir}/pki")

    def _tls(self, node_name: str, addresses: Iterable[str]) -> TlsOptions:
        config = self._config
        if config.tls_cert_file:
            certificate, key = Path(config.tls_cert_file), Path(config.tls_private_key_file)
        else:
            made = self._ensure_certificate(node_name, addresses)
            certificate, key = made.certificate_path, made.key_path
        return TlsOptions(
            certificate=certificate,
            key=key,
            client_ca=Path(config.client_ca_file) if config.client_ca_file else None,
            min_version=config.tls_min_version,
            cipher_suites=config.tls_cipher_suites,
        )
