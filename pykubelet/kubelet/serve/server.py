"""Listeners, and the thread that waits for all of them.

One thread (the doorman) waits for new connections, idle ones and deadlines; a connection costs a
worker thread only from its first byte to the end of the answer. So a thousand quiet keep-alive
clients cost a thousand file descriptors and no thread, and a client that never says anything is
shown out at its deadline. Each listener has its own limits: whoever floods the TLS port takes
nothing from /healthz or the local socket.

What is answered is decided by each listener's `Front` (see `fronts`; `api` makes them).
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import ssl
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pykubelet.errors import Invalid
from pykubelet.kubelet.serve.connection import Connection
from pykubelet.kubelet.serve.exchange import Exchange
from pykubelet.kubelet.serve.http1 import BadRequest, Request

log = logging.getLogger(__name__)

FIRST_BYTE_SECONDS = 10.0
IDLE_SECONDS = 90.0


class Front(Protocol):
    """What stands behind a listener."""

    def serve(self, connection: Connection, request: Request) -> Exchange:
        """Answer one request, whatever it is, and return the exchange for its `keep_alive`."""


@dataclass
class Listener:
    """An open, listening socket and its limits. `tls` gives the context for a new connection."""

    name: str
    sock: socket.socket
    front: Front
    tls: Callable[[], ssl.SSLContext] | None = None
    max_busy: int = 256
    max_open: int = 1024
    allowed_uids: frozenset[int] | None = None
    busy: int = 0
    open: int = 0
    refused: int = 0


@dataclass
class _Guest:
    connection: Connection
    listener: Listener
    deadline: float = 0.0


@dataclass
class Server:
    """`add` listeners, `start`, `stop`. Errors of the network are the client's problem, not ours:
    they end the connection and are not logged."""

    _listeners: list[Listener] = field(default_factory=list)
    _guests: dict[int, _Guest] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _returning: list[_Guest] = field(default_factory=list)
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many requests each (listener, first part of the path) has had."""

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._stopping = False

    def add(self, listener: Listener) -> None:
        """Before `start`."""
        listener.sock.setblocking(False)
        self._listeners.append(listener)
        self._selector.register(listener.sock, selectors.EVENT_READ, listener)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="serve", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the doors and every idle connection. Busy ones end with their requests."""
        self._stopping = True
        os.eventfd_write(self._bell, 1)
        if self._thread:
            self._thread.join(5)

    # -- the doorman ----------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    os.eventfd_read(self._bell)
                elif isinstance(key.data, Listener):
                    self._accept(key.data)
                else:
                    self._begin(key.data)
            with self._lock:
                returning, self._returning = self._returning, []
            for guest in returning:
                self._park(guest, IDLE_SECONDS)
            self._show_out()
        self._selector.close()
        for listener in self._listeners:
            if listener.sock.family == socket.AF_UNIX:
                Path(listener.sock.getsockname()).unlink(missing_ok=True)
            listener.sock.close()
        for guest in self._guests.values():
            guest.connection.close()
        os.close(self._bell)

    def _patience(self) -> float | None:
        if not self._guests:
            return None
        first = min(guest.deadline for guest in self._guests.values())
        return max(0.0, first - time.monotonic()) + 0.05

    def _accept(self, listener: Listener) -> None:
        try:
            sock, _ = listener.sock.accept()
        except OSError as error:
            if not isinstance(error, BlockingIOError | ConnectionAbortedError):
                log.warning("%s: a connection could not be accepted: %s", listener.name, error)
                time.sleep(0.1)  # out of descriptors: the backlog keeps it; don't spin meanwhile
            return
        if listener.open >= listener.max_open:
            listener.refused += 1
            sock.close()
            return
        context = listener.tls() if listener.tls else None
        guest = _Guest(Connection(sock, context), listener)
        if listener.allowed_uids is not None:
            if guest.connection.peer_uid() not in listener.allowed_uids:
                listener.refused += 1
                sock.close()
                return
        elif sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        with self._lock:
            listener.open += 1
        self._park(guest, FIRST_BYTE_SECONDS)

    def _park(self, guest: _Guest, seconds: float) -> None:
        guest.deadline = time.monotonic() + seconds
        self._guests[guest.connection.fileno()] = guest
        self._selector.register(guest.connection, selectors.EVENT_READ, guest)

    def _leave(self, guest: _Guest) -> None:
        self._selector.unregister(guest.connection)
        del self._guests[guest.connection.fileno()]

    def _show_out(self) -> None:
        now = time.monotonic()
        for guest in [g for g in self._guests.values() if g.deadline <= now]:
            self._leave(guest)
            self._close(guest)

    def _begin(self, guest: _Guest) -> None:
        self._leave(guest)
        listener = guest.listener
        with self._lock:
            full = listener.busy >= listener.max_busy
            if full:
                listener.refused += 1
            else:
                listener.busy += 1
        if full:
            self._close(guest)
            return
        try:
            threading.Thread(
                target=self._work, args=(guest,), name=f"serve-{listener.name}", daemon=True
            ).start()
        except RuntimeError as error:
            log.warning("%s: no thread for a request: %s", listener.name, error)
            with self._lock:
                listener.busy -= 1
            self._close(guest)

    def _close(self, guest: _Guest) -> None:
        with self._lock:
            guest.listener.open -= 1
        guest.connection.close()

    # -- a worker -------------------------------------------------------------------------------

    def _work(self, guest: _Guest) -> None:
        stay = False
        try:
            stay = self._converse(guest)
        except (OSError, ValueError):
            pass  # the client left, dawdled, or doesn't speak TLS; ValueError: its socket is closed
        except Exception:
            log.exception("%s: a request failed in an unforeseen way", guest.listener.name)
        with self._lock:
            guest.listener.busy -= 1
            stay = stay and not self._stopping
            if stay:
                self._returning.append(guest)
                os.eventfd_write(self._bell, 1)
        if not stay:
            self._close(guest)

    def _converse(self, guest: _Guest) -> bool:
        """Requests as long as they come without a pause. Whether the connection may idle on."""
        connection, listener = guest.connection, guest.listener
        connection.handshake()
        while True:
            try:
                request = connection.read_request()
            except BadRequest as error:
                self.requests[listener.name, "(refused)"] += 1
                connection.refuse(error.status, error.message)
                return False
            if request is None:
                return False
            first = request.path[1:].partition("/")[0]
            exchange = listener.front.serve(connection, request)
            self.requests[listener.name, first if exchange.known else "(unknown)"] += 1
            if not exchange.keep_alive:
                return False
            if not connection.has_input():
                return True


def listen_tcp(address: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises Invalid where the address or port can't be had."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" serves both families, as upstream's listeners do.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((address, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise Invalid(
            "can't listen",
            where=f"{address}:{port}",
            found=error.strerror or str(error),
            remedy="stop what holds the port or choose another",
        ) from error
    return sock


def listen_unix(path: Path) -> socket.socket:
    """A listening socket that only its owner may open (0600). A dead one in the way is replaced.

    Raises Invalid where another agent answers there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            if _answers(path):
                raise Invalid(
                    "another agent is running",
                    where=str(path),
                    remedy="stop it first, or give this one a socket of its own",
                )
            path.unlink()
        os.fchmod(sock.fileno(), 0o600)  # on Linux the file that bind makes takes this mode
        sock.bind(str(path))
        sock.listen(64)
    except OSError as error:
        sock.close()
        raise Invalid("can't listen", where=str(path), found=str(error)) from error
    except Invalid:
        sock.close()
        raise
    return sock


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
