"""Which probe is due when, and what the answers so far make of each container. No I/O, no threads.

The manager tells it what runs (`sync`), asks for what is due, and hands the answers back. Times are
monotonic seconds and come in as arguments, so that a test plays an hour in a moment. Entries in the
heap are never searched for: a probe that was dropped or moved leaves its old entry behind, which is
recognised when it comes up.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pykubelet.kubelet.probes import state
from pykubelet.kubelet.probes.state import Kind, Outcome, Phase, Spec, State
from pykubelet.kubelet.probes.targets import Target

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """A container that runs now.

    `started_at` is nanoseconds since the epoch, as the runtime says it. `started` and `ready` are
    what was known of this very container before the agent itself was restarted: it goes on from
    there, so that an adopted container never falls out of its services.
    """

    id: str
    started_at: int
    started: bool = False
    ready: bool = False


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the probes of one running container say.

    `live` is False once it has to be killed: `failed_probe` ("startup" or "liveness") says which
    probe asks for that, `grace` is that probe's own grace period in seconds, if it has one.
    `message` is the latest complaint of any of its probes, empty if all is well.
    """

    started: bool
    ready: bool
    live: bool
    message: str = ""
    failed_probe: str | None = None
    grace: int | None = None


@dataclass(eq=False, slots=True)
class Task:
    """One probe of one container. `due` is None while it waits for nothing in particular (its
    startup probe, or an answer that is on its way)."""

    uid: str
    container: str
    spec: Spec
    target: Target
    labels: Mapping[str, str]
    state: State = field(default_factory=State)
    due: float | None = None
    asking: bool = False
    gone: bool = False


@dataclass(slots=True)
class _Container:
    id: str
    started: float
    adopted: bool  # it ran before the agent did
    tasks: dict[Kind, Task] = field(default_factory=dict)


