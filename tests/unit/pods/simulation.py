"""A node in virtual time: the real manager and lifecycle before a simulated runtime.

`SimNode` puts them together; the runtime's calls take time, fail, hang, answer late or not at all;
containers live and die by their `Behaviour`; the agent can be killed and started again at any
moment, and remembers what `SimMemory` kept. `Rules` watches every call and notes what must never
happen. Everything follows from one `random.Random`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from pykubelet.errors import Failed, NotFound, TimedOut, Unavailable
from pykubelet.kubelet.pods import restart, spec
from pykubelet.kubelet.pods.backoff import Backoff
from pykubelet.kubelet.pods.manager import PodManager
from pykubelet.kubelet.pods.snapshot import (
    Action,
    KillContainer,
    Prepare,
    Release,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    RunSandbox,
    StartContainer,
    StopSandbox,
)
from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.pods.tools import NameTaken, StepFailed, Work
from pykubelet.kubelet.probes.schedule import ProbeResult, RunningContainer
from pykubelet.kubelet.runtime.labels import CONTAINER_HASH, container_hash
from pykubelet.kubelet.runtime.model import Container, ContainerState, PodRuntime, Sandbox
from tests.support.virtual import Dead, VirtualTime

Json = dict[str, Any]

_NS = 1_000_000_000


# -- the containers' side -----------------------------------------------------------------------


@dataclass(frozen=True)
class Behaviour:
    """What one attempt does: exits by itself after `lives` seconds (None: never) with `code`, and
    `stops_in` seconds after it was asked to. `sick_after`: its liveness probe fails from then."""

    lives: float | None = None
    code: int = 0
    stops_in: float = 0.1
    sick_after: float | None = None
    starts_up_in: float = 0.0


Behave = Callable[[str, int], Behaviour]


@dataclass(frozen=True)
class Trouble:
    """What a runtime call does beside its work: fail before it, or answer only after `hangs`
    seconds that it timed out, while the work is done `late` seconds after that (None: never)."""

    error: Failed | None = None
    hangs: float = 0.0
    late: float | None = 0.0


class SimRuntime:
    """Sandboxes and containers as CRI sees them. `trouble(call)` is asked before each call."""

    def __init__(self, time: VirtualTime, rules: Rules, random: Random) -> None:
        self.time, self.rules, self.random = time, rules, random
        self.sandboxes: dict[str, Sandbox] = {}
        self.containers: dict[str, Container] = {}
        self.behave: Behave = lambda name, attempt: Behaviour()
        self.trouble: Callable[[str], Trouble | None] = lambda call: None
        self.down = False
        self.listeners: list[Callable[[str], None]] = []
        self._behaviours: dict[str, Behaviour] = {}
        self._reserved: set[tuple[str, str, int]] = set()
        self._number = itertools.count(1)

    # -- what the agent calls -----------------------------------------------------------------

    def pods(self, uid: str | None = None) -> dict[str, PodRuntime]:
        """The state is as it was when the call began; the answer comes a little later."""
        self._answers()
        found = self.now(uid)
        self.time.sleep(self.random.uniform(0.0, 0.01))
        self._answers()
        return found

    def run_sandbox(self, pod: Json, attempt: int) -> None:
        key = (spec.uid(pod), "", attempt)
        self._reserve(key)
        self.rules.sandbox_asked(self, pod)

        def made() -> None:
            id = f"s{next(self._number)}"
            self.sandboxes[id] = Sandbox(
                id, spec.uid(pod), spec.name(pod), spec.namespace(pod), attempt, True,
                self._stamp(), ips=(f"10.0.0.{len(self.sandboxes)}",),
                annotations={spec.CONFIG_SOURCE: "file"},
            )  # fmt: skip

        self._call("RunPodSandbox", made, lambda: self._reserved.discard(key))

    def create_container(self, pod: Json, container: Json, sandbox: str, attempt: int) -> str:
        key = (spec.uid(pod), container["name"], attempt)
        self._reserve(key)
        self.rules.container_asked(self, pod, container, sandbox)
        id = f"c{next(self._number)}"

        def made() -> None:
            if sandbox not in self.sandboxes:
                return
            self.containers[id] = Container(
                id, container["name"], sandbox, spec.uid(pod), attempt, ContainerState.CREATED,
                image=container["image"], created_at=self._stamp(),
                annotations={CONTAINER_HASH: container_hash(container)},
            )  # fmt: skip

        self._call("CreateContainer", made, lambda: self._reserved.discard(key))
        return id

    def start_container(self, id: str) -> None:
        def started() -> None:
            c = self.containers.get(id)
            if c is None or c.state is not ContainerState.CREATED:
                return
            self._put(replace(c, state=ContainerState.RUNNING, started_at=self._stamp()))
            self.rules.container_started(self, self.containers[id])
            behaviour = self._behaviours[id] = self.behave(c.name, c.attempt)
            if behaviour.lives is not None:
                self.exit(id, behaviour.code, after=behaviour.lives)

        if id not in self.containers:
            raise NotFound(id)
        self._call("StartContainer", started)

    def stop_container(self, id: str, grace: float) -> None:
        if id not in self.containers:
            return
        self._call("StopContainer", lambda: None)
        if id not in self.containers or self.containers[id].state is not ContainerState.RUNNING:
            return
        behaviour = self._behaviours[id]
        killed = behaviour.stops_in > grace
        self.exit(id, 137 if killed else 0, after=min(grace, behaviour.stops_in))
        while id in self.containers and self.containers[id].state is ContainerState.RUNNING:
            self.time.sleep(0.05)

    def stop_sandbox(self, id: str) -> None:
        def stopped() -> None:
            if id in self.sandboxes:
                self.sandboxes[id] = replace(self.sandboxes[id], ready=False)
            for c in list(self.containers.values()):
                if c.sandbox_id == id and c.state is ContainerState.RUNNING:
                    self.rules.broken(f"{c.name} ran when its sandbox was stopped")
                    self._end(c.id, 137)

        self._call("StopPodSandbox", stopped)

    def remove_sandbox(self, id: str) -> None:
        def removed() -> None:
            box = self.sandboxes.pop(id, None)
            for c in list(self.containers.values()):
                if c.sandbox_id == id:
                    self._forget(c)
            if box:
                self._reserved.discard((box.uid, "", box.attempt))
                if not self.now(box.uid):
                    self.rules.forget(box.uid)

        self._call("RemovePodSandbox", removed)

    def remove_container(self, id: str) -> None:
        def removed() -> None:
            if id in self.containers:
                self._forget(self.containers[id])

        self._call("RemoveContainer", removed)

    # -- what happens by itself -----------------------------------------------------------------

    def exit(self, id: str, code: int, after: float = 0.0) -> None:
        self.time.at(self.time.now + after, lambda: self._end(id, code))

    def lose_sandbox(self, id: str) -> None:
        """Somebody kills the pause process; the containers go on."""
        if id in self.sandboxes:
            self.sandboxes[id] = replace(self.sandboxes[id], ready=False)
            self._hint(self.sandboxes[id].uid)

    def now(self, uid: str | None = None) -> dict[str, PodRuntime]:
        uids = {b.uid for b in self.sandboxes.values()} | {c.uid for c in self.containers.values()}
        return {u: self._pod(u) for u in uids if uid in (None, u)}

    def behaviour(self, id: str) -> Behaviour:
        return self._behaviours[id]

    def running(self, uid: str) -> list[Container]:
        return [
            c
            for c in self.containers.values()
            if c.uid == uid and c.state is ContainerState.RUNNING
        ]

    def _pod(self, uid: str) -> PodRuntime:
        boxes = sorted((b for b in self.sandboxes.values() if b.uid == uid), key=_age)
        containers = sorted((c for c in self.containers.values() if c.uid == uid), key=_age)
        name = boxes[0].name if boxes else ""
        return PodRuntime(uid, name, "default", tuple(boxes), tuple(containers))

    def _end(self, id: str, code: int) -> None:
        c = self.containers.get(id)
        if c and c.state is ContainerState.RUNNING:
            self._put(
                replace(c, state=ContainerState.EXITED, exit_code=code, finished_at=self._stamp())
            )

    def _forget(self, c: Container) -> None:
        del self.containers[c.id]
        self._reserved.discard((c.uid, c.name, c.attempt))

    def _put(self, c: Container) -> None:
        self.containers[c.id] = c
        self._hint(c.uid)

    def _hint(self, uid: str) -> None:
        for listener in self.listeners:
            listener(uid)

    def _reserve(self, key: tuple[str, str, int]) -> None:
        if key in self._reserved:
            kind = "FailedCreatePodSandBox" if not key[1] else "CreateContainerError"
            self.rules.asked(key)
            raise NameTaken(kind, f"name {key} is reserved")
        self._reserved.add(key)
        self.rules.asked(key)

    def _call(
        self, name: str, work: Callable[[], None], release: Callable[[], None] = lambda: None
    ) -> None:
        """`release` frees a reserved name where nothing comes of the call."""
        try:
            self._answers()
            self.time.sleep(self.random.uniform(0.0, 0.08))
            self._answers()
        except Failed:
            release()
            raise
        except Dead:
            # Nobody waits for the answer any more: the runtime goes on with it, or gives it up.
            if self.random.random() < 0.5:
                self.time.at(self.time.now + self.random.uniform(0.0, 3.0), work)
            else:
                release()
            raise
        trouble = self.trouble(name)
        if trouble and trouble.error:
            release()
            raise trouble.error
        if trouble and trouble.hangs:
            self.time.sleep(trouble.hangs)
            if trouble.late is not None:
                self.time.at(self.time.now + trouble.late, work)
            raise TimedOut(f"{name}: no answer in time")
        work()
        self.time.sleep(self.random.uniform(0.0, 0.02))  # done before it is said

    def _answers(self) -> None:
        if self.down:
            raise Unavailable("connection refused")

    def _stamp(self) -> int:
        return int(self.time.wall() * _NS) + next(self._number)


def _age(item: Sandbox | Container) -> tuple[int, int]:
    return -item.created_at, -item.attempt


# -- what must never happen ---------------------------------------------------------------------


class Rules:
    """Collects what was broken; `wanted(uid)` gives the pod as it is wanted now, or None."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.violations: list[str] = []
        self.requested: dict[tuple[str, str], int] = {}
        self.ran: dict[tuple[str, str], int] = {}
        self.replaced: set[str] = set()
        self.turns: Counter[int] = Counter()

    def broken(self, what: str) -> None:
        self.violations.append(f"{self.time.now:.3f}: {what}")

    def asked(self, key: tuple[str, str, int]) -> None:
        """The agent asks for this attempt: no number is left out, none that ran comes again."""
        uid, name, attempt = key
        before, ran = self.requested.get((uid, name), -1), self.ran.get((uid, name), -1)
        if not ran < attempt <= before + 1:
            self.broken(f"{name or 'sandbox'}: attempt {attempt} follows {before}, {ran} ran")
        self.requested[uid, name] = max(before, attempt)

    def forget(self, uid: str) -> None:
        """Nothing of the pod is left: the next of this UID begins at 0."""
        for known in (self.requested, self.ran):
            for key in [key for key in known if key[0] == uid]:
                del known[key]

    def sandbox_asked(self, runtime: SimRuntime, pod: Json) -> None:
        """The agent begins with a pod: no other of its name runs here."""
        for other in runtime.sandboxes.values():
            same_name = (other.namespace, other.name) == (spec.namespace(pod), spec.name(pod))
            if same_name and other.uid != spec.uid(pod) and runtime.running(other.uid):
                self.broken(f"{spec.uid(pod)} begins while {other.uid} still runs")

    def container_asked(
        self, runtime: SimRuntime, pod: Json, container: Json, sandbox: str
    ) -> None:
        """The agent asks for a container: it has its turn, and nothing is in the way."""
        name, uid = container["name"], spec.uid(pod)
        for other in runtime.running(uid):
            if other.sandbox_id != sandbox:
                self.broken(f"{name} begins while {other.name} runs in another sandbox")
        mine = runtime.now(uid)[uid] if uid in runtime.now(uid) else PodRuntime(uid)
        here = tuple(c for c in mine.containers if c.sandbox_id == sandbox)
        self._after_init(pod, name, PodRuntime(uid, containers=here))
        ended = mine.latest(name)
        if ended is None or ended.state is not ContainerState.EXITED:
            return
        kind = next(k for k, c in spec.containers(pod) if c is container)
        if ended.sandbox_id != sandbox and kind is not Kind.REGULAR:
            return
        policy = spec.restart_policy(pod)
        if not restart.comes_back(policy, kind, container, ended, self.replaced):
            self.broken(f"{name} comes back after {ended.exit_code} under {policy}")

    def _after_init(self, pod: Json, name: str, here: PodRuntime) -> None:
        """What stands before this container in the order of starts has done its part."""
        if any(here.latest(c["name"]) for c in spec.regular_containers(pod)):
            return
        for before in spec.init_containers(pod):
            if before["name"] == name:
                return
            latest = here.latest(before["name"])
            if spec.is_sidecar(before):
                continue  # it may have crashed a moment ago
            if latest is None or latest.state is not ContainerState.EXITED or latest.exit_code:
                self.broken(f"{name} begins before init container {before['name']} is done")

    def container_started(self, runtime: SimRuntime, c: Container) -> None:
        self.ran[c.uid, c.name] = max(c.attempt, self.ran.get((c.uid, c.name), -1))
        others = [o for o in runtime.running(c.uid) if o.name == c.name and o.id != c.id]
        if others:
            self.broken(f"{c.name} runs twice: {c.id} and {others[0].id}")

    def killed(self, runtime: SimRuntime, pod: Json, action: KillContainer, ending: bool) -> None:
        """Nothing that is as it should be is stopped."""
        if action.replace:
            self.replaced.add(action.container)
        c = runtime.containers.get(action.container)
        if ending or c is None or c.state is not ContainerState.RUNNING:
            return
        box = runtime.sandboxes.get(c.sandbox_id)
        found = spec.container_named(pod, c.name)
        edited = found and container_hash(found[1]) != c.annotations[CONTAINER_HASH]
        sick = runtime.behaviour(c.id).sick_after is not None
        surplus = sum(b.ready for b in runtime.sandboxes.values() if b.uid == c.uid) > 1
        if box is not None and box.ready and not (edited or sick or surplus):
            self.broken(f"{c.name} was healthy and was stopped: {action.message}")

    def turn(self) -> None:
        second = int(self.time.now)
        self.turns[second] += 1
        if self.turns[second] > 400:
            raise AssertionError(f"{self.turns[second]} turns within second {second}")


