"""Keeps the node out of trouble: looks, decides, reclaims, and if that isn't enough evicts one pod.

The adapter around `eviction`: it holds the state between two looks and calls what it was given to
reclaim and to evict with. `turn` is one look; `run` looks whenever `pressure.Alarm` says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pykubelet.clock import Clock, SystemClock
from pykubelet.kubelet.node import eviction, figures, storage_limits
from pykubelet.kubelet.node.eviction import Eviction, Observations, State, Threshold
from pykubelet.kubelet.node.pressure import PERIOD, Alarm

log = logging.getLogger(__name__)

Json = dict[str, Any]

#: Seconds that the size of a pod's volumes is believed: measuring it walks them.
STORAGE_PERIOD = 60.0

#: Seconds that an evicted pod has to free what it holds before the next one goes too.
LEAVING = 30.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says of evictions."""

    thresholds: tuple[Threshold, ...] = ()
    transition: float = eviction.TRANSITION
    max_pod_grace: int = 0
    watch_storage_limits: bool = True


class Node(Protocol):
    """What the agent lends the evictor."""

    def active_pods(self) -> Iterable[Json]:
        """Pods that run or may yet."""

    def measure(self, pods: Iterable[Json]) -> Mapping[str, figures.Pod]:
        """Their figures by UID. Called only when they are needed."""

    def reclaim(self, resource: str) -> None:
        """Free what can be freed without hurting a pod: dead containers, unused images."""

    def evict(self, pod: Eviction) -> None:
        """End the pod, Failed with reason Evicted. Need not wait for the end."""


class Evictor:
    """`observe` is `pressure.Observer.observe`; `on_change` is called when the node's pressure
    conditions have changed."""

    def __init__(
        self,
        node: Node,
        observe: Callable[[], Observations],
        rules: Rules,
        *,
        clock: Clock | None = None,
        on_change: Callable[[frozenset[str]], None] = lambda pressures: None,
    ) -> None:
        self.rules = rules
        self.evictions: dict[str, int] = {}  # by signal, for the metrics
        self._node = node
        self._observe = observe
        self._clock = clock or SystemClock()
        self._on_change = on_change
        self._state = State()
        self._pressures: frozenset[str] = frozenset()
        self._said = ""
        self._leaving: dict[str, float] = {}  # by UID: until when others are spared for it
        self._storage_due = 0.0

    @property
    def pressures(self) -> frozenset[str]:
        """The pressure conditions in force, for `conditions` and `eviction.refusal`."""
        return self._pressures

    def run(self, stop: threading.Event, alarm: Alarm, period: float = PERIOD) -> None:
        """Look every `period` seconds, or earlier under pressure, until `stop` is set and the alarm
        rung."""
        while not stop.is_set():
            try:
                self.turn()
            except Exception:
                log.exception("looking for pressure failed")
            if alarm.wait(period) and not stop.is_set():
                stop.wait(1.0)  # a trigger may fire again at once

    def turn(self) -> list[Eviction]:
        """One look; the evictions begun."""
        now = self._clock.monotonic()
        observed = self._observe()
        decision = eviction.decide(
            self._state, self.rules.thresholds, observed, now, self.rules.transition
        )
        self._state = decision.state
        self._say(decision.threshold.signal if decision.threshold else "", decision.sentence)
        if decision.pressures != self._pressures:
            self._pressures = decision.pressures
            self._on_change(decision.pressures)
        evicted = self._over_limit(now)
        if not evicted and decision.threshold:
            evicted = self._relieve(decision.threshold, observed)
        return evicted

    def _relieve(self, threshold: Threshold, observed: Observations) -> list[Eviction]:
        resource = eviction.SIGNALS[threshold.signal][1]
        if resource in (eviction.DISK, eviction.INODES):
            self._node.reclaim(resource)
            observed = self._observe()
            if eviction.satisfied(self.rules.thresholds, observed):
                log.info("%s reclaimed without evicting a pod", resource)
                return []
        pods = self._staying()
        if any(until > self._clock.monotonic() for until in self._leaving.values()):
            return []  # one is on its way out: what it frees is not seen yet
        chosen = eviction.choose(
            threshold, pods, self._node.measure(pods), observed, self.rules.max_pod_grace
        )
        if chosen is None:
            self._say("nobody", f"{resource} is short, and no pod may be evicted for it")
            return []
        return [self._evict(chosen)]

    def _over_limit(self, now: float) -> list[Eviction]:
        if not self.rules.watch_storage_limits or now < self._storage_due:
            return []
        watched = [pod for pod in self._staying() if storage_limits.watched(pod)]
        if not watched:
            return []
        self._storage_due = now + STORAGE_PERIOD
        found = storage_limits.over_limit(watched, self._node.measure(watched))
        return [self._evict(each) for each in found]

    def _staying(self) -> list[Json]:
        pods = {pod["metadata"]["uid"]: pod for pod in self._node.active_pods()}
        self._leaving = {uid: until for uid, until in self._leaving.items() if uid in pods}
        return [pod for uid, pod in pods.items() if uid not in self._leaving]

    def _evict(self, chosen: Eviction) -> Eviction:
        log.warning("pod %s is evicted: %s", chosen.uid, chosen.message.strip())
        self._leaving[chosen.uid] = self._clock.monotonic() + chosen.grace + LEAVING
        self.evictions[chosen.signal] = self.evictions.get(chosen.signal, 0) + 1
        self._node.evict(chosen)
        return chosen

    def _say(self, about: str, sentence: str) -> None:
        """Once for each thing that is short, whatever its figures do meanwhile."""
        if about != self._said:
            log.log(logging.WARNING if about else logging.INFO, "%s", sentence)
        self._said = about
