"""How fast pods start and end, beside the raw calls on the same containerd, in turn."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import ContainerState
from tests.bench.raw import RawPods
from tests.bench.rows import Row, median
from tests.support.agent import AgentProcess, container, pod
from tests.support.machine import Machine
from tests.support.network import use_bundled_cni

ROUNDS = 15
BATCH = 60
PARALLEL = 8


def rows() -> Iterator[Row]:
    with Machine() as machine:
        machine.load_images()
        use_bundled_cni(machine, "10.66.0.0/16", serve=False)
        agent = AgentProcess(machine)
        raw = RawPods(machine)
        try:
            yield from _one_at_a_time(agent, raw)
            yield _batch(agent, raw)
        finally:
            agent.stop()
            raw.close()


def _manifest(name: str) -> dict[str, object]:
    sleeps = container(command=["sleep", "100000"])
    return pod(name, sleeps, terminationGracePeriodSeconds=0)


def _one_at_a_time(agent: AgentProcess, raw: RawPods) -> Iterator[Row]:
    watcher = _Watcher(agent.machine)
    ours: list[float] = []
    theirs: list[float] = []
    gone: list[float] = []
    raw_gone: list[float] = []
    for number in range(-1, ROUNDS):  # the first is for warming up
        sandbox, took = raw.start(f"raw-{number}")
        ended = raw.end(sandbox)
        began = time.perf_counter()
        agent.drop("bench.json", _manifest(f"bench{number % 100}"))
        started = watcher.started_after(began, 1)
        began = time.perf_counter()
        agent.remove("bench.json")
        left = watcher.none_after(began)
        if number >= 0:
            theirs.append(took)
            raw_gone.append(ended)
            ours.append(started)
            gone.append(left)
    a, b = median(ours) * 1000, median(theirs) * 1000
    yield Row("static manifest dropped to container started, p50", a, "ms", b,
              target="within 60 ms, and 1.3 x", reached=a <= b + 60 and a <= 1.3 * b)  # fmt: skip
    a, b = median(gone) * 1000, median(raw_gone) * 1000
    yield Row("manifest removed to all gone (grace 0), p50", a, "ms", b,
              target="within 30 ms", reached=a <= b + 30)  # fmt: skip
    watcher.close()


def _batch(agent: AgentProcess, raw: RawPods) -> Row:
    watcher = _Watcher(agent.machine)
    theirs = raw.batch(BATCH, PARALLEL)
    began = time.perf_counter()
    agent.drop("batch.json", *(_manifest(f"batch{n}") for n in range(BATCH)))
    ours = watcher.started_after(began, BATCH)
    agent.remove("batch.json")
    watcher.none_after(began)
    watcher.close()
    return Row(f"{BATCH} pods at once, pods started per second", BATCH / ours, "/s",
               BATCH / theirs, target="at least 0.85 x",
               reached=BATCH / ours >= 0.85 * BATCH / theirs)  # fmt: skip


class _Watcher:
    """Sees through the runtime when containers have started, by the runtime's own stamps."""

    def __init__(self, machine: Machine) -> None:
        self._runtime = Runtime(machine.endpoint)

    def started_after(self, began: float, count: int) -> float:
        """Seconds from `began` until `count` containers run."""
        offset = time.time() - time.perf_counter()
        while True:
            running = [
                c.started_at / 1e9
                for pod in self._runtime.pods().values()
                for c in pod.containers
                if c.state is ContainerState.RUNNING
            ]
            if len(running) >= count:
                # containerd stamps a start to the nanosecond, but before runc has done its work.
                return max(time.perf_counter() - began, max(running) - offset - began)
            if time.perf_counter() - began > 300:
                raise AssertionError(f"{len(running)} of {count} started within 300 s")
            time.sleep(0.002 if count == 1 else 0.05)

    def none_after(self, began: float) -> float:
        while self._runtime.pods():
            if time.perf_counter() - began > 300:
                raise AssertionError("pods are left after 300 s")
            time.sleep(0.002)
        return time.perf_counter() - began

    def close(self) -> None:
        self._runtime.close()