# -- the agent's side ---------------------------------------------------------------------------


class SimTurns:
    """`turns.Turns` in virtual time; belongs to one life of the agent."""

    def __init__(self, time: VirtualTime, rules: Rules, turn: Callable[[str], None]) -> None:
        self._time, self._rules, self._turn = time, rules, turn
        self._queued: set[str] = set()
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._alarms: dict[str, float] = {}

    def wake(self, key: str) -> None:
        if key in self._running:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._time.spawn(lambda: self._take(key), self)

    def wake_at(self, key: str, at: float) -> None:
        due = self._alarms.get(key)
        if due is None or at < due:
            self._alarms[key] = at
            self._time.at(at, lambda: self._ring(key, at), self)

    def task(self, work: Callable[[], None]) -> None:
        self._time.spawn(work, self)

    def _ring(self, key: str, at: float) -> None:
        if self._alarms.get(key) == at:
            del self._alarms[key]
            self.wake(key)

    def _take(self, key: str) -> None:
        self._rules.turn()
        self._queued.discard(key)
        self._running.add(key)
        try:
            self._turn(key)
        finally:
            self._running.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.wake(key)


class SimMemory:
    """`memory.Memory` in a dict: what outlives the agent."""

    def __init__(self) -> None:
        self.kept: dict[str, Json] = {}

    def recall(self, uid: str) -> Json:
        return self.kept.get(uid, {})

    def keep(self, uid: str, status: Json) -> None:
        self.kept[uid] = status

    def forget(self, uid: str) -> None:
        self.kept.pop(uid, None)

    def forget_all_but(self, uids: Any) -> None:
        self.kept = {uid: self.kept[uid] for uid in self.kept if uid in uids}


