"""Figures of the scheduler under upstream's names, in the text format of Prometheus."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from pykubelet.scheduler.brain import ERROR, SCHEDULED, Brain, Turn
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.queue import PLACES

_LATENCY = tuple(0.001 * 2**n for n in range(15))
_SLI = tuple(0.01 * 2**n for n in range(20))
_ATTEMPTS = (1, 2, 4, 8, 16)
_VICTIMS = (1, 2, 4, 8, 16, 32, 64)


class Histogram:
    def __init__(self, name: str, help_: str, bounds: Sequence[float]) -> None:
        self._name, self._help, self._bounds = name, help_, bounds
        self._counts: dict[str, list[int]] = {}
        self._sums: Counter[str] = Counter()

    def observe(self, value: float, labels: str = "") -> None:
        counts = self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] += value  # type: ignore[assignment]

    def lines(self) -> Iterator[str]:
        yield from _head(self._name, self._help, "histogram")
        for labels, counts in list(self._counts.items()):
            comma = "," if labels else ""
            total = 0
            for bound, count in zip((*self._bounds, None), counts, strict=True):
                total += count
                written = "+Inf" if bound is None else f"{bound:g}"
                yield f'{self._name}_bucket{{{labels}{comma}le="{written}"}} {total}'
            yield f"{self._name}_sum{_braced(labels)} {self._sums[labels]:g}"
            yield f"{self._name}_count{_braced(labels)} {total}"


class Metrics:
    """Written by the loop, read by the server; single figures are replaced whole."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._brain: Brain | None = None
        self.leads = False
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._preemptions = 0
        self._deciding = Histogram(
            "scheduler_scheduling_algorithm_duration_seconds",
            "Seconds that decisions took",
            _LATENCY,
        )
        self._whole = Histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "Seconds from the beginning of a try to its end, binding included",
            _LATENCY,
        )
        self._sli = Histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "Seconds from a pod's coming to its having a node",
            _SLI,
        )
        self._tries = Histogram(
            "scheduler_pod_scheduling_attempts", "Tries until a pod had a node", _ATTEMPTS
        )
        self._victims = Histogram(
            "scheduler_preemption_victims", "Pods chosen to leave, per preemption", _VICTIMS
        )
        self._begun: dict[str, tuple[Turn, float]] = {}

    def watch(self, brain: Brain | None) -> None:
        """Whose queue and cache are shown; None while somebody else leads."""
        with self._lock:
            self._brain = brain
            self.leads = brain is not None
            self._begun.clear()

    def decided(self, turn: Turn, took: float, began: float) -> None:
        profile = turn.pod.scheduler
        with self._lock:
            self._deciding.observe(took)
            if turn.victims is not None:
                self._preemptions += 1
                if turn.victims:
                    self._victims.observe(turn.victims)
            if turn.result == SCHEDULED:
                self._begun[turn.pod.key] = turn, began
                return
            self._attempts[turn.result, profile] += 1
            labels = f'profile="{profile}",result="{turn.result}"'
            self._whole.observe(took, labels)

    def bound(self, pod: PodInfo, now: float | None = None) -> None:
        import time

        now = time.monotonic() if now is None else now
        with self._lock:
            self._attempts[SCHEDULED, pod.scheduler] += 1
            known = self._begun.pop(pod.key, None)
            if known is not None:
                turn, began = known
                labels = f'profile="{pod.scheduler}",result="{SCHEDULED}"'
                self._whole.observe(now - began, labels)
                self._tries.observe(turn.attempts)
                self._sli.observe(now - turn.since, f'attempts="{min(turn.attempts, 15)}"')

    def failed(self, pod: PodInfo) -> None:
        with self._lock:
            self._attempts[ERROR, pod.scheduler] += 1
            self._begun.pop(pod.key, None)

    def text(self) -> str:
        with self._lock:
            return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        name = "scheduler_schedule_attempts_total"
        yield from _head(name, "Tries to find a node for a pod, by what came of them", "counter")
        for (result, profile), count in sorted(self._attempts.items()):
            yield f'{name}{{profile="{profile}",result="{result}"}} {count}'
        name = "scheduler_preemption_attempts_total"
        yield from _head(name, "Tries to make room by preemption", "counter")
        yield f"{name} {self._preemptions}"
        for histogram in (self._deciding, self._whole, self._sli, self._tries, self._victims):
            yield from histogram.lines()
        yield from self._gauges()

    def _gauges(self) -> Iterator[str]:
        brain = self._brain
        counts: dict[str, int] = dict(brain.queue.counts) if brain else {}
        name = "scheduler_pending_pods"
        yield from _head(name, "Pods without a node, by the queue that they are in", "gauge")
        for place in PLACES:
            yield f'{name}{{queue="{place}"}} {counts.get(place, 0)}'
        name = "scheduler_cache_size"
        yield from _head(name, "What the scheduler knows", "gauge")
        for kind, size in (brain.view.sizes() if brain else {}).items():
            yield f'{name}{{type="{kind}"}} {size}'
        name = "leader_election_master_status"
        yield from _head(name, "1 if this scheduler leads", "gauge")
        yield f'{name}{{name="kube-scheduler"}} {int(self.leads)}'


def _head(name: str, help_: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {help_}."
    yield f"# TYPE {name} {kind}"


def _braced(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""
