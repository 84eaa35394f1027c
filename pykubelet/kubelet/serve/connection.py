"""One client's connection: bytes in with deadlines, bytes out with deadlines.

Wraps a plain, TLS or unix-domain socket for `server` and the handlers. A client that dawdles loses
its connection, never a thread for long: the whole TLS handshake and the whole head each have one
deadline, however slowly the bytes trickle in, and every 64 KiB written have theirs.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from typing import Any

from pykubelet.kubelet.serve import http1
from pykubelet.kubelet.serve.http1 import Request

HEAD_SECONDS = 10.0
WRITE_SECONDS = 30.0
_PIECE = 64 * 1024


class ClientGone(ConnectionError):
    """The client has left or doesn't take what it asked for. Nobody's fault, nobody to tell."""


class Connection:
    """Owned by one thread at a time: the server's loop while it idles, a worker while it's busy."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
        self.sock = sock
        self.buffer = bytearray()
        self._context = context
        self.certificate: Mapping[str, Any] | None = None

    def fileno(self) -> int:
        return self.sock.fileno()

    @property
    def tls(self) -> bool:
        return isinstance(self.sock, ssl.SSLSocket)

    # -- reading --------------------------------------------------------------------------------

    def handshake(self) -> None:
        """TLS, where this listener speaks it and it hasn't happened yet. Raises OSError."""
        if self._context is None or self.tls:
            return
        deadline = time.monotonic() + HEAD_SECONDS
        self.sock.setblocking(False)
        tls = self._context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        self.sock = tls
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                _wait(tls, select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                _wait(tls, select.POLLOUT, deadline)
        self.certificate = tls.getpeercert() or None

    def read_request(self) -> Request | None:
        """The next request, its body read and dropped; None when the client has gone.

        Raises BadRequest, and TimeoutError when the head or body isn't there in time.
        """
        deadline = time.monotonic() + HEAD_SECONDS
        while not (end := http1.end_of_head(self.buffer)):
            if not self._fill(deadline):
                return None
        request = http1.parse_head(bytes(self.buffer[:end]))
        del self.buffer[:end]
        if request.length and request.headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self.buffer) < request.length:
            if not self._fill(deadline):
                return None
        del self.buffer[: request.length]
        return request

    def _fill(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock.settimeout(left)
        data = self.sock.recv(_PIECE)
        self.buffer += data
        return bool(data)

    def has_input(self) -> bool:
        """Whether bytes are here already that no poll would tell of."""
        return bool(self.buffer) or (
            isinstance(self.sock, ssl.SSLSocket) and bool(self.sock.pending())
        )

    def gone(self) -> bool:
        """After the socket turned readable while we were answering: has the client left?

        Whatever it sent instead is kept for later.
        """
        if len(self.buffer) > http1.MAX_HEAD:
            return True
        self.sock.setblocking(False)
        try:
            data = self.sock.recv(_PIECE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            return True
        self.buffer += data
        return not data

    # -- writing --------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """All of `data`. Raises ClientGone when the client doesn't take it."""
        view = memoryview(data)
        try:
            self.sock.settimeout(WRITE_SECONDS)
            for start in range(0, len(view), _PIECE):
                self.sock.sendall(view[start : start + _PIECE])
        except OSError as error:
            raise ClientGone(str(error)) from error

    def refuse(self, status: int, message: str) -> None:
        """Answer a request that couldn't be read, and let the answer arrive before the end.

        Closing with unread bytes would reset the connection and take the answer with it, so what
        the client is still sending is dropped for up to a second.
        """
        body = f"{message}\n".encode()
        self.send(
            http1.answer_head(
                status,
                {
                    "Content-Type": "text/plain; charset=utf-8",
                    "Content-Length": str(len(body)),
                    "Connection": "close",
                },
            )
            + body
        )
        if not self.tls:
            self.sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 1.0
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            if not self.sock.recv(_PIECE):
                return

    def close(self) -> None:
        """Let what was written arrive, then go. Never raises, never waits."""
        try:
            self.sock.setblocking(False)
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.unwrap()
        except (OSError, ValueError):
            pass  # a close_notify that doesn't fit or isn't answered is no loss
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # gone already
        self.sock.close()

    def peer_uid(self) -> int:
        """The user behind a unix-domain socket (SO_PEERCRED, unix(7))."""
        raw = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", raw)[1])


def _wait(sock: socket.socket, events: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(sock, events)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError
