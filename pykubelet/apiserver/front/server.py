"""Listens, with TLS, and ends politely.

Client certificates are asked for and verified against the given authority, never demanded: who
has none may have a token.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from pykubelet.apiserver.front.connection import Connection
from pykubelet.apiserver.front.messages import Handler
from pykubelet.errors import Unavailable


def tls(certificate: Path, key: Path, client_authority: Path | None) -> ssl.SSLContext:
    """A server's TLS settings: 1.2 and newer, HTTP/1.1, client certificates optional."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(client_authority)
    return context


class Server:
    """A listening address. Start it, close it."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Listen; the port (which one, where 0 was asked for). Unavailable if it is taken."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self._handler, self._connections),
                host,
                port,
                ssl=context,
                backlog=1024,
            )
        except OSError as error:
            raise Unavailable(
                f"can't listen on {host}:{port} ({error.strerror or error}): stop what has the "
                "port, or choose another"
            ) from error
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listen no more, and close every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()
