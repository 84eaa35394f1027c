"""Whether the proxy is well, and which services this node serves, told over HTTP.

/healthz and /livez on port 10256 are for load balancers and liveness probes; a service with the
external policy Local and a load balancer has a port of its own (`healthCheckNodePort`) that says
whether this node has an endpoint. Formats are upstream's. `Wellness` and the answers are pure.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pykubelet.clock import Clock, rfc3339_micro
from pykubelet.errors import Failed
from pykubelet.proxy.services import HealthCheck

log = logging.getLogger(__name__)

WEIGHT_HEADER = "X-Load-Balancing-Endpoint-Weight"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Wellness:
    """The proxy is well while no change has waited longer than `patience` seconds to be programmed.
    Thread-safe."""

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._lock = threading.Lock()
        self._waiting_since: float | None = None
        self._updated_at = 0.0
        self.eligible = True

    def queued(self) -> None:
        with self._lock:
            if self._waiting_since is None:
                self._waiting_since = self._clock.monotonic()

    def updated(self) -> None:
        """All that was queued before is programmed."""
        with self._lock:
            self._waiting_since = None
            self._updated_at = self._clock.wall()

    def is_well(self) -> bool:
        with self._lock:
            since = self._waiting_since
        return since is None or self._clock.monotonic() - since < self._patience

    def answer(self, *, asks_balancer: bool) -> Answer:
        """/healthz, which a load balancer asks, says no on a node about to go; /livez does not."""
        well = self.is_well()
        fine = well and (self.eligible or not asks_balancer)
        now = self._clock.wall()
        updated = self._updated_at or now
        body = {
            "lastUpdated": rfc3339_micro(updated),
            "currentTime": rfc3339_micro(now),
            "nodeEligible": self.eligible,
        }
        return Answer(200 if fine else 503, json.dumps(body))


def of_service(check: HealthCheck, well: bool) -> Answer:
    body = {
        "service": {"namespace": check.namespace, "name": check.name},
        "localEndpoints": check.local_endpoints,
        "serviceProxyHealthy": well,
    }
    fine = check.local_endpoints > 0 and well
    headers = {WEIGHT_HEADER: str(check.local_endpoints), "X-Content-Type-Options": "nosniff"}
    return Answer(200 if fine else 503, json.dumps(body), headers)


class Server:
    """Answers GET and HEAD by a function of the path; None is 404. On a port number alone it
    listens at every address of both families. Raises Failed where the port is taken."""

    def __init__(self, address: tuple[str, int], respond: Callable[[str], Answer | None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                answer = respond(self.path.partition("?")[0])
                if answer is None:
                    answer = Answer(404, "no such page\n", content_type="text/plain")
                data = answer.body.encode()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(data)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """A load balancer asks every few seconds: nothing to tell."""

        host, port = address
        if not host:
            host = "::" if _has_ipv6() else "0.0.0.0"
        family = socket.AF_INET6 if ":" in host else socket.AF_INET

        class Listener(ThreadingHTTPServer):
            address_family = family
            daemon_threads = True
            request_queue_size = 64
            timeout = 0.0  # of handle_request: a connection that is gone again is not waited for

            def server_bind(self) -> None:
                if host == "::":
                    self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                # Not HTTPServer's, which asks DNS for the host's name.
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind(self.server_address)
                self.server_address = self.socket.getsockname()
                self.server_name, self.server_port = host, self.server_address[1]

        try:
            self._listener = Listener((host, port), Handler)
        except OSError as error:
            raise Failed(f"can't listen on {host}:{port}: {error.strerror}") from error
        self.port = self._listener.server_port
        self._closing, self._closed = os.pipe()
        self._thread = threading.Thread(target=self._serve, name=f"health-{self.port}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        os.close(self._closed)
        self._thread.join(5)
        os.close(self._closing)
        self._listener.server_close()

    def _serve(self) -> None:
        """Not `serve_forever`, which wakes up twice a second to see whether it should end."""
        while True:
            ready, _, _ = select.select([self._listener.fileno(), self._closing], [], [])
            if self._closing in ready:
                return
            self._listener.handle_request()


def _has_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6).close()
    except OSError:
        return False
    return True


class ServicePorts:
    """The health check ports of services: opened, answered and closed as they come and go."""

    def __init__(self, wellness: Wellness) -> None:
        self._wellness = wellness
        self._checks: dict[int, HealthCheck] = {}
        self._servers: dict[int, Server] = {}
        self._refused: dict[int, str] = {}

    def set(self, checks: Iterable[HealthCheck]) -> None:
        self._checks = {check.port: check for check in checks}
        for port in self._servers.keys() - self._checks.keys():
            self._servers.pop(port).stop()
        for port, check in self._checks.items():
            if port in self._servers:
                continue
            try:
                self._servers[port] = Server(("", port), self._answer_of(port))
                self._refused.pop(port, None)
            except Failed as error:
                if self._refused.get(port) != str(error):
                    title = f"{check.namespace}/{check.name}"
                    log.warning("health checks of %s will not be answered: %s", title, error)
                self._refused[port] = str(error)

    def stop(self) -> None:
        self.set(())

    def _answer_of(self, port: int) -> Callable[[str], Answer | None]:
        def answer(_: str) -> Answer | None:
            check = self._checks.get(port)
            return of_service(check, self._wellness.is_well()) if check else None

        return answer
