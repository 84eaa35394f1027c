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

from pykubelet.clock import Clock, SystemClock, from_rfc3339, rfc3339
from pykubelet.errors import Failed, PykubeletError
from pykubelet.kubelet.pods import lifecycle, restart, spec, status
from pykubelet.kubelet.pods.backoff import Backoff
from pykubelet.kubelet.pods.container_status import Facts
from pykubelet.kubelet.pods.memory import Memory
from pykubelet.kubelet.pods.perform import Performer
from pykubelet.kubelet.pods.records import Record
from pykubelet.kubelet.pods.roster import Roster
from pykubelet.kubelet.pods.snapshot import (
    Action,
    Decision,
    Phase,
    Prepare,
    Release,
    ResizeContainer,
    RunSandbox,
    Snapshot,
    StartContainer,
    StopSandbox,
    Underway,
    Verdict,
    start_key,
)
from pykubelet.kubelet.pods.tools import NameTaken, StepFailed, Work
from pykubelet.kubelet.probes.manager import Probes
from pykubelet.kubelet.probes.schedule import RunningContainer
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
        memory: Memory,
        *,
        admit: Callable[[Json, list[Json]], Verdict | None],
        host_ips: Callable[[], tuple[str, ...]],
        on_status: Callable[[Json, Json], None],
        on_gone: Callable[[Json], None] = lambda pod: None,
        backoff: Backoff | None = None,
        clock: Clock | None = None,
        runtime_name: str = "containerd",
        expected_sources: frozenset[str] = frozenset({"file"}),
        turns: Callable[[Callable[[str], None]], Turns] = Turns,
    ) -> None:
        self._runtime = runtime
        self._performer = performer
        self._prober = prober
        self._memory = memory
        self._admit = admit
        self._host_ips = host_ips
        self._on_status = on_status
        self._on_gone = on_gone
        self._backoff = backoff or Backoff()
        self._clock = clock or SystemClock()
        self._runtime_name = runtime_name
        self._lock = threading.RLock()
        self._roster = Roster(memory.recall, expected_sources)
        self.turns = turns(self._turn)

    # -- what is wanted -------------------------------------------------------------------------

    def want(self, source: str, pods: Iterable[Json]) -> None:
        """These, and no others, are the pods that `source` wants from now on."""
        with self._lock:
            first = not self._roster.complete
            touched = self._roster.want(source, pods, self._clock.monotonic())
            if first and self._roster.complete:
                self._memory.forget_all_but(self._roster.records)
        for uid in touched:
            self.turns.wake(uid)

    def end(self, uid: str, verdict: Verdict) -> None:
        """End a pod that is still wanted: evicted, preempted."""
        with self._lock:
            begun = self._roster.end(uid, verdict, self._clock.monotonic())
        if begun:
            self.turns.wake(uid)

    def relist(self) -> None:
        """Look at everything again: what the runtime has, and what is known."""
        with self._lock:
            uids = set(self._roster.records)
        try:
            uids |= set(self._runtime.pods())
        except Failed as error:
            log.debug("can't list pods: %s", error)  # each pod's own turn says so
        for uid in uids:
            self.turns.wake(uid)

    def changed(self, uid: str) -> None:
        """Something may have changed about this pod, or about any where `uid` is empty: look."""
        if uid:
            self.turns.wake(uid)
        else:
            self.turns.task(self.relist)

    def try_again(self, uid: str) -> None:
        """What its steps failed by may have changed: don't wait for the back-off."""
        with self._lock:
            record = self._roster.records.get(uid)
            if record is None or not record.failures:
                return
            record.retry()
        self.turns.wake(uid)

    # -- what there is --------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """Every record, to be read only."""
        with self._lock:
            return list(self._roster.records.values())

    def pod(self, uid: str) -> Json | None:
        """The pod with its status as last composed."""
        with self._lock:
            record = self._roster.records.get(uid)
            return {**record.pod, "status": record.status} if record else None

    def active_pods(self) -> list[Json]:
        """Specs of all pods that hold resources of the node."""
        with self._lock:
            return self._roster.holders()

    def sources_ready(self) -> bool:
        """Every source has spoken at least once, so that what is not known is not wanted."""
        with self._lock:
            return self._roster.complete

    # -- a turn ---------------------------------------------------------------------------------

    def _turn(self, uid: str) -> None:
        with self._lock:
            known = self._roster.records.get(uid)
            # What ends during the look at the runtime may or may not show in what it finds.
            busy = dict(known.busy) if known else {}
        try:
            runtime = self._runtime.pods(uid).get(uid) or PodRuntime(uid)
        except Failed as error:
            self._runtime_silent(uid, error)
            return
        with self._lock:
            record = self._roster.records.get(uid) or self._adopt(runtime)
            if record is None:
                return
            record.runtime = runtime
            record.count_lost()
            record.prune()
            if record.silent:
                record.silent = False
                record.retry()
            self._admit_once(record)
        if not record.released:
            self._probe(record)
        self._read_messages(record)
        with self._lock:
            s = self._judge(record, busy)
            decision = lifecycle.decide(s)
            before, record.decision = record.decision, decision
            record.snapshot = s
            for action in decision.actions:
                self._begin(record, action)
            # Compose after the actions have begun: what is under way shows as such.
            composed = status.compose(
                self._snapshot(record, busy), self._facts(record, s), record.status
            )
            # A status remembered from before a restart is told again: others may have missed it.
            moved, record.status = composed != record.status or before is None, composed
            gone = decision.phase is Phase.TERMINATED and not record.terminated
            record.terminated = decision.phase is Phase.TERMINATED
        self._say(record, before, decision)
        if moved:
            self._publish(record, composed)
        if gone:
            self._gone(record)
        self._look_again(uid, s, decision)

    def _judge(self, record: Record, busy: dict[str, Underway]) -> Snapshot:
        """The snapshot, once the pod's end is noted where it has come of itself."""
        s = self._snapshot(record, busy)
        if not record.wanted or record.verdict or record.ended:
            return s
        record.verdict = lifecycle.overdue(s)
        record.ended = "" if record.verdict else lifecycle.outcome(s)
        if not record.verdict and not record.ended:
            return s
        record.terminate(s.now)
        return self._snapshot(record, busy)

    def _runtime_silent(self, uid: str, error: Failed) -> None:
        with self._lock:
            record = self._roster.records.get(uid)
            if record is None:
                return
            record.silent = True
            phase = record.decision.phase if record.decision else Phase.WAITING
            before = record.decision
            record.decision = Decision(phase, f"the runtime does not answer: {error}")
            if record.snapshot is None:
                # Nothing was seen of it yet, but a person may ask.
                record.snapshot = s = self._snapshot(record, {})
                record.status = status.compose(s, self._facts(record, s), record.status)
        self._say(record, before, record.decision)
        self.turns.wake_at(uid, self._clock.monotonic() + _RETRY_FIRST)

    def _adopt(self, runtime: PodRuntime) -> Record | None:
        record = self._roster.adopt(runtime, self._clock.monotonic())
        if record:
            log.info("%s: runs, but nothing wants it any more", record.full_name)
        return record

    def _admit_once(self, record: Record) -> None:
        if not record.wanted or self._roster.predecessor(record):
            return
        now, wall = self._clock.monotonic(), self._clock.wall()
        if not record.admitted and not record.verdict:
            if not record.runtime.sandboxes:
                record.verdict = self._admit(record.pod, self._roster.holders())
                if record.verdict:
                    record.terminate(now)
                    return
            record.admitted = True
        if record.admitted and record.active_since is None:
            began = min([b.created_at / 1e9 for b in record.runtime.sandboxes] or [wall])
            if record.start_time:
                began = from_rfc3339(record.start_time)
            record.active_since = now - max(0.0, wall - began)
            record.start_time = record.start_time or rfc3339(began)

    def _snapshot(self, record: Record, busy: dict[str, Underway]) -> Snapshot:
        """As things are now; `busy` is what was under way before the runtime was looked at."""
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
            ended=record.ended,
            predecessor=self._roster.predecessor(record),
            prepared=record.mounted is not None,
            busy={**busy, **record.busy},
            failures=dict(record.failures),
            restart_at=self._restarts(record, now),
            health=self._prober.results(record.uid),
            stopped=frozenset(record.stopped),
            replaced=frozenset(record.replaced),
            sandbox_floor=record.sandbox_floor,
            container_floors=dict(record.container_floors),
            released=record.released,
            removed=record.removed,
            resize=self._performer.wanted_resizes(record.pod, record.runtime, record.resized),
        )

    def _restarts(self, record: Record, now: float) -> dict[str, float]:
        """By container name: the instant before which it is not started again."""
        result: dict[str, float] = {}
        policy = spec.restart_policy(record.pod)
        for kind, container in spec.containers(record.pod):
            latest = record.runtime.latest(container["name"])
            if latest is None or latest.state is not ContainerState.EXITED:
                continue
            if not restart.comes_back(policy, kind, container, latest, record.replaced):
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
        """Have exactly what runs of this pod probed, each once its postStart hook is over."""
        running = {
            c.name: RunningContainer(c.id, c.started_at, *record.last_known(c.id))
            for c in reversed(record.runtime.containers)
            if c.state is ContainerState.RUNNING and start_key(c.name) not in record.busy
        }
        sandbox = record.runtime.sandbox
        ips = self._host_ips() if spec.host_network(record.pod) else sandbox.ips if sandbox else ()
        stopping = not record.wanted or record.verdict is not None or bool(record.ended)
        self._prober.sync(record.pod, running, ips[0] if ips else None, stopping=stopping)

    def _read_messages(self, record: Record) -> None:
        """Termination messages of containers that have ended since the last turn."""
        for container in record.runtime.containers:
            if container.state is ContainerState.EXITED and container.id not in record.messages:
                message = self._performer.termination_message(record.pod, container)
                record.messages[container.id] = message

    def _say(self, record: Record, before: Decision | None, decision: Decision) -> None:
        if before is None or before.sentence != decision.sentence:
            log.info(
                "%s: %s",
                record.full_name,
                decision.sentence,
                extra={"pod": record.full_name, "uid": record.uid},
            )

    def _publish(self, record: Record, composed: Json) -> None:
        if record.admitted:
            self._memory.keep(record.uid, composed)
        self._on_status(record.pod, composed)

    def _look_again(self, uid: str, s: Snapshot, decision: Decision) -> None:
        times = [t for t in (decision.look_at, lifecycle.deadline_at(s)) if t is not None]
        later = [t for t in times if t > s.now]
        if later and decision.phase is not Phase.TERMINATED:
            self.turns.wake_at(uid, min(later))

    def _gone(self, record: Record) -> None:
        """Its end is complete. One that nobody wants is forgotten, and its name is free."""
        self._prober.forget(record.uid)
        self._backoff.forget(record.uid)
        if record.wanted:
            return
        self._memory.forget(record.uid)
        with self._lock:
            heirs = self._roster.gone(record)
        self._on_gone(record.pod)
        for uid in heirs:
            self.turns.wake(uid)

    # -- acting ---------------------------------------------------------------------------------

    def _begin(self, record: Record, action: Action) -> None:
        interrupt = record.begin(action, self._clock.monotonic())
        work = Work(record.pod, record.runtime, record.mounted or {}, interrupt)

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
            record.over(action)
            record.succeed(action)
            match action:
                case Prepare():
                    record.mounted = result
                case StopSandbox(sandbox=sandbox):
                    record.stopped.add(sandbox)
                case ResizeContainer(container=container):
                    record.resized[container] = result
                case Release(remove=remove):
                    record.released = True
                    record.removed = record.removed or remove

    def _failed(self, record: Record, action: Action, error: PykubeletError) -> None:
        with self._lock:
            record.over(action)
            if isinstance(error, NameTaken):
                match action:
                    case RunSandbox(attempt=attempt):
                        record.sandbox_floor = attempt + 1
                    case StartContainer(name=name, attempt=attempt):
                        record.container_floors[name] = attempt + 1
            now = self._clock.monotonic()
            # Where the error does not say when, the step is tried again ever less often.
            until = getattr(error, "until", None)
            if not until:
                tries = min(record.tries.get(action.key, 0), 10)
                until = now + min(_RETRY_FIRST * 2**tries, _RETRY_MOST)
            reason = getattr(error, "reason", type(error).__name__)
            message = getattr(error, "message", str(error))
            record.fail(action, reason, message, until)
