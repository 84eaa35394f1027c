"""The host goes down: pods end first, those that matter least before those that matter most.

`daemon.logind` holds the shutdown back and tells of it. From then on the node is not ready, takes
no pod, and ends those it has group by group; a group gets its seconds and no more. What is decided
is decided by `groups`, purely. Source: "Node Shutdowns" in the documentation, KEP-2000, KEP-2712.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pykubelet.errors import Failed
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.manager import PodManager
from pykubelet.kubelet.pods.snapshot import Verdict

log = logging.getLogger(__name__)

Json = dict[str, Any]

ENDED = "Pod was terminated in response to imminent node shutdown."
REFUSED = Verdict("NodeShutdown", "Pod was rejected as the node is shutting down.")

#: Seconds between two attempts to hear of shutdowns, and between two looks at pods that end.
_RETRY, _LOOK = 10.0, 0.2


@dataclass(frozen=True, slots=True)
class Class:
    """Pods of at least this priority, up to the next class's, get so many seconds."""

    priority: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Group:
    seconds: float
    pods: tuple[Json, ...]


def classes(config: Configuration) -> tuple[Class, ...]:
    """As configured, the lowest priority first; none where nobody is waited for."""
    written = config.shutdown_grace_period_by_pod_priority
    if written:
        found = [Class(c["priority"], float(c["shutdownGracePeriodSeconds"])) for c in written]
        return tuple(sorted(found, key=lambda each: each.priority))
    whole, critical = config.shutdown_grace_period, config.shutdown_grace_period_critical_pods
    if not whole:
        return ()
    return Class(0, whole - critical), Class(spec.SYSTEM_CRITICAL_PRIORITY, critical)


def groups(of: Sequence[Class], pods: Iterable[Json]) -> list[Group]:
    """The pods in the order in which they end. A pod below every class is in the lowest."""
    members: list[list[Json]] = [[] for _ in of]
    for pod in pods:
        priority = pod["spec"].get("priority") or 0
        reached = [n for n, each in enumerate(of) if each.priority <= priority]
        members[reached[-1] if reached else 0].append(pod)
    return [Group(c.seconds, tuple(m)) for c, m in zip(of, members, strict=True) if m]


def grace(group: Group, pod: Json) -> int:
    """Seconds between asking and killing: the pod's own wish, within its group's time."""
    return min(spec.grace_seconds(pod), int(group.seconds))


class Shutdown:
    """`on_change` is called when `underway` has changed."""

    def __init__(
        self, config: Configuration, manager: PodManager, on_change: Callable[[], None]
    ) -> None:
        self._classes = classes(config)
        self._manager = manager
        self._on_change = on_change
        self._stop = threading.Event()
        self._release: Callable[[], None] = lambda: None
        self.underway = False

    @property
    def wanted(self) -> bool:
        return bool(self._classes)

    def start(self) -> None:
        """Nothing is done where the configuration gives pods no time."""
        if self.wanted:
            threading.Thread(target=self._run, name="shutdown", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        self._release()

    def refusal(self, pod: Json) -> Verdict | None:
        return REFUSED if self.underway else None

    def _run(self) -> None:
        said = ""
        while not self._stop.is_set():
            try:
                self._listen()
                said = ""
            except Failed as error:
                if str(error) != said:
                    log.warning("a shutdown of the host won't wait for pods: %s", error)
                said = str(error)
            self._stop.wait(_RETRY)

    def _listen(self) -> None:
        """Hold the host back until it wants to go down; then end the pods and let it go."""
        from pykubelet.kubelet.daemon import logind

        self._announced(logind.preparing())
        if self.underway:
            return
        inhibitor = logind.Inhibitor("pykubelet", sum(each.seconds for each in self._classes))
        self._release = inhibitor.release
        for begins in inhibitor.hold():
            self._announced(begins)
            if begins:
                inhibitor.release()

    def _announced(self, begins: bool) -> None:
        if begins == self.underway:
            return
        self.underway = begins
        log.warning("the host %s", "shuts down: pods end" if begins else "does not shut down")
        self._on_change()
        if begins:
            self.end_pods()

    def end_pods(self) -> None:
        """Group by group; returns when all are gone, or the time is over."""
        running = [r.pod for r in self._manager.records() if r.admitted and not r.terminated]
        for group in groups(self._classes, running):
            uids = {spec.uid(pod) for pod in group.pods}
            for pod in group.pods:
                self._manager.end(spec.uid(pod), Verdict("Terminated", ENDED, grace(group, pod)))
            deadline = time.monotonic() + group.seconds
            while self._left(uids) and time.monotonic() < deadline:
                self._stop.wait(_LOOK)
            left = self._left(uids)
            if left:
                log.warning("after %.0f s not ended: %s", group.seconds, ", ".join(sorted(left)))

    def _left(self, uids: set[str]) -> set[str]:
        records = self._manager.records()
        return {r.full_name for r in records if r.uid in uids and not r.terminated}