class SimProbes:
    """`probes.manager.Probes`: a container is healthy until its behaviour says that it is sick."""

    def __init__(self, time: VirtualTime, runtime: SimRuntime) -> None:
        self._time, self._runtime = time, runtime
        self._known: dict[str, dict[str, RunningContainer]] = {}
        self.changed: Callable[[str], None] = lambda uid: None

    def sync(
        self, pod: Json, running: Mapping[str, RunningContainer], ip: str | None, *, stopping: bool
    ) -> None:
        uid = spec.uid(pod)
        before = self._known.get(uid, {})
        self._known[uid] = dict(running)
        for name, container in running.items():
            if name in before and before[name].id == container.id:
                continue
            behaviour = self._runtime.behaviour(container.id)
            for after in (behaviour.sick_after, behaviour.starts_up_in):
                if after:
                    at = self._age(container.id)[1] + after
                    self._time.at(at, lambda: self.changed(uid))

    def results(self, uid: str) -> dict[str, ProbeResult]:
        return {name: self._result(c) for name, c in self._known.get(uid, {}).items()}

    def forget(self, uid: str) -> None:
        self._known.pop(uid, None)

    def _result(self, container: RunningContainer) -> ProbeResult:
        behaviour, (age, _) = self._runtime.behaviour(container.id), self._age(container.id)
        started = age >= behaviour.starts_up_in
        sick = behaviour.sick_after is not None and age >= behaviour.sick_after
        return ProbeResult(started, started, live=not sick)

    def _age(self, id: str) -> tuple[float, float]:
        """Seconds since its start, and its start in virtual seconds."""
        c = self._runtime.containers.get(id)
        age = self._time.wall() - c.started_at / _NS if c else 0.0
        return age + 0.001, self._time.now - age


