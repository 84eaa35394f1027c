"""Clients that dawdle, flood, send rubbish or leave: the agent stays well."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykubelet.kubelet.serve import connection, server
from pykubelet.kubelet.serve.backend import LogSource
from tests.support.serving import Serving, Values, get, raw
from tests.support.waiting import until

LINE = b"2026-01-01T00:00:00Z stdout F %d\n"


@pytest.fixture
def values() -> Values:
    return Values()


@pytest.fixture
def serving(values: Values) -> Iterator[Serving]:
    with Serving(values) as made:
        yield made


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("serve-local")]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /pods HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 40000, b"431"),
        (b"POST /run/a/b/c HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
    ],
)
def test_rubbish_is_answered_with_a_sentence(serving: Serving, sent: bytes, status: bytes) -> None:
    port = serving.tcp("local")
    serving.start()
    said = raw(port, sent)
    assert said.startswith(b"HTTP/1.1 " + status)
    assert said.partition(b"\r\n\r\n")[2].strip()


def test_a_thousand_random_requests_do_no_harm(serving: Serving) -> None:
    port = serving.tcp("local")
    serving.start()
    dice = random.Random(26)
    good = b"GET /pods?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for _ in range(1000):
        spoilt = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            spoilt[dice.randrange(len(spoilt))] = dice.randrange(256)
        with socket.create_connection(("localhost", port), timeout=5) as sock:
            sock.sendall(spoilt)
            sock.shutdown(socket.SHUT_WR)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    assert get(port, "/healthz") == (200, "ok")
    until(lambda: not threads(), "no worker is left")


def test_a_slow_head_costs_a_connection_not_the_server(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    port = serving.tcp("local", max_busy=4)
    serving.start()
    slow = socket.create_connection(("localhost", port), timeout=10)
    begun = time.monotonic()
    with slow:
        try:
            while True:
                slow.sendall(b"G")
                slow.settimeout(0.1)
                try:
                    if not slow.recv(100):
                        break
                except TimeoutError:
                    assert get(port, "/healthz") == (200, "ok")
        except OSError:
            pass  # sending after it was closed
    assert time.monotonic() - begun < 5


def test_a_client_that_says_nothing_is_shown_out_and_costs_no_thread(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FIRST_BYTE_SECONDS", 0.4)
    port = serving.tcp("local")
    serving.start()
    silent = [socket.create_connection(("localhost", port), timeout=10) for _ in range(100)]
    assert get(port, "/healthz") == (200, "ok")
    until(lambda: threads() == [], "no thread waits for those who are silent")
    for sock in silent:
        assert sock.recv(1) == b""
        sock.close()


def test_too_many_connections_are_turned_away_and_another_listener_does_not_notice(
    serving: Serving, tmp_path: Path
) -> None:
    port = serving.tcp("local", max_open=3)
    other = serving.tcp("health")
    serving.start()
    held = [socket.create_connection(("localhost", port), timeout=5) for _ in range(3)]
    until(lambda: raw(port, b"") == b"", "the fourth is closed at once")
    assert get(other, "/healthz") == (200, "ok")
    for sock in held:
        sock.close()
    until(lambda: get(port, "/healthz") == (200, "ok"), "there is room again")


def test_pipelined_requests_are_answered_in_order(serving: Serving) -> None:
    port = serving.tcp("local")
    serving.start()
    one = b"GET /healthz/%b HTTP/1.1\r\nHost: x\r\n%b\r\n"
    said = raw(port, one % (b"ping", b"") * 3 + one % (b"none", b"Connection: close\r\n"))
    assert said.count(b"HTTP/1.1 200 OK") == 3
    assert said.index(b"HTTP/1.1 404") > said.rindex(b"200 OK")


def test_fifty_followers_share_one_inotify_and_all_hear_everything(
    serving: Serving, values: Values, tmp_path: Path
) -> None:
    """Complaint 28: "too many open files" that are inotify limits."""
    path = tmp_path / "0.log"
    path.write_bytes(LINE % 0)
    alive = True
    values.logs["ns/pod/c"] = LogSource(path, lambda: alive)
    port = serving.tcp("local")
    serving.start()
    heard: list[bytes] = []

    def follow() -> None:
        heard.append(get(port, "/containerLogs/ns/pod/c?follow=1")[1].encode())

    before = _inotify_instances()
    followers = [threading.Thread(target=follow) for _ in range(50)]
    for thread in followers:
        thread.start()
    until(lambda: len(threads()) == 50, "all fifty follow")
    with path.open("ab", buffering=0) as log:
        for number in range(1, 100):
            log.write(LINE % number)
        assert _inotify_instances() == before + 1
        alive = False
    for thread in followers:
        thread.join(10)
    assert heard == [b"".join(b"%d\n" % n for n in range(100))] * 50
    until(lambda: not threads(), "no worker is left")


def test_a_follower_that_leaves_frees_its_thread(
    serving: Serving, values: Values, tmp_path: Path
) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(LINE % 1)
    values.logs["ns/pod/c"] = LogSource(path, lambda: True)
    port = serving.tcp("local")
    serving.start()
    client = http.client.HTTPConnection("localhost", port, timeout=5)
    client.request("GET", "/containerLogs/ns/pod/c?follow=1")
    assert client.getresponse().read1(100) == b"1\n"
    assert len(threads()) == 1
    client.close()
    until(lambda: not threads(), "the follower's thread has ended", timeout=5)


def test_a_follower_hears_a_line_at_once_and_the_end_soon(
    serving: Serving, values: Values, tmp_path: Path
) -> None:
    path = tmp_path / "0.log"
    state = {"running": True}
    with path.open("ab", buffering=0) as log:
        values.logs["ns/pod/c"] = LogSource(path, lambda: state["running"])
        port = serving.tcp("local")
        serving.start()
        client = http.client.HTTPConnection("localhost", port, timeout=5)
        client.request("GET", "/containerLogs/ns/pod/c?follow=1")
        answer = client.getresponse()
        begun = time.monotonic()
        log.write(LINE % 7)
        assert answer.read1(100) == b"7\n"
        assert time.monotonic() - begun < 1
    # The runtime closes the log a moment before the agent knows that the container has ended.
    threading.Timer(0.3, lambda: state.update(running=False)).start()
    assert answer.read() == b""
    assert time.monotonic() - begun < 4
    client.close()


def _inotify_instances() -> int:
    links = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(link.readlink()))
        except OSError:
            continue  # closed since
    return links.count("anon_inode:inotify")


def test_root_alone_may_open_the_local_socket(serving: Serving, tmp_path: Path) -> None:
    path = serving.unix(tmp_path / "run" / "agent.sock", allowed_uids=frozenset({0}))
    strangers = serving.unix(tmp_path / "other.sock", allowed_uids=frozenset({12345}))
    serving.start()
    assert path.stat().st_mode & 0o777 == 0o600
    for socket_path, answered in ((path, True), (strangers, False)):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(socket_path))
            try:
                sock.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                said = sock.recv(1000)
            except OSError:
                said = b""
            assert said.startswith(b"HTTP/1.1 200") is answered


def test_a_socket_left_behind_is_replaced_and_a_living_one_is_not(
    serving: Serving, tmp_path: Path
) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    serving.unix(path)
    serving.start()
    with pytest.raises(Exception, match="another agent is running"):
        server.listen_unix(path)
