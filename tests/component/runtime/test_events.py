"""Changes in the runtime arrive as hints, when looking again shows them, and after every outage."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import ContainerState, Event
from tests.component.runtime.pods import Node, Pod, make_node
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = pytest.mark.root

PROMPT = 5.0  # seconds; far below any relist period


class Watch:
    """Events as they come, in a thread of their own like the agent's."""

    def __init__(self, runtime: Runtime) -> None:
        self.events: queue.SimpleQueue[tuple[float, Event]] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.thread = threading.Thread(
            target=runtime.watch, args=(lambda e: self.events.put((time.time(), e)), self.stop)
        )
        self.thread.start()

    def hint(self, uid: str, timeout: float = PROMPT) -> float:
        """When the next hint at `uid` came. Others are passed over."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                at, event = self.events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no event for {uid!r} within {timeout} s") from None
            if event.uid == uid:
                return at

    def hint_that_shows(self, pod: Pod, what: Callable[[], bool]) -> None:
        """One of the hints to come at this pod must show it, without any further looking."""
        deadline = time.monotonic() + PROMPT
        while not what():
            self.hint(pod.uid, deadline - time.monotonic())

    def drain(self, quiet: float = 0.5) -> list[Event]:
        """What came, until nothing came for `quiet` seconds."""
        seen = []
        while True:
            try:
                seen.append(self.events.get(timeout=quiet)[1])
            except queue.Empty:
                return seen


@pytest.fixture
def watch(node: Node) -> Iterator[Watch]:
    watch = Watch(node.runtime)
    watch.hint("")
    yield watch
    watch.stop.set()
    watch.thread.join(5)
    assert not watch.thread.is_alive()


def state(pod: Pod) -> ContainerState | None:
    found = pod.seen().latest("c")
    return found.state if found else None


def test_a_stream_that_opens_says_to_look_at_everything(node: Node) -> None:
    watch = Watch(node.runtime)
    watch.hint("")
    watch.stop.set()
    watch.thread.join(5)
    assert not watch.thread.is_alive()


def test_a_start_and_an_exit_are_hinted_at_when_they_show(node: Node, watch: Watch) -> None:
    pod = node.pod({"command": ["sleep", "0.5"]}).run()
    pod.start()
    watch.hint_that_shows(pod, lambda: state(pod) is ContainerState.RUNNING)
    watch.hint_that_shows(pod, lambda: state(pod) is ContainerState.EXITED)
    ended = pod.container().finished_at / 1e9
    assert time.time() - ended < 1.0
    pod.remove()


def test_many_exits_at_once_are_all_hinted_at(node: Node, watch: Watch) -> None:
    pods = [node.runs({"command": ["sleep", "1"]}) for _ in range(5)]
    hinted: set[str] = set()
    deadline = time.monotonic() + 5
    while hinted != {pod.uid for pod in pods} and time.monotonic() < deadline:
        _, event = watch.events.get(timeout=5)
        if event.uid and node.runtime.pods(event.uid)[event.uid].containers:
            last = node.runtime.pods(event.uid)[event.uid].containers[0]
            if last.state is ContainerState.EXITED:
                hinted.add(event.uid)
    assert hinted == {pod.uid for pod in pods}
    for pod in pods:
        pod.remove()


def test_a_sandbox_that_is_killed_is_hinted_at(node: Node, watch: Watch) -> None:
    pod = node.pod().run()
    watch.drain()
    os.kill(_process(node, pod.sandbox), signal.SIGKILL)

    def not_ready() -> bool:
        sandbox = pod.seen().sandbox
        return sandbox is not None and not sandbox.ready

    watch.hint_that_shows(pod, not_ready)
    pod.remove()


def test_a_shim_that_is_killed_is_hinted_at(node: Node, watch: Watch) -> None:
    pod = node.runs()
    watch.drain()
    process = _process(node, pod.container().id)
    os.kill(_shim(pod.sandbox), signal.SIGKILL)
    watch.hint_that_shows(pod, lambda: state(pod) is not ContainerState.RUNNING)
    pod.remove()
    try:
        os.kill(process, signal.SIGKILL)  # containerd 2.1 loses sight of it and leaves it running
    except ProcessLookupError:
        pass  # all others take it away


def _process(node: Node, id: str) -> int:
    """The main process of a container or sandbox."""
    tasks = (line.split() for line in node.machine.ctr("tasks", "list").splitlines())
    return next(int(pid) for name, pid, *_ in tasks if name == id)


def _shim(sandbox: str) -> int:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                words = file.read().split("\0")
        except OSError:
            continue  # it ended by itself
        if "shim" in words[0] and sandbox in words:
            return int(pid)
    raise AssertionError(f"no shim of {sandbox}")


def test_a_removal_is_hinted_at(node: Node, watch: Watch) -> None:
    pod = node.runs()
    node.runtime.stop_container(pod.container().id, 0)
    watch.drain()
    node.runtime.remove_container(pod.container().id)
    watch.hint_that_shows(pod, lambda: not pod.seen().containers)
    pod.remove()


def test_commands_inside_a_container_are_no_events(node: Node, watch: Watch) -> None:
    """Complaint 1: probes must not make the agent look at the pod each time."""
    pod = node.runs()
    watch.drain()
    for _ in range(5):
        pod.sh("true")
    assert watch.drain() == []
    pod.remove()


def test_pods_of_an_earlier_agent_are_known(node: Node) -> None:
    """Complaint 13: an agent that has just started hears of the pods that it adopts."""
    pod = node.runs({"command": ["sleep", "1"]})
    successor = Runtime(node.machine.endpoint)
    watch = Watch(successor)
    watch.hint("")
    watch.hint(pod.uid, 5)
    watch.stop.set()
    watch.thread.join(5)
    successor.close()
    assert state(pod) is ContainerState.EXITED
    pod.remove()


def test_when_the_runtime_is_killed_and_comes_back_so_do_the_events() -> None:
    with Machine() as machine:
        node = make_node(machine)
        pod = node.runs({"command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]})
        watch = Watch(node.runtime)
        watch.hint("")
        watch.drain()
        machine.kill_containerd()
        assert watch.drain() == []  # silence, no storm of hints
        machine.start_containerd()
        watch.hint("", 10)
        until(lambda: state(pod) is ContainerState.RUNNING, "the pod has lived on")
        node.runtime.stop_container(pod.container().id, 5)
        watch.hint_that_shows(pod, lambda: state(pod) is ContainerState.EXITED)
        watch.stop.set()
        watch.thread.join(5)
        assert not watch.thread.is_alive()
        pod.remove()
        node.runtime.close()


def test_a_watch_ends_when_told_even_while_the_runtime_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Complaint 26: and it has said so once, however often it tried."""
    gone = Runtime("unix:///nowhere/containerd.sock")
    watch = Watch(gone)
    until(lambda: "events of the runtime are interrupted" in caplog.text, "it says so")
    time.sleep(0.5)  # a few more tries
    watch.stop.set()
    watch.thread.join(5)
    assert not watch.thread.is_alive()
    assert caplog.text.count("interrupted") == 1
    gone.close()
