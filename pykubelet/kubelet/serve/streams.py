"""exec, attach and port-forward: a client's upgraded connection joined to the runtime's.

The runtime tells a URL of its streaming server (CRI Exec, Attach, PortForward). We send it the
client's upgrade request with only the address exchanged, and from then on carry bytes both ways
without looking at them, whatever the two speak: SPDY/3.1 or WebSocket. One worker thread per
stream, nothing shared, so no stream can hold up another request.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from pykubelet.errors import Failed, Unavailable
from pykubelet.kubelet.serve.connection import ClientGone
from pykubelet.kubelet.serve.exchange import Exchange
from pykubelet.kubelet.serve.http1 import Request

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
FAREWELL_SECONDS = 30.0
"""How long one direction may go on without a byte after the other has ended."""

_PIECE = 64 * 1024
_NOT_PASSED_ON = ("authorization", "host", "content-length", "proxy-authorization", "cookie")


def pass_through(exchange: Exchange, url: str, idle_seconds: float) -> None:
    """Join the client to the runtime's streaming server at `url` until both have ended.

    Unavailable where nobody listens there, Failed where it doesn't answer in time. What the
    runtime answers instead of 101 goes to the client as it is.
    """
    target = urlsplit(url)
    runtime = _connect(target)
    try:
        runtime.sendall(upgrade_request(exchange.request, target))
        head, rest = _read_head(runtime)
        client, early = exchange.take_over()
        client.send(head + rest)
        if head.split(b" ", 2)[1] == b"101":
            Splice(client.sock, runtime, early, idle_seconds).run()
        else:
            _drain(runtime, client.send)
    except (ClientGone, ssl.SSLError):
        raise
    except OSError as error:
        if exchange.answered:
            return  # one of the two ends broke off: so has the stream
        raise Failed(f"the runtime's streaming server broke off: {error}") from error
    finally:
        runtime.close()


def upgrade_request(request: Request, target: SplitResult) -> bytes:
    """The client's request, addressed to `target`. Its credentials are ours and stay here."""
    path = target.path + (f"?{target.query}" if target.query else "")
    _, *lines = request.head[:-4].split(b"\r\n")
    kept = [
        line for line in lines
        if line.partition(b":")[0].decode("latin-1").lower() not in _NOT_PASSED_ON
    ]  # fmt: skip
    first = [f"{request.method} {path} HTTP/1.1".encode(), f"Host: {target.netloc}".encode()]
    return b"\r\n".join([*first, *kept, b"Content-Length: 0", b"", b""])


def _connect(target: SplitResult) -> socket.socket:
    host = target.hostname or ""
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        sock = socket.create_connection((host, port), CONNECT_SECONDS)
    except OSError as error:
        raise Unavailable(
            f"the runtime's streaming server at {host}:{port} can't be reached: {error}"
        ) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(ANSWER_SECONDS)
    if target.scheme == "https":
        # The runtime makes a throw-away certificate for itself; the one-time token in the URL,
        # told to us over its root-only socket, is what proves it.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(sock)
    return sock


def _read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(_PIECE)
        if not piece or len(data) > _PIECE:
            raise Failed("the runtime's streaming server didn't answer in HTTP")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.") or len(head.split(b" ", 2)) < 2:
        raise Failed("the runtime's streaming server didn't answer in HTTP")
    return head + b"\r\n\r\n", rest


def _drain(sock: socket.socket, send: Callable[[bytes], None]) -> None:
    while piece := sock.recv(_PIECE):
        send(piece)


class _End:
    """One of the two sockets, and what waits to be written to it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.outbox = b""
        self.open_in = True  # it may still say something
        self.open_out = True  # we may still say something to it
        self.wants_write_to_read = False
        sock.setblocking(False)

    def receive(self) -> bytes | None:
        """Some bytes, b"" at the end, None for nothing now."""
        try:
            return self.sock.recv(_PIECE)
        except ssl.SSLWantWriteError:
            self.wants_write_to_read = True
            return None
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError:
            return b""

    def flush(self) -> None:
        """Write what can be written now. A broken pipe ends both directions."""
        while self.outbox:
            try:
                sent = self.sock.send(self.outbox)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                self.outbox = b""
                self.open_in = self.open_out = False
                return
            self.outbox = self.outbox[sent:]

    def finish(self) -> None:
        """Tell it that nothing more comes, and still listen: a half-close."""
        if not self.open_out or self.outbox:
            return
        self.open_out = False
        try:
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.unwrap()  # sends close_notify; the answer to it is the end of its side
            else:
                self.sock.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            pass  # sent, or nobody there to be told

    @property
    def pending(self) -> bool:
        return isinstance(self.sock, ssl.SSLSocket) and bool(self.sock.pending())


class Splice:
    """Two sockets, bytes both ways, until both have ended or nothing moves for `idle` seconds."""

    def __init__(
        self, client: socket.socket, runtime: socket.socket, early: bytes, idle: float
    ) -> None:
        self._client = _End(client)
        self._runtime = _End(runtime)
        self._runtime.outbox = early
        self._idle = idle

    def run(self) -> None:
        pairs = ((self._client, self._runtime), (self._runtime, self._client))
        moved = time.monotonic()
        while True:
            for source, sink in pairs:
                sink.flush()
                if not source.open_in and not sink.outbox:
                    sink.finish()
            if not any(source.open_in or sink.outbox for source, sink in pairs):
                return
            ended = not (self._client.open_in and self._runtime.open_in)
            patience = FAREWELL_SECONDS if ended else self._idle
            if not self._wait(moved + patience - time.monotonic()):
                return
            for source, sink in pairs:
                # A sink that doesn't take its bytes stops its source: no buffer grows.
                while source.open_in and not sink.outbox:
                    data = source.receive()
                    if data is None:
                        break
                    moved = time.monotonic()
                    if not data:
                        source.open_in = False
                        break
                    if sink.open_out:
                        sink.outbox = data
                        sink.flush()

    def _wait(self, seconds: float) -> bool:
        poll = select.poll()
        for source, sink in ((self._client, self._runtime), (self._runtime, self._client)):
            events = 0
            if source.open_in and not sink.outbox:
                if source.pending:
                    return True
                events |= select.POLLIN
                if source.wants_write_to_read:
                    events |= select.POLLOUT
                    source.wants_write_to_read = False
            if source.outbox:
                events |= select.POLLOUT
            if events:
                poll.register(source.sock, events)
        return bool(poll.poll(max(0.0, seconds) * 1000))