class SimPerformer:
    """`perform.Performer`: the same steps against the simulated runtime."""

    def __init__(self, runtime: SimRuntime, rules: Rules, ending: Callable[[str], bool]) -> None:
        self._runtime, self._rules, self._ending = runtime, rules, ending
        self._busy: set[tuple[str, str]] = set()
        self._working: dict[str, int] = {}

    def perform(self, action: Action, work: Work) -> Any:
        uid = spec.uid(work.pod)
        key = (uid, action.key)
        if key in self._busy:
            self._rules.broken(f"{action} begun twice")
        self._busy.add(key)
        try:
            return self._perform(action, work)
        finally:
            self._busy.discard(key)

    def _perform(self, action: Action, work: Work) -> Any:
        runtime, pod = self._runtime, work.pod
        match action:
            case Prepare():
                runtime._call("Prepare", lambda: None)
                return {}
            case RunSandbox(attempt=attempt):
                return runtime.run_sandbox(pod, attempt)
            case StartContainer(name=name, attempt=attempt):
                return self._start(work, name, attempt)
            case KillContainer(container=id, grace=grace):
                self._rules.killed(runtime, pod, action, self._ending(spec.uid(pod)))
                return runtime.stop_container(id, grace)
            case StopSandbox(sandbox=id):
                return runtime.stop_sandbox(id)
            case RemoveSandbox(sandbox=id):
                return runtime.remove_sandbox(id)
            case RemoveContainer(container=id):
                return runtime.remove_container(id)
            case ResizeContainer():
                return {}
            case Release():
                if runtime.running(spec.uid(pod)):
                    self._rules.broken(f"released while something of {spec.uid(pod)} runs")
                return runtime._call("Release", lambda: None)
        raise TypeError(action)

    def _start(self, work: Work, name: str, attempt: int) -> None:
        found = spec.container_named(work.pod, name)
        ready = [b for b in work.runtime.sandboxes if b.ready]
        if not found or not ready or work.interrupted.is_set():
            return
        try:
            box = max(ready, key=lambda b: b.attempt)
            id = self._runtime.create_container(work.pod, found[1], box.id, attempt)
            if work.interrupted.is_set():
                return
            self._runtime.start_container(id)
        except (StepFailed, Unavailable):
            raise
        except Failed as error:
            raise StepFailed("RunContainerError", str(error)) from error

    def wanted_resizes(self, pod: Json, runtime: PodRuntime, done: Any) -> dict[str, Any]:
        return {}

    def resources_in_force(self, pod: Json, runtime: PodRuntime) -> dict[str, Json]:
        return {}

    def termination_message(self, pod: Json, ended: Container) -> str:
        return ""


