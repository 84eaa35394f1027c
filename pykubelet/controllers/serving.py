"""/healthz, /livez, /readyz and /metrics of the controller manager, over plain HTTP on loopback
unless told otherwise."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pykubelet.errors import Failed

log = logging.getLogger(__name__)

DEFAULT_PORT = 10257

#: By check: empty where all is well, else what is not.
Checks = Callable[[], Mapping[str, str]]


class Server:
    """Serves from its making until `stop`. Raises Failed if the port is taken."""

    def __init__(
        self, address: str, port: int, *, live: Checks, ready: Checks, metrics: Callable[[], str]
    ) -> None:
        pages: dict[str, Callable[[bool], tuple[int, str]]] = {
            "/healthz": lambda verbose: report("healthz", live(), verbose),
            "/livez": lambda verbose: report("livez", live(), verbose),
            "/readyz": lambda verbose: report("readyz", ready(), verbose),
            "/metrics": lambda verbose: (200, metrics()),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                page = pages.get(path)
                status, text = page("verbose" in query) if page else (404, "not found\n")
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                log.debug(format, *args)

        try:
            self._server = ThreadingHTTPServer((address, port), Handler)
        except OSError as error:
            raise Failed(f"can't listen on {address}:{port}: {error.strerror}") from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        # Nothing to look after between requests: no need to wake up for it twice a second.
        work = {"poll_interval": 3600.0}
        serve = self._server.serve_forever
        threading.Thread(target=serve, kwargs=work, name="serving", daemon=True).start()

    def stop(self) -> None:
        self._server.socket.close()


def report(name: str, checks: Mapping[str, str], verbose: bool) -> tuple[int, str]:
    """(HTTP status, text) of some checks, as upstream writes them."""
    bad = any(checks.values())
    if not bad and not verbose:
        return 200, "ok"
    lines = [f"[-]{one} failed: {why}" if why else f"[+]{one} ok" for one, why in checks.items()]
    return 500 if bad else 200, "\n".join([*lines, f"{name} check {'failed' if bad else 'passed'}"])
