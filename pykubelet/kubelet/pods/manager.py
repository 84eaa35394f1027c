"""The loop around every pod: snapshot, decide, act, say.

Sources say which pods are wanted (`want`), the runtime's events and everybody's results wake a pod,
and each wake is one turn: look at what the runtime has of it now, ask `lifecycle` what to do, begin
the actions beside the turn (so that a turn never blocks on one), report the status. One pod has one
turn at a time; pods know nothing of each other but for the name: a pod waits until another of its
name is wholly gone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from pykubelet.clock import Clock, SystemClock, rfc3339
from pykubelet.errors import Failed, PykubeletError
from pykubelet.kubelet.pods import lifecycle, spec, status
from pykubelet.kubelet.pods.backoff import Backoff
from pykubelet.kubelet.pods.container_status import Facts
from pykubelet.kubelet.pods.perform import Performer
from pykubelet.kubelet.pods.records import Record, orphan
from pykubelet.kubelet.pods.snapshot import (
    Action,
    Decision,
    Phase,
    Prepare,
    Release,
    ResizeContainer,
    RunSandbox,
    Snapshot,
    StopSandbox,
    Verdict,
)
from pykubelet.kubelet.pods.tools import StepFailed, Work
from pykubelet.kubelet.probes.hooks import Interrupt
from pykubelet.kubelet.probes.manager import Probes
from pykubelet.kubelet.probes.schedule import RunningContainer
from pykubelet.kubelet.runtime.failures import NameReserved
from pykubelet.kubelet.runtime.labels import container_hash
from pykubelet.kubelet.runtime.model import ContainerState, PodRuntime
from pykubelet.turns import Turns

log = logging.getLogger(__name__)

Json = dict[str, Any]

_RETRY_FIRST, _RETRY_MOST = 1.0, 60.0


class Runtime(Protocol):
    """What the manager needs of `runtime`."""

    def pods(self, uid: str | None = None) -> dict[str, PodRuntime]: ...


class PodManager:
    """All methods may be called from any thread.

    `admit(pod, others)` says whether the node takes a pod beside those others: a Verdict, or None.
    `host_ips()` gives the node's addresses. `on_status(pod, status)` is called for every change.
    """

    def __init__(
        self,
        runtime: Runtime,
        performer: Performer,
        prober: Probes,
        *,
        admit: Callable[[Json, list[Json]], Verdict | None],
        host_ips: Callable[[], tuple[str, ...]],
        on_status: Callable[[Json, Json], None],
        on_gone: Callable[[Json], None] = lambda pod: None,
        backoff: Backoff | None = None,
        clock: Clock | None = None,
        runtime_name: str = "containerd",
        expected_sources: frozenset[str] = frozenset({"file"}),
    ) -> None:
        self._runtime = runtime
        self._performer = performer
        self._prober = prober
        self._admit = admit
        self._host_ips = host_ips
        self._on_status = on_status
        self._on_gone = on_gone
        self._backoff = backoff or Backoff()
        self._clock = clock or SystemClock()
        self._runtime_name = runtime_name
        self._lock = threading.RLock()
        self._records: dict[str, Record] = {}
        self._ready_sources: set[str] = set()
        self._expected_sources = expected_sources
        self.turns = Turns(self._turn)

    # -- what is wanted -------------------------------------------------------------------------

    def want(self, source: str, pods: Iterable[Json]) -> None:
        """These, and no others, are the pods that `source` wants from now on."""
        wanted = {spec.uid(pod): pod for pod in pods}
        with self._lock:
            self._ready_sources.add(source)
            touched: set[str] = set()
            for uid, pod in wanted.items():
                touched |= self._want_one(source, uid, pod)
            for uid, record in self._records.items():
                if record.source == source and uid not in wanted:
                    record.successor = None
                if record.source == source and record.wanted and uid not in wanted:
                    touched |= self._unwant(record)
        for uid in touched:
            self.turns.wake(uid)

    def end(self, uid: str, verdict: Verdict) -> None:
        """End a pod that is still wanted: evicted, preempted."""
        with self._lock:
            record = self._records.get(uid)
            if record is None or record.verdict:
                return
            record.verdict = verdict
            self._terminating(record)
        self.turns.wake(uid)

    def relist(self) -> None:
        """Look at everything again: what the runtime has, and what is known."""
        try:
            found = self._runtime.pods()
        except Failed as error:
            log.warning("can't list pods: %s", error)
            return
        with self._lock:
            known = set(self._records)
        for uid in known | set(found):
            self.turns.wake(uid)

    def changed(self, uid: str) -> None:
        """Something may have changed about this pod: look."""
        self.turns.wake(uid)

    # -- what there is --------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """Every record, to be read only."""
        with self._lock:
            return list(self._records.values())

    def pod(self, uid: str) -> Json | None:
        """The pod with its status as last composed."""
        with self._lock:
            record = self._records.get(uid)
            return {**record.pod, "status": record.status} if record else None

    def active_pods(self) -> list[Json]:
        """Specs of all pods that hold resources of the node."""
        with self._lock:
            return [r.pod for r in self._records.values() if r.admitted and not r.released]

    def sources_ready(self) -> bool:
        """Every source has spoken at least once, so that what is not known is not wanted."""
        with self._lock:
            return self._expected_sources <= self._ready_sources

    # -- wanting, under the lock ------------------------------------------------------------------

    def _want_one(self, source: str, uid: str, pod: Json) -> set[str]:
        record = self._records.get(uid)
        deleted = "deletionTimestamp" in pod["metadata"]
        if record is None:
            record = self._records[uid] = Record(pod, source)
        elif record.pod == pod and record.source == source and (record.wanted or deleted):
            return set()
        if deleted:
            record.pod, record.source = pod, source
            record.grace = spec.grace_seconds(pod)
            return self._unwant(record)
        if not record.wanted:
            # Wanted again before it was gone: the end that has begun is carried through first.
            record.successor = pod
            record.source = source
            return {uid}
        record.pod, record.source = pod, source
        record.failures = {
            key: failure
            for key, failure in record.failures.items()
            if not key.startswith("StartContainer:")
        }
        return {uid}

    def _unwant(self, record: Record) -> set[str]:
        record.wanted = False
        self._terminating(record)
        return {record.uid}

    def _terminating(self, record: Record) -> None:
        if record.terminating_since is None:
            record.terminating_since = self._clock.monotonic()
        record.interrupt()

    # -- a turn ---------------------------------------------------------------------------------

    def _turn(self, uid: str) -> None:
        try:
            runtime = self._runtime.pods(uid).get(uid) or PodRuntime(uid)
        except Failed as error:
            self._runtime_silent(uid, error)
            return
        with self._lock:
            record = self._records.get(uid) or self._adopt(runtime)
            if record is None:
                return
            record.runtime = runtime
            self._admit_once(record)
        if not record.released:
            self._probe(record)
        self._read_messages(record)
        with self._lock:
            s = self._snapshot(record)
            if record.verdict is None and record.wanted and (verdict := lifecycle.overdue(s)):
                record.verdict = verdict
                self._terminating(record)
                s = self._snapshot(record)
            decision = lifecycle.decide(s)
            before, record.decision = record.decision, decision
            record.snapshot = s
            for action in decision.actions:
                self._begin(record, action)
            facts = self._facts(record, s)
            # Compose after the actions have begun: what is under way shows as such.
            composed = status.compose(self._snapshot(record), facts, record.status)
            moved, record.status = composed != record.status, composed
            gone = decision.phase is Phase.TERMINATED and not record.terminated
            record.terminated = decision.phase is Phase.TERMINATED
        self._say(record, before, decision)
        if moved:
            self._on_status(record.pod, composed)
        if gone:
            self._gone(record)
        self._look_again(uid, s, decision)

    def _runtime_silent(self, uid: str, error: Failed) -> None:
        with self._lock:
            record = self._records.get(uid)
            if record is None:
                return
            phase = record.decision.phase if record.decision else Phase.WAITING
            before = record.decision
            record.decision = Decision(phase, f"the runtime does not answer: {error}")
        self._say(record, before, record.decision)
        self.turns.wake_at(uid, self._clock.monotonic() + _RETRY_FIRST)

    def _adopt(self, runtime: PodRuntime) -> Record | None:
        """A pod that only the runtime knows: ended, once the source it came from has spoken."""
        if not runtime.sandboxes and not runtime.containers:
            return None
        outline = orphan(runtime)
        source = spec.annotations_of(outline).get(spec.CONFIG_SOURCE, "api")
        if source not in self._ready_sources:
            return None
        record = self._records[runtime.uid] = Record(outline, "", wanted=False)
        self._terminating(record)
        log.info("%s: runs, but nothing wants it any more", record.full_name)
        return record

    def _admit_once(self, record: Record) -> None:
        if record.admitted or not record.wanted or self._predecessor(record):
            return
        now, wall = self._clock.monotonic(), self._clock.wall()
        began = wall
        if record.runtime.sandboxes:
            began = min(b.created_at for b in record.runtime.sandboxes) / 1e9
        else:
            others = [r.pod for r in self._records.values() if r.admitted and not r.released]
            record.verdict = record.verdict or self._admit(record.pod, others)
            if record.verdict:
                self._terminating(record)
        record.admitted = True
        record.active_since = now - max(0.0, wall - began)
        record.start_time = (record.pod.get("status") or {}).get("startTime") or rfc3339(began)

    def _predecessor(self, record: Record) -> str:
        """The UID of another pod of this name that is still here, if this one has not begun."""
        if record.admitted or record.runtime.sandboxes:
            return ""
        for uid, other in self._records.items():
            here = other.admitted or other.runtime.sandboxes or other.busy or not other.wanted
            if here and other is not record and other.full_name == record.full_name:
                return uid
        return ""

    def _snapshot(self, record: Record) -> Snapshot:
        now = self._clock.monotonic()
        return Snapshot(
            pod=record.pod,
            runtime=record.runtime,
            now=now,
            wall=self._clock.wall(),
            wanted=record.wanted,
            active_since=record.active_since,
            start_time=record.start_time,
            grace=record.grace,
            terminating_since=record.terminating_since,
            verdict=record.verdict,
            predecessor=self._predecessor(record),
            prepared=record.mounted is not None,
            busy=frozenset(record.busy),
            failures=dict(record.failures),
            restart_at=self._restarts(record, now),
            health=self._prober.results(record.uid),
            stopped=frozenset(record.stopped),
            attempt_floor=record.attempt_floor,
            released=record.released,
            resize=self._performer.wanted_resizes(record.pod, record.runtime, record.resized),
        )

    def _restarts(self, record: Record, now: float) -> dict[str, float]:
        """By container name: the instant before which it is not started again."""
        result = {}
        for _, container in spec.containers(record.pod):
            latest = record.runtime.latest(container["name"])
            if latest is None or latest.state is not ContainerState.EXITED:
                continue
            key = (record.uid, container["name"], container_hash(container))
            ran_for = max(0, latest.finished_at - latest.started_at) / 1e9
            self._backoff.failed(key, now, ran_for, incident=latest.id)
            result[container["name"]] = now + self._backoff.wait(key, now)
        return result

    def _facts(self, record: Record, s: Snapshot) -> Facts:
        delays = {
            container["name"]: self._backoff.delay(
                (record.uid, container["name"], container_hash(container))
            )
            for _, container in spec.containers(record.pod)
            if container["name"] in s.restart_at
        }
        return Facts(
            runtime_name=self._runtime_name,
            host_ips=self._host_ips(),
            messages=record.messages,
            resources=self._performer.resources_in_force(record.pod, record.runtime),
            backoff=delays,
        )

    def _probe(self, record: Record) -> None:
        """Have exactly what runs of this pod probed."""
        running = {
            c.name: RunningContainer(c.id, c.started_at)
            for c in reversed(record.runtime.containers)
            if c.state is ContainerState.RUNNING
        }
        sandbox = record.runtime.sandbox
        ips = self._host_ips() if spec.host_network(record.pod) else sandbox.ips if sandbox else ()
        stopping = not record.wanted or record.verdict is not None
        self._prober.sync(record.pod, running, ips[0] if ips else None, stopping=stopping)

    def _read_messages(self, record: Record) -> None:
        """Termination messages of containers that have ended since the last turn."""
        for container in record.runtime.containers:
            if container.state is ContainerState.EXITED and container.id not in record.messages:
                message = self._performer.termination_message(record.pod, container)
                record.messages[container.id] = message

    def _say(self, record: Record, before: Decision | None, decision: Decision) -> None:
        if before is None or before.sentence != decision.sentence:
            log.info("%s: %s", record.full_name, decision.sentence, extra={"pod": record.full_name})

    def _look_again(self, uid: str, s: Snapshot, decision: Decision) -> None:
        times = [t for t in (decision.look_at, lifecycle.deadline_at(s)) if t is not None]
        if times and decision.phase is not Phase.TERMINATED:
            self.turns.wake_at(uid, min(times))

    def _gone(self, record: Record) -> None:
        """Its end is complete. One that nobody wants is forgotten, and its name is free."""
        self._prober.forget(record.uid)
        self._backoff.forget(record.uid)
        if record.wanted:
            return
        with self._lock:
            self._records.pop(record.uid, None)
            if record.successor:
                self._records[record.uid] = Record(record.successor, record.source)
            heirs = [u for u, r in self._records.items() if r.full_name == record.full_name]
        self._on_gone(record.pod)
        for uid in heirs:
            self.turns.wake(uid)

    # -- acting ---------------------------------------------------------------------------------

    def _begin(self, record: Record, action: Action) -> None:
        interrupted = Interrupt()
        record.busy[action.key] = interrupted
        work = Work(record.pod, record.runtime, record.mounted or {}, interrupted)

        def task() -> None:
            try:
                result = self._performer.perform(action, work)
            except PykubeletError as error:
                self._failed(record, action, error)
            except Exception as error:
                log.exception("%s: %s", record.full_name, action)
                self._failed(record, action, StepFailed("InternalError", repr(error)))
            else:
                self._succeeded(record, action, result)
            self.turns.wake(record.uid)

        self.turns.task(task)

    def _succeeded(self, record: Record, action: Action, result: Any) -> None:
        with self._lock:
            record.busy.pop(action.key, None)
            record.succeed(action)
            match action:
                case Prepare():
                    record.mounted = result
                case StopSandbox(sandbox=sandbox):
                    record.stopped.add(sandbox)
                case ResizeContainer(name=name):
                    record.resized[name] = result
                case Release():
                    record.released = True

    def _failed(self, record: Record, action: Action, error: PykubeletError) -> None:
        with self._lock:
            record.busy.pop(action.key, None)
            if isinstance(error, NameReserved) and isinstance(action, RunSandbox):
                record.attempt_floor = action.attempt + 1
            now = self._clock.monotonic()
            until = getattr(error, "until", None)
            if until is None:
                tries = min(record.tries.get(action.key, 0), 10)
                until = now + min(_RETRY_FIRST * 2**tries, _RETRY_MOST)
            reason = getattr(error, "reason", type(error).__name__)
            message = getattr(error, "message", str(error))
            record.fail(action, reason, message, until)
