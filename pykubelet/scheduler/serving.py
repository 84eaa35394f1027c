"""/healthz, /livez, /readyz, /metrics and /configz, over plain HTTP on loopback unless told
otherwise."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pykubelet.errors import Failed

log = logging.getLogger(__name__)

DEFAULT_PORT = 10259


class Server:
    def __init__(
        self,
        address: str,
        port: int,
        *,
        ready: Callable[[], str],
        metrics: Callable[[], str],
        configuration: Callable[[], Any],
    ) -> None:
        """`ready` says why not; the empty text when it is. Raises Failed if the port is taken."""
        pages: dict[str, Callable[[], tuple[int, str, str]]] = {
            "/healthz": lambda: (200, "text/plain", "ok"),
            "/livez": lambda: (200, "text/plain", "ok"),
            "/readyz": lambda: _readiness(ready()),
            "/metrics": lambda: (200, "text/plain; version=0.0.4", metrics()),
            "/configz": lambda: (200, "application/json", json.dumps(configuration())),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = pages.get(self.path.partition("?")[0])
                status, kind, text = page() if page else (404, "text/plain", "not found\n")
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                log.debug(format, *args)

        try:
            self._server = ThreadingHTTPServer((address, port), Handler)
        except OSError as error:
            raise Failed(f"can't listen on {address}:{port}: {error.strerror}") from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 3600.0},
            name="serving",
            daemon=True,
        ).start()

    def stop(self) -> None:
        self._server.socket.close()


def _readiness(why_not: str) -> tuple[int, str, str]:
    return (500, "text/plain", why_not) if why_not else (200, "text/plain", "ok")
