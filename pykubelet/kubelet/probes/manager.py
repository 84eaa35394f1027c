"""Runs the probes of all pods: one thread that waits for the next due time, and a pool that asks.

The schedule decides, the handlers ask, this module holds the lock and the threads. While no pod has
a probe the timer thread sleeps without a timeout and the pool is empty. A probe that hangs occupies
one thread for at most its own timeout and delays nobody.

Neighbours: the lifecycle calls `sync` with every look at a pod and reads `results`; it is told by
`on_change` when a verdict has changed.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pykubelet.clock import Clock, SystemClock
from pykubelet.kubelet.probes import handlers
from pykubelet.kubelet.probes.exec import Exec
from pykubelet.kubelet.probes.metrics import Metrics
from pykubelet.kubelet.probes.pool import Pool
from pykubelet.kubelet.probes.schedule import ProbeResult, RunningContainer, Schedule, Task
from pykubelet.kubelet.probes.state import Outcome, sentence

Json = dict[str, Any]


class Probes:
    def __init__(
        self,
        exec: Exec,
        on_change: Callable[[str], None],
        clock: Clock | None = None,
        *,
        on_unhealthy: Callable[[str, str, str], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`on_change` gets the uid of a pod whose results have changed, on a thread of the pool.

        `on_unhealthy` gets uid, container name and the sentence of each answer that was no success:
        upstream's Unhealthy event.
        """
        self._exec, self._on_change, self._on_unhealthy = exec, on_change, on_unhealthy
        self._clock = clock or SystemClock()
        self._schedule = Schedule(self._clock.monotonic(), jitter)
        self._metrics = Metrics()
        self._changed = threading.Condition()
        self._pool = Pool("probe")
        self._timer: threading.Thread | None = None
        self._wake = float("inf")  # until when the timer sleeps
        self._stopped = False

    def start(self) -> None:
        self._timer = threading.Thread(target=self._run, name="probes", daemon=True)
        self._timer.start()

    def stop(self) -> None:
        """Ask nothing more. Answers on their way are dropped, not waited for."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._pool.stop()
        if self._timer:
            self._timer.join()

    def sync(
        self,
        pod: Json,
        running: Mapping[str, RunningContainer],
        pod_ip: str | None,
        *,
        stopping: bool = False,
    ) -> None:
        """Probe what runs of this pod, by container name, and nothing else of it.

        A new container id starts its probes afresh. `stopping` (or a deletionTimestamp) ends
        startup and liveness probes for good; readiness goes on to the end. Cheap when nothing
        changed; `pod_ip` may come later.
        """
        stopping = stopping or bool((pod.get("metadata") or {}).get("deletionTimestamp"))
        now, wall = self._clock.monotonic(), self._clock.wall()
        ages = {name: (c, now - max(0.0, wall - c.started_at / 1e9)) for name, c in running.items()}
        with self._changed:
            dropped = self._schedule.sync(pod, ages, pod_ip or "", stopping, now)
            self._forget(task for task in dropped if task.container not in running)
            due = self._schedule.next_due()
            if due is not None and due < self._wake:
                self._changed.notify_all()

    def results(self, uid: str) -> Mapping[str, ProbeResult]:
        """By name, of the containers that the last `sync` called running. One without probes is
        started, ready and live."""
        with self._changed:
            return self._schedule.results(uid)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        with self._changed:
            self._forget(self._schedule.forget(uid))

    def metrics(self) -> str:
        """What /metrics/probes answers."""
        with self._changed:
            return self._metrics.render()

    # -- threads ---------------------------------------------------------------------------------

    def _forget(self, tasks: Any) -> None:
        for task in tasks:
            self._metrics.forget(task.labels, task.spec.kind)

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                now = self._clock.monotonic()
                for task in self._schedule.take_due(now):
                    self._pool.submit(partial(self._ask, task))
                due = self._schedule.next_due()
                self._wake = float("inf") if due is None else due
                self._changed.wait(None if due is None else max(0.0, due - now))

    def _ask(self, task: Task) -> None:
        spec, target = task.spec, task.target
        begin = self._clock.monotonic()
        outcome, output = handlers.ask(spec, target, self._exec)
        now = self._clock.monotonic()
        with self._changed:
            if self._stopped or task.gone:
                return
            changed = self._schedule.answered(task, outcome, output, now)
            self._metrics.count(task.labels, spec.kind, outcome, now - begin)
            due = self._schedule.next_due()
            if due is not None and due < self._wake:
                self._changed.notify_all()
        if outcome is not Outcome.SUCCESS and self._on_unhealthy:
            self._on_unhealthy(task.uid, task.container, sentence(spec.kind, outcome, output))
        if changed:
            self._on_change(task.uid)
