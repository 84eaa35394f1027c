"""The probe manager with its real threads: nobody waits for anybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from pykubelet.errors import Failed, TimedOut
from pykubelet.kubelet.probes import ProbeResult, Probes, RunningContainer
from pykubelet.kubelet.probes.pool import Pool
from pykubelet.kubelet.runtime.model import ExecResult
from tests.support.waiting import until

Json = dict[str, Any]


class Shell:
    """Stands where the runtime's exec does; `answers` maps a command's first word to its code or
    to something to do."""

    def __init__(self, **answers: int | Callable[[], ExecResult]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        self.asked.append(container_id)
        answer = self.answers[command[0]]
        if isinstance(answer, int):
            return ExecResult(answer, b"out", b"")
        return answer()


def pod(uid: str, command: str, kind: str = "readiness", **probe: Any) -> Json:
    return {
        "metadata": {"uid": uid, "name": uid, "namespace": "default"},
        "spec": {
            "containers": [{"name": "c", f"{kind}Probe": {"exec": {"command": [command]}, **probe}}]
        },
    }


def running(id: str = "c1") -> dict[str, RunningContainer]:
    return {"c": RunningContainer(id, time.time_ns())}


@contextmanager
def probes(shell: Shell, **options: Any) -> Iterator[tuple[Probes, list[str]]]:
    changed: list[str] = []
    made = Probes(shell, changed.append, **options)
    made.start()
    yield made, changed
    made.stop()


def probe_threads() -> int:
    return sum(t.name in ("probe", "probes") for t in threading.enumerate())


def test_a_change_is_told_with_the_pods_uid_and_a_repetition_is_not() -> None:
    with probes(Shell(ok=0)) as (manager, changed):
        manager.sync(pod("u1", "ok", periodSeconds=1), running(), None)
        until(lambda: manager.results("u1")["c"].ready, "the container is ready", timeout=5)
        until(lambda: "2" in manager.metrics().splitlines()[2], "a second answer", timeout=5)
        assert changed == ["u1"]


def test_each_failure_is_told_in_upstreams_words() -> None:
    said: list[tuple[str, str, str]] = []
    with probes(Shell(bad=1), on_unhealthy=lambda *words: said.append(words)) as (manager, _):
        manager.sync(pod("u1", "bad", failureThreshold=1), running(), None)
        until(lambda: said, "a complaint", timeout=5)
        assert said[0] == ("u1", "c", "Readiness probe failed: out")
        assert manager.results("u1")["c"].message == "Readiness probe failed: out"


@pytest.mark.parametrize(
    ("error", "live"), [(TimedOut("late"), False), (Failed("the runtime is away"), True)]
)
def test_a_timeout_is_the_containers_fault_and_a_broken_runtime_is_not(
    error: Exception, live: bool
) -> None:
    """Complaint 25: trouble of the runtime must not kill healthy containers."""

    def fail() -> ExecResult:
        raise error

    with probes(Shell(x=fail)) as (manager, _):
        manager.sync(pod("u1", "x", "liveness", failureThreshold=1), running(), None)
        until(lambda: manager.results("u1")["c"].message, "an answer", timeout=5)
        assert manager.results("u1")["c"].live is live


def test_probes_that_hang_delay_nobody_elses() -> None:
    """Complaint 25: one hanging pod must not take the others with it."""
    gate = threading.Event()

    def hang() -> ExecResult:
        gate.wait(20)
        return ExecResult(0, b"", b"")

    with probes(Shell(hang=hang, ok=0)) as (manager, _):
        for number in range(30):
            manager.sync(pod(f"h{number}", "hang"), running(), None)
        begin = time.monotonic()
        manager.sync(pod("u1", "ok"), running(), None)
        until(lambda: manager.results("u1")["c"].ready, "the quick one is ready", timeout=5)
        assert time.monotonic() - begin < 2
        gate.set()


def test_without_probes_there_is_one_sleeping_thread_and_no_other() -> None:
    until(lambda: probe_threads() == 0, "the threads of earlier tests have ended")
    with probes(Shell()) as (manager, _):
        web: Json = {"metadata": {"uid": "u"}, "spec": {"containers": [{"name": "c"}]}}
        manager.sync(web, running(), None)
        assert manager.results("u") == {"c": ProbeResult(True, True, True)}
        assert probe_threads() == 1
    until(lambda: probe_threads() == 0, "the thread has ended")


def test_a_forgotten_pod_leaves_no_series_and_is_asked_no_more() -> None:
    shell = Shell(ok=0)
    with probes(shell) as (manager, _):
        manager.sync(pod("u1", "ok", periodSeconds=1), running(), None)
        until(manager.metrics, "an answer", timeout=5)
        manager.forget("u1")
        assert manager.metrics() == ""
        assert manager.results("u1") == {}
        asked = len(shell.asked)
        time.sleep(1.2)  # one period: the time in which a mistake would show
        assert len(shell.asked) == asked


def test_a_new_container_of_the_same_name_is_the_one_that_is_asked() -> None:
    shell = Shell(ok=0)
    with probes(shell) as (manager, _):
        web = pod("u1", "ok")
        manager.sync(web, running("old"), None)
        until(lambda: manager.results("u1")["c"].ready, "the old one is ready", timeout=5)
        manager.sync(web, running("new"), None)
        until(lambda: "new" in shell.asked, "the new one is asked", timeout=5)


def test_idle_threads_of_the_pool_end_and_a_broken_job_ends_none() -> None:
    pool = Pool("test-pool", most=8, idle_seconds=0.1)
    done = []

    def broken() -> None:
        raise ValueError("on purpose")

    pool.submit(broken)
    for number in range(20):
        pool.submit(lambda number=number: done.append(number))  # type: ignore[misc]
    until(lambda: len(done) == 20, "all jobs are done", timeout=5)
    assert pool.threads <= 8
    until(lambda: pool.threads == 0, "idle threads have ended", timeout=5)
    pool.submit(lambda: done.append(99))
    until(lambda: 99 in done, "the pool works again", timeout=5)
