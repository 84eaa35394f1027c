"""Two sockets joined: every byte both ways, in spite of stalls, and a proper end on both sides."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykubelet.kubelet.serve.api import ApiOptions
from pykubelet.kubelet.serve.auth import Identity, Standalone
from pykubelet.kubelet.serve.tls import Contexts, TlsOptions
from pykubelet.pki import serving as certificate
from tests.support.serving import Serving, Values
from tests.support.waiting import until

UPGRADE = (
    b"POST /exec/ns/pod/c?command=x&input=1&output=1 HTTP/1.1\r\nHost: x\r\n"
    b"Authorization: Bearer t\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
BIG = os.urandom(8 * 1024 * 1024)


class Runtime:
    """A streaming server whose behaviour after the upgrade is the test's."""

    def __init__(self, behave: Callable[[socket.socket], None], answer: bytes = SWITCH) -> None:
        self._behave = behave
        self._answer = answer
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._sock.getsockname()[1]}/exec/TOKEN"
        self.head = b""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        sock, _ = self._sock.accept()
        self._sock.close()
        sock.settimeout(20)
        with sock:
            while b"\r\n\r\n" not in self.head:
                self.head += sock.recv(1)
            sock.sendall(self._answer)
            self._behave(sock)

    def join(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()


def read_all(sock: socket.socket) -> bytes:
    data = bytearray()
    try:
        while piece := sock.recv(1 << 16):
            data += piece
    except ssl.SSLZeroReturnError:
        pass  # the end, as Python says it where both sides have said close_notify
    return bytes(data)


def echo_after_the_end(sock: socket.socket) -> None:
    data = read_all(sock)
    sock.sendall(hashlib.sha256(data).digest())


@pytest.fixture
def values() -> Values:
    return Values()


@pytest.fixture(params=["plain", "tls"])
def dial(
    request: pytest.FixtureRequest, values: Values, tmp_path: Path
) -> Iterator[Callable[[], socket.socket]]:
    """A way to connect to the API; by TLS or without it."""
    options = ApiOptions(streaming_idle_seconds=1.0)
    with Serving(values, options, Standalone({"t": Identity("x")})) as running:
        if request.param == "plain":
            port = running.tcp("local")
            context = None
        else:
            made = certificate.ensure(tmp_path, "n", [], time.time())
            port = running.tcp("secure", Contexts(TlsOptions(made.certificate_path, made.key_path)))
            context = ssl.create_default_context(cafile=str(made.certificate_path))
        running.start()

        def connect() -> socket.socket:
            sock = socket.create_connection(("localhost", port), timeout=20)
            return context.wrap_socket(sock, server_hostname="localhost") if context else sock

        yield connect
    until(_no_worker, "every worker has ended")


def _no_worker() -> bool:
    return not [t for t in threading.enumerate() if t.name.startswith(("serve-local", "serve-sec"))]


def upgraded(sock: socket.socket) -> bytes:
    """Send the upgrade; what came after the answer's head."""
    sock.sendall(UPGRADE)
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(1 << 16)
    head, _, rest = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return rest


def half_close(sock: socket.socket) -> None:
    if isinstance(sock, ssl.SSLSocket):
        sock.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            sock.unwrap()  # close_notify goes out; the other side still speaks
        sock.settimeout(20)
    else:
        sock.shutdown(socket.SHUT_WR)


def test_megabytes_arrive_whole_and_the_answer_comes_after_a_half_close(
    values: Values, dial: Callable[[], socket.socket]
) -> None:
    runtime = Runtime(echo_after_the_end)
    values.url = runtime.url
    with dial() as sock:
        assert upgraded(sock) == b""
        sock.sendall(BIG)
        half_close(sock)
        assert read_all(sock) == hashlib.sha256(BIG).digest()
    runtime.join()
    assert b"Bearer" not in runtime.head
    assert runtime.head.startswith(b"POST /exec/TOKEN HTTP/1.1\r\n")


def test_both_ways_at_once_with_a_slow_reader(
    values: Values, dial: Callable[[], socket.socket]
) -> None:
    """A side that doesn't read stops the other; nothing is piled up and nothing lost."""

    def both(sock: socket.socket) -> None:
        sender = threading.Thread(target=sock.sendall, args=(BIG,))
        sender.start()
        read = 0
        while read < len(BIG):
            read += len(sock.recv(1 << 16))
        sender.join()

    runtime = Runtime(both)
    values.url = runtime.url
    with dial() as sock:
        heard = bytearray(upgraded(sock))
        if isinstance(sock, ssl.SSLSocket):
            sent = 0
            sock.setblocking(False)
            while sent < len(BIG) or len(heard) < len(BIG):  # one thread: TLS objects have no two
                moved = False
                for step in (_send_some, _read_some):
                    count = step(sock, sent, heard)
                    sent += count if step is _send_some else 0
                    moved = moved or bool(count)
                if not moved:
                    time.sleep(0.001)
        else:
            sender = threading.Thread(target=sock.sendall, args=(BIG,))
            sender.start()
            while len(heard) < len(BIG):
                heard += sock.recv(1 << 12)
            sender.join()
        assert bytes(heard) == BIG
    runtime.join()


def _send_some(sock: socket.socket, sent: int, _: bytearray) -> int:
    if sent >= len(BIG):
        return 0
    try:
        return sock.send(BIG[sent : sent + 16384])
    except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
        return 0


def _read_some(sock: socket.socket, _: int, heard: bytearray) -> int:
    if len(heard) >= len(BIG):
        return 0
    try:
        piece = sock.recv(16384)
    except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
        return 0
    heard += piece
    return len(piece)


def test_bytes_sent_right_behind_the_upgrade_are_not_lost(
    values: Values, dial: Callable[[], socket.socket]
) -> None:
    runtime = Runtime(echo_after_the_end)
    values.url = runtime.url
    with dial() as sock:
        sock.sendall(UPGRADE + b"hasty")
        half_close(sock)
        assert read_all(sock) == SWITCH + hashlib.sha256(b"hasty").digest()
    runtime.join()


def test_a_runtime_that_ends_ends_the_client(
    values: Values, dial: Callable[[], socket.socket]
) -> None:
    values.url = Runtime(lambda sock: sock.sendall(b"bye")).url
    with dial() as sock:
        assert upgraded(sock) + read_all(sock) == b"bye"


def test_a_client_that_vanishes_ends_the_runtimes_side(
    values: Values, dial: Callable[[], socket.socket]
) -> None:
    runtime = Runtime(lambda sock: read_all(sock) and None)
    values.url = runtime.url
    with dial() as sock:
        upgraded(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    runtime.join()


def test_a_stream_on_which_nothing_moves_is_ended(
    values: Values, dial: Callable[[], socket.socket]
) -> None:
    ended = threading.Event()

    def wait(sock: socket.socket) -> None:
        read_all(sock)
        ended.set()

    values.url = Runtime(wait).url
    with dial() as sock:
        upgraded(sock)
        begun = time.monotonic()
        assert read_all(sock) == b""
        assert 0.8 < time.monotonic() - begun < 10
    assert ended.wait(5)


def test_what_the_runtime_refuses_the_client_hears(
    values: Values, dial: Callable[[], socket.socket]
) -> None:
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope"
    values.url = Runtime(lambda sock: None, refusal).url
    with dial() as sock:
        sock.sendall(UPGRADE)
        assert read_all(sock) == refusal


def test_a_runtime_that_speaks_no_http_is_a_clear_failure(
    values: Values, dial: Callable[[], socket.socket]
) -> None:
    values.url = Runtime(lambda sock: None, b"SSH-2.0-hello\r\n\r\n").url
    with dial() as sock:
        sock.sendall(UPGRADE)
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 500 ")
