"""exec, attach, port-forward and logs of real containers, through the agent's API and the runtime's
own streaming server: with our command line, with WebSocket, with SPDY made by hand."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pykubelet.cli.agent import Agent
from pykubelet.cli.exec import connect
from pykubelet.client import spdy, websocket
from pykubelet.client.remotecommand import (
    Channel,
    End,
    ExitStatus,
    Output,
    Reply,
    WebSocketChannels,
)
from pykubelet.errors import NotFound
from pykubelet.kubelet.runtime import labels
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import ContainerState
from tests.support.images import BUSYBOX
from tests.support.machine import Machine, stop
from tests.support.waiting import until

pytestmark = pytest.mark.root

HOST = {"namespace_options": {"network": 2, "pid": 1, "ipc": 2}}
SCRIPTS = {
    "main": "trap 'exit 0' TERM; while true; do usleep 50000; done",
    "echo": "while read line; do echo got $line; echo told $line >&2; done",
    "chatty": "n=0; while [ $n -lt 400 ]; do echo line $n; n=$((n+1)); usleep 5000; done; exit 4",
    "port": "nc -ll -p 8097 -e cat",
}
SOMETHING = b"".join(b"%d\n" % n for n in range(200_000))


class Pod:
    """A pod of busybox containers and the API in front of them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.runtime = Runtime(machine.endpoint)
        self.socket = machine.run_dir / "agent.sock"
        self.pod: dict[str, Any] = {
            "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
            "spec": {"containers": [{"name": name, "image": BUSYBOX} for name in SCRIPTS]},
        }
        self.sandbox: dict[str, Any] = {
            "metadata": {"name": "web", "uid": "u1", "namespace": "default", "attempt": 0},
            "labels": labels.sandbox_labels(self.pod),
            "log_directory": str(machine.home / "logs"),
            "linux": {"cgroup_parent": machine.cgroup_root, "security_context": HOST},
        }
        self.sandbox_id = self.runtime.run_sandbox(self.sandbox)
        machine.start(
            sys.executable, "-m", "tests.support.serve_runtime", machine.endpoint, self.socket,
            log="api", env={"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        until(self.socket.exists, "the API listens")
        self.agent = Agent(self.socket)
        self.start("main")

    def start(self, name: str) -> str:
        config = {
            "metadata": {"name": name, "attempt": 0},
            "image": {"image": BUSYBOX},
            "command": ["sh", "-c", SCRIPTS[name]],
            "stdin": name == "echo",
            "labels": labels.container_labels(self.pod, {"name": name}),
            "log_path": f"{name}.log",
            "linux": {"security_context": HOST},
        }
        id = self.runtime.create_container(self.sandbox_id, config, self.sandbox)
        self.runtime.start_container(id)
        return id

    def type(self, *words: str, **kwargs: Any) -> subprocess.CompletedProcess[bytes]:
        """What a person types, and what comes of it."""
        return subprocess.run(
            self.command(*words), capture_output=True, timeout=60, check=False,
            **{"stdin": subprocess.DEVNULL, **kwargs},
        )  # fmt: skip

    def command(self, verb: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "pykubelet.cli.main", verb, "--socket", str(self.socket),
                *words]  # fmt: skip


@pytest.fixture(scope="module")
def pod() -> Iterator[Pod]:
    with Machine() as machine:
        (machine.home / "logs").mkdir()
        machine.load_images()
        made = Pod(machine)
        try:
            yield made
        finally:
            made.runtime.stop_sandbox(made.sandbox_id)
            made.runtime.remove_sandbox(made.sandbox_id)
            made.runtime.close()


# -- the command line -----------------------------------------------------------------------------


def test_exec_prints_what_the_command_prints_and_ends_as_it_does(pod: Pod) -> None:
    done = pod.type("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert pod.type("exec", "default/web", "-c", "main", "true").returncode == 0
    assert pod.type("exec", "-n", "default", "web", "-cmain", "--", "true").returncode == 0


def test_exec_passes_input_on_and_its_end_too(pod: Pod) -> None:
    done = pod.type("exec", "-i", "web", "--", "wc", "-c", input=SOMETHING, stdin=None)
    assert int(done.stdout) == len(SOMETHING)
    done = pod.type("exec", "-i", "web", "--", "cat", input=SOMETHING, stdin=None)
    assert done.stdout == SOMETHING


def test_exec_of_what_is_not_there_is_told_in_one_line(pod: Pod) -> None:
    done = pod.type("exec", "web", "--", "no-such-program")
    assert done.returncode != 0
    assert b"no-such-program" in done.stderr
    assert done.stderr.count(b"\n") == 1
    done = pod.type("exec", "webb", "--", "true")
    assert done.returncode == 4
    assert b"no pod webb" in done.stderr
    done = pod.type("exec", "web", "-c", "nginx", "--", "true")
    assert done.returncode == 4
    assert b"no container nginx" in done.stderr


def test_exec_in_a_terminal_has_its_size_and_follows_it(pod: Pod) -> None:
    leader, follower = pty.openpty()
    _resize(follower, 33, 101)
    process = subprocess.Popen(
        pod.command("exec", "-it", "web", "--", "sh"), stdin=follower, stdout=follower,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    screen = bytearray()

    def shows(pattern: bytes) -> bool:
        if not re.search(pattern, screen):
            screen.extend(os.read(leader, 4096))
        return bool(re.search(pattern, screen))

    os.set_blocking(leader, False)
    until(lambda: shows(rb"[#$] "), "a prompt")
    asked = b"busybox stty size\n"
    os.write(leader, asked)
    until(lambda: shows(rb"33 101"), "the terminal has its size inside")
    _resize(follower, 44, 120)
    process.send_signal(signal.SIGWINCH)
    until(lambda: os.write(leader, asked) and shows(rb"44 120"), "it has changed inside")
    os.write(leader, b"exit 5\n")
    assert process.wait(20) == 5
    os.close(leader)
    os.close(follower)
    assert process.stderr
    process.stderr.close()


def _resize(descriptor: int, rows: int, columns: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_logs_follow_to_the_end_of_a_container_and_lose_nothing(pod: Pod) -> None:
    id = pod.start("chatty")
    begun = time.monotonic()
    done = pod.type("logs", "-f", "web", "chatty")
    assert done.returncode == 0
    assert done.stdout == b"".join(b"line %d\n" % n for n in range(400))
    container = pod.runtime.pods()["u1"].latest("chatty")
    assert container
    assert container.id == id
    assert container.state is ContainerState.EXITED
    assert time.monotonic() - begun < 30
    last = pod.type("logs", "web", "-c", "chatty", "--tail", "2", "--timestamps").stdout
    assert re.fullmatch(rb"(20\S+Z? line 39[89]\n){2}", last)


def test_a_rotated_log_is_followed_into_its_new_file(pod: Pod) -> None:
    if pod.runtime.pods()["u1"].latest("echo") is None:
        pod.start("echo")
    path = pod.machine.home / "logs" / "echo.log"
    follower = subprocess.Popen(
        pod.command("logs", "-f", "web", "-c", "echo"), stdout=subprocess.PIPE
    )
    assert follower.stdout
    _attach_and_say(pod, b"one\n")
    assert follower.stdout.readline().strip() in (b"got one", b"told one")
    follower.stdout.readline()
    path.rename(path.with_name("echo.log.old"))
    container = pod.runtime.pods()["u1"].latest("echo")
    assert container
    pod.runtime.reopen_log(container.id)
    _attach_and_say(pod, b"two\n")
    assert follower.stdout.readline().strip() in (b"got two", b"told two")
    follower.stdout.close()
    stop(follower)


def _attach_and_say(pod: Pod, words: bytes) -> None:
    target = "/attach/default/web/echo?input=1&output=1&error=1"
    sock, channels, early = connect(pod.agent, target, stdin=True, tty=False)
    with sock:
        sock.sendall(channels.begin())
        channels.receive(early)
        while not channels.ready:
            channels.receive(sock.recv(4096))
        sock.sendall(channels.send(Channel.STDIN, words))
        heard = b""
        while b"told" not in heard or b"got" not in heard:
            for event in channels.receive(sock.recv(4096)):
                if isinstance(event, Output):
                    heard += event.data


def test_attach_talks_to_the_process_that_runs_already(pod: Pod) -> None:
    if pod.runtime.pods()["u1"].latest("echo") is None:
        pod.start("echo")
    _attach_and_say(pod, b"hello\n")


# -- WebSocket ------------------------------------------------------------------------------------


def _upgrade(
    pod: Pod, target: str, headers: dict[str, str], method: str = "GET"
) -> tuple[socket.socket, dict[str, str], bytes]:
    sock = pod.agent.connect()
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(4096)
        assert piece, data
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    assert first.split(" ")[1] == "101", data
    return sock, {k.lower(): v.strip() for k, _, v in (f.partition(":") for f in fields)}, rest


def test_exec_over_websocket_carries_both_outputs_and_the_exit_code(pod: Pod) -> None:
    channels = WebSocketChannels()
    target = "/exec/default/web/main?command=sh&command=-c&command=" + (
        "read%20x;echo%20$x;echo%20e%20%3E%262;exit%209&input=1&output=1&error=1"
    )
    sock, headers, rest = _upgrade(pod, target, channels.headers())
    channels.accept(headers)
    heard: dict[Channel, bytes] = {Channel.STDOUT: b"", Channel.STDERR: b""}
    with sock:
        sock.sendall(channels.send(Channel.STDIN, b"typed\n"))
        while True:
            for event in channels.receive(rest or sock.recv(65536)):
                if isinstance(event, Output):
                    heard[event.channel] += event.data
                elif isinstance(event, Reply):
                    sock.sendall(event.data)
                elif isinstance(event, End):
                    assert heard == {Channel.STDOUT: b"typed\n", Channel.STDERR: b"e\n"}
                    assert event.status is not None
                    assert event.status.code == 9
                    return
            rest = b""


def test_a_port_is_forwarded_over_websocket(pod: Pod) -> None:
    _listen(pod)
    key = websocket.new_key()
    headers = websocket.upgrade_headers(key, ["v4.channel.k8s.io"])
    sock, answer, rest = _upgrade(pod, "/portForward/default/web?port=8097", headers)
    assert answer["sec-websocket-accept"] == websocket.expected_accept(key)
    client = websocket.Client()
    data = b""
    with sock:
        sock.sendall(websocket.frame(b"\x00" + b"ping through\n"))
        while b"ping through\n" not in data:
            for event in client.receive(rest or sock.recv(65536)):
                if isinstance(event, websocket.Message) and event.data[:1] == b"\x00":
                    data += event.data[1:]
            rest = b""
    assert data == struct.pack("<H", 8097) + b"ping through\n"


def _listen(pod: Pod) -> None:
    if pod.runtime.pods()["u1"].latest("port") is None:
        pod.start("port")
    until(lambda: ":8097" in pod.machine.run("ss", "-ltn"), "the container listens")


# -- SPDY -----------------------------------------------------------------------------------------


def test_many_connections_are_forwarded_over_one_spdy_connection(pod: Pod) -> None:
    """As kubectl port-forward does: a pair of streams for each connection."""
    _listen(pod)
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "SPDY/3.1",
        "X-Stream-Protocol-Version": "portforward.k8s.io",
        "Content-Length": "0",
    }
    sock, _, rest = _upgrade(pod, "/portForward/default/web", headers, "POST")
    client = spdy.Client()
    numbers: dict[int, int] = {}
    echoed: dict[int, bytes] = {}
    with sock:
        for request in range(5):
            pair = {"port": "8097", "requestid": str(request)}
            _, opening = client.open({"streamtype": "error", **pair})
            number, more = client.open({"streamtype": "data", **pair})
            numbers[number] = request
            sock.sendall(opening + more)
        while len(echoed) < 5 or any(len(e) < 50_000 for e in echoed.values()):
            for event in client.receive(rest or sock.recv(65536)):
                if isinstance(event, spdy.Opened) and event.stream in numbers:
                    sock.sendall(client.data(event.stream, SOMETHING[:50_000]))
                elif isinstance(event, spdy.Data) and event.stream in numbers:
                    echoed[event.stream] = echoed.get(event.stream, b"") + event.data
                elif isinstance(event, spdy.Reply):
                    sock.sendall(event.data)
            rest = b""
    assert set(echoed.values()) == {SOMETHING[:50_000]}


# -- manners --------------------------------------------------------------------------------------


def test_a_stream_never_holds_up_other_requests(pod: Pod) -> None:
    idle = [
        subprocess.Popen(pod.command("exec", "-i", "web", "--", "cat"), stdin=subprocess.PIPE)
        for _ in range(3)
    ]
    try:
        begun = time.monotonic()
        threads = [threading.Thread(target=lambda: pod.agent.get("pods")) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert time.monotonic() - begun < 5
    finally:
        for process in idle:
            assert process.stdin
            process.stdin.close()
            assert process.wait(20) == 0


def test_a_client_that_leaves_ends_its_command(pod: Pod) -> None:
    process = subprocess.Popen(
        pod.command("exec", "-i", "web", "--", "sh", "-c", "cat; exec sleep 98765"),
        stdin=subprocess.PIPE,
    )
    count = "ps -o args | grep -c '[s]h -c cat; exec sleep 98765'"
    main = pod.runtime.pods()["u1"].latest("main")
    assert main
    until(
        lambda: pod.runtime.exec_sync(main.id, ["sh", "-c", count], 5).stdout.strip() == b"1",
        "the command runs",
    )
    process.kill()
    process.wait()
    assert process.stdin
    process.stdin.close()
    until(
        lambda: pod.runtime.exec_sync(main.id, ["sh", "-c", count], 5).stdout.strip() == b"0",
        "cat has seen the end of its input",
    )
    kill = "kill $(ps -o pid,args | grep '[s]leep 98765' | awk '{print $1}')"
    pod.runtime.exec_sync(main.id, ["sh", "-c", kill], 5)


def test_a_pod_that_is_not_there_answers_before_any_upgrade(pod: Pod) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        connect(pod.agent, "/exec/default/none/c?command=ls&output=1", stdin=False, tty=False)


def test_a_runtime_that_runs_nothing_is_told_by_status(pod: Pod) -> None:
    sock, channels, rest = connect(
        pod.agent, "/exec/default/web/main?command=/none&output=1&error=1", False, False
    )
    with sock:
        sock.sendall(channels.begin())
        while True:
            data = rest or sock.recv(65536)
            rest = b""
            end = next((e for e in channels.receive(data) if isinstance(e, End)), None)
            if end:
                break
    assert isinstance(end.status, ExitStatus)
    assert end.status.code is None
    assert "/none" in end.status.message