@dataclass
class SimNode:
    """One node. `want` and `restart_agent` are what a test does to it; `time.run` lets it live."""

    random: Random
    time: VirtualTime = field(default_factory=VirtualTime)

    def __post_init__(self) -> None:
        self.rules = Rules(self.time)
        self.runtime = SimRuntime(self.time, self.rules, self.random)
        self.memory = SimMemory()
        self.pods: dict[str, Json] = {}
        self.start_agent()

    def start_agent(self) -> None:
        probes = SimProbes(self.time, self.runtime)
        self.manager = PodManager(
            self.runtime,
            SimPerformer(self.runtime, self.rules, self._ending),  # type: ignore[arg-type]
            probes,  # type: ignore[arg-type]
            self.memory,  # type: ignore[arg-type]
            admit=lambda pod, others: None,
            host_ips=lambda: ("192.0.2.1",),
            on_status=lambda pod, status: None,
            backoff=Backoff(),
            clock=self.time,
            turns=lambda turn: SimTurns(self.time, self.rules, turn),  # type: ignore[arg-type,return-value]
        )
        probes.changed = self.manager.changed
        self.runtime.listeners = [self.manager.changed]
        self.manager.want("file", self.pods.values())
        self.manager.turns.task(self.manager.relist)

    def restart_agent(self) -> None:
        """kill -9, and a new agent that knows nothing but what was kept."""
        self.time.kill(self.manager.turns)
        self.start_agent()

    def want(self, *pods: Json) -> None:
        self.pods = {spec.uid(pod): pod for pod in pods}
        self.manager.want("file", pods)

    def relist_every(self, seconds: float) -> None:
        def again() -> None:
            self.manager.turns.task(self.manager.relist)
            self.time.at(self.time.now + seconds, again)

        again()

    def _ending(self, uid: str) -> bool:
        record = next((r for r in self.manager.records() if r.uid == uid), None)
        return record is None or not record.wanted or bool(record.verdict or record.ended)

    def status(self, uid: str) -> Json:
        pod = self.manager.pod(uid)
        return pod["status"] if pod else {}