class Schedule:
    def __init__(self, began: float, jitter: Callable[[], float]) -> None:
        """`began` is when the agent started; `jitter` gives a number from 0 to 1.

        The probes of containers that ran before the agent did would all be due at once: each of
        those begins at some random point of its first period.
        """
        self._began, self._jitter = began, jitter
        self._pods: dict[str, dict[str, _Container]] = {}
        self._heap: list[tuple[float, int, Task]] = []
        self._order = itertools.count()

    # -- what runs -------------------------------------------------------------------------------

    def sync(
        self,
        pod: Json,
        running: Mapping[str, tuple[RunningContainer, float]],
        ip: str,
        stopping: bool,
        now: float,
    ) -> list[Task]:
        """Take note of a pod's running containers (each with its start on the monotonic clock).

        Returns the probes that were dropped.
        """
        metadata, pod_spec = pod.get("metadata") or {}, pod.get("spec") or {}
        uid = metadata.get("uid", "")
        known = self._pods.setdefault(uid, {})
        dropped = [
            task
            for name, old in list(known.items())
            if name not in running or running[name][0].id != old.id
            for task in self._drop(known, name)
        ]
        labels = {
            "namespace": metadata.get("namespace", ""),
            "pod": metadata.get("name", ""),
            "pod_uid": uid,
        }
        for container in _containers(pod_spec):
            name = container["name"]
            if name not in running:
                continue
            live, started = running[name]
            entry = known.get(name)
            if entry is None:
                entry = known[name] = _Container(live.id, started, started < self._began)
            target = Target(live.id, ip, container)
            for kind, spec in state.specs(container).items():
                task = entry.tasks.get(kind)
                if task is None:
                    first = State(_resumed(kind, live))
                    entry.tasks[kind] = Task(
                        uid, name, spec, target, {**labels, "container": name}, first
                    )
                else:
                    task.spec, task.target = spec, target
            if stopping:
                for task in entry.tasks.values():
                    task.state = state.terminating(task.spec, task.state)
            self._plan(entry, now)
        if not known:
            del self._pods[uid]
        return dropped

    def forget(self, uid: str) -> list[Task]:
        """Drop a pod's probes, and return them."""
        known = self._pods.pop(uid, {})
        return [task for name in list(known) for task in self._drop(known, name)]

    def _drop(self, known: dict[str, _Container], name: str) -> list[Task]:
        tasks = list(known.pop(name).tasks.values())
        for task in tasks:
            task.gone, task.due = True, None
        return tasks

    # -- what is due -----------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """When the next probe is due; None if none is."""
        while self._heap and not _current(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> list[Task]:
        """The probes to ask now. Each has to come back through `answered`."""
        taken = []
        while (due := self.next_due()) is not None and due <= now:
            task = heapq.heappop(self._heap)[2]
            task.asking = True
            taken.append(task)
        return taken

    def answered(self, task: Task, outcome: Outcome, output: str, now: float) -> bool:
        """Take an answer in. Whether it changed what `results` says of the container."""
        task.asking = False
        if task.gone:
            return False
        containers = self._pods[task.uid]
        entry = containers[task.container]
        before = _result(entry)
        task.state = state.answered(task.spec, task.state, outcome, output)
        asked_at, task.due = task.due, None
        if asked_at is not None and state.wants_more(task.spec, task.state):
            self._put(task, max(asked_at + task.spec.period, now))
        self._plan(entry, now)
        after = _result(entry)
        return _verdict(before) != _verdict(after)

    # -- what it means ---------------------------------------------------------------------------

    def results(self, uid: str) -> dict[str, ProbeResult]:
        """By name, of the containers that run. One without probes is started, ready and live."""
        return {name: _result(entry) for name, entry in self._pods.get(uid, {}).items()}

    def tasks(self) -> list[Task]:
        return [
            task
            for containers in self._pods.values()
            for entry in containers.values()
            for task in entry.tasks.values()
        ]

    # -- planning --------------------------------------------------------------------------------

    def _plan(self, entry: _Container, now: float) -> None:
        """Give a time to every probe that should have one and hasn't."""
        for kind, task in entry.tasks.items():
            if not state.wants_more(task.spec, task.state):
                task.due = None
            elif task.due is None and not task.asking and (kind is Kind.STARTUP or _started(entry)):
                self._put(task, self._first(entry, task.spec, now))

    def _first(self, entry: _Container, spec: Spec, now: float) -> float:
        ready = max(now, entry.started + spec.initial_delay)
        if entry.adopted and now - self._began < spec.period:
            return ready + self._jitter() * spec.period
        return ready

    def _put(self, task: Task, due: float) -> None:
        task.due = due
        heapq.heappush(self._heap, (due, next(self._order), task))


def _containers(spec: Json) -> list[Json]:
    """Containers that may have probes: regular ones and restartable init containers."""
    inits = spec.get("initContainers") or ()
    sidecars = [c for c in inits if c.get("restartPolicy") == "Always"]
    return [*sidecars, *(spec.get("containers") or ())]


def _current(due: float, _: int, task: Task) -> bool:
    return task.due == due and not task.gone and not task.asking


def _resumed(kind: Kind, live: RunningContainer) -> Phase:
    known = live.ready if kind is Kind.READINESS else live.started
    return Phase.PASSING if known and kind is not Kind.LIVENESS else Phase.WAITING


def _started(entry: _Container) -> bool:
    startup = entry.tasks.get(Kind.STARTUP)
    return startup is None or startup.state.phase is Phase.PASSING


def _result(entry: _Container) -> ProbeResult:
    readiness = entry.tasks.get(Kind.READINESS)
    started = _started(entry)
    ready = started and (readiness is None or readiness.state.phase is Phase.PASSING)
    failed = next((t for t in entry.tasks.values() if t.state.phase is Phase.HELD), None)
    if failed:
        return ProbeResult(
            started, ready, False, failed.state.message, failed.spec.kind.value, failed.spec.grace
        )
    message = next((t.state.message for t in entry.tasks.values() if t.state.message), "")
    return ProbeResult(started, ready, True, message)


def _verdict(result: ProbeResult) -> tuple[bool, bool, bool]:
    return result.started, result.ready, result.live
