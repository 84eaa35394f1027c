"""Which pod is to be decided next, and when a pod that found no node is tried again.

Pure: time (monotonic seconds) comes in as an argument. A pod is in one of these places:

- *active*: by priority, then by age.
- *backoff*: tried and failed not long ago; ready after 1 s, doubling with each try up to 10 s.
- *unschedulable*: no node does. It costs nothing there until an `Event` matters to the plugins that
  rejected it; pods of one template rejected by the same plugins wait as one group, so an event is
  weighed once for all of them. After 5 minutes a pod is tried anyway.
- *gated*: it has scheduling gates.

Source: KEP-4247 (queueing hints), KEP-3521 (scheduling gates).
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pykubelet.scheduler.framework import Event
from pykubelet.scheduler.pods import PodInfo, Template

Hint = Callable[[PodInfo, frozenset[str], Event], bool]
"""Whether an event may help a pod that these plugins rejected."""

ACTIVE, BACKOFF, UNSCHEDULABLE, GATED = "active", "backoff", "unschedulable", "gated"
PLACES = (ACTIVE, BACKOFF, UNSCHEDULABLE, GATED)


Group = tuple[Template, int, frozenset[str]]
"""Template, priority, and who rejected it."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A pod in the queue, or taken out of it to be decided."""

    pod: PodInfo
    added: float
    """When it last came to the queue from outside or from a try; orders pods of one priority."""
    since: float
    """When it was first seen."""
    number: int
    place: str = ACTIVE
    attempts: int = 0
    tried: float = 0.0
    rejected_by: frozenset[str] = frozenset()
    group: Group = field(init=False)
    """Where it is while it is unschedulable."""


class SchedulingQueue:
    def __init__(
        self,
        hint: Hint,
        *,
        first_backoff: float = 1.0,
        longest_backoff: float = 10.0,
        longest_wait: float = 300.0,
    ) -> None:
        self._hint = hint
        self._first = first_backoff
        self._longest = longest_backoff
        self._longest_wait = longest_wait
        self._pods: dict[str, Waiting] = {}
        self._active: list[tuple[int, float, int, Waiting]] = []
        self._backoff: list[tuple[float, int, Waiting]] = []
        self._groups: dict[Group, dict[str, Waiting]] = {}
        self._overdue: list[tuple[float, int, Waiting]] = []
        self._number = itertools.count()
        self.counts: Counter[str] = Counter(dict.fromkeys(PLACES, 0))
        """How many pods are in each place."""

    def __contains__(self, key: str) -> bool:
        return key in self._pods

    def get(self, key: str) -> Waiting | None:
        return self._pods.get(key)

    # -- in --------------------------------------------------------------------------------------

    def add(self, pod: PodInfo, now: float, gated: bool = False) -> None:
        """A pod that was not known."""
        waiting = Waiting(pod, now, now, next(self._number), place="")
        self._pods[pod.key] = waiting
        self._put(waiting, GATED if gated else ACTIVE, now)

    def update(self, pod: PodInfo, now: float, gated: bool = False) -> None:
        """A pod that is in the queue has changed: what it asks for decides what follows."""
        waiting = self._pods.get(pod.key)
        if waiting is None or waiting.pod.uid != pod.uid:
            if waiting is not None:
                self.drop(pod.key)
            self.add(pod, now, gated)
            return
        old = waiting.pod
        if waiting.place == UNSCHEDULABLE and old.template is not pod.template:
            self._leave(waiting)
            waiting.pod = pod
            self._put(waiting, self._after_failure(waiting, now), now)
            return
        waiting.pod = pod
        if gated != (waiting.place == GATED) and waiting.place in (GATED, ACTIVE):
            self._leave(waiting)
            self._put(waiting, GATED if gated else ACTIVE, now)
        elif waiting.place == ACTIVE and old.priority != pod.priority:
            self._leave(waiting)
            self._put(waiting, ACTIVE, now)

    def failed(self, waiting: Waiting, rejected_by: frozenset[str], now: float) -> None:
        """No node did. An empty `rejected_by`: whatever happens may help."""
        waiting.rejected_by = rejected_by
        waiting.tried = now
        self._back(waiting, UNSCHEDULABLE, now)

    def retry(self, waiting: Waiting, now: float) -> None:
        """It went wrong for a reason that is none of the pod's: again, after the back-off."""
        waiting.rejected_by = frozenset()
        waiting.tried = now
        self._back(waiting, BACKOFF, now)

    def drop(self, key: str) -> Waiting | None:
        """The pod is gone, or has a node."""
        waiting = self._pods.pop(key, None)
        if waiting is not None:
            self._leave(waiting)
        return waiting

    # -- out -------------------------------------------------------------------------------------

    def pop(self, now: float) -> Waiting | None:
        """The next pod to decide; it is out of the queue, but `get` still knows it until `drop`."""
        self.flush(now)
        while self._active:
            waiting = heapq.heappop(self._active)[3]
            if waiting.place == ACTIVE and self._pods.get(waiting.pod.key) is waiting:
                self._leave(waiting)
                waiting.attempts += 1
                return waiting
        return None

    def flush(self, now: float) -> None:
        """Move those whose time has come."""
        while self._backoff and self._backoff[0][0] <= now:
            waiting = heapq.heappop(self._backoff)[2]
            if waiting.place == BACKOFF and self._ready_at(waiting) <= now:
                self._leave(waiting)
                self._put(waiting, ACTIVE, now)
        while self._overdue and self._overdue[0][0] <= now:
            waiting = heapq.heappop(self._overdue)[2]
            if waiting.place == UNSCHEDULABLE and waiting.tried + self._longest_wait <= now:
                self._leave(waiting)
                self._put(waiting, self._after_failure(waiting, now), now)

    def due(self) -> float | None:
        """When `flush` may next have something to do; None for never. 0 if a pod is ready."""
        if self.counts[ACTIVE]:
            return 0.0
        times = [heap[0][0] for heap in (self._backoff, self._overdue) if heap]
        return min(times, default=None)

    def happened(self, event: Event, now: float) -> int:
        """Move the pods that an event may help; how many."""
        moved = 0
        for group, members in list(self._groups.items()):
            plugins = group[2]
            some = next(iter(members.values()))
            if not self._hint(some.pod, plugins, event):
                continue
            for waiting in list(members.values()):
                self._leave(waiting)
                self._put(waiting, self._after_failure(waiting, now), now)
                moved += 1
        return moved

    def activate(self, key: str, now: float) -> None:
        """Try a pod again without waiting for an event."""
        waiting = self._pods.get(key)
        if waiting is not None and waiting.place == UNSCHEDULABLE:
            self._leave(waiting)
            self._put(waiting, self._after_failure(waiting, now), now)

    def backoff(self, attempts: int) -> float:
        """Seconds to wait after so many tries."""
        return float(min(self._first * 2 ** max(min(attempts, 64) - 1, 0), self._longest))

    # -- inside ----------------------------------------------------------------------------------

    def _ready_at(self, waiting: Waiting) -> float:
        return waiting.tried + self.backoff(waiting.attempts)

    def _after_failure(self, waiting: Waiting, now: float) -> str:
        return BACKOFF if waiting.attempts and self._ready_at(waiting) > now else ACTIVE

    def _back(self, waiting: Waiting, place: str, now: float) -> None:
        if self._pods.get(waiting.pod.key) is waiting and not waiting.place:
            self._put(waiting, place, now)

    def _put(self, waiting: Waiting, place: str, now: float) -> None:
        waiting.place = place
        self.counts[place] += 1
        number = next(self._number)
        if place == ACTIVE:
            waiting.added = now
            order = (-waiting.pod.priority, waiting.added, number, waiting)
            heapq.heappush(self._active, order)
        elif place == BACKOFF:
            heapq.heappush(self._backoff, (self._ready_at(waiting), number, waiting))
        elif place == UNSCHEDULABLE:
            group = waiting.group = _group(waiting)
            self._groups.setdefault(group, {})[waiting.pod.key] = waiting
            overdue = waiting.tried + self._longest_wait
            heapq.heappush(self._overdue, (overdue, number, waiting))

    def _leave(self, waiting: Waiting) -> None:
        if not waiting.place:
            return
        self.counts[waiting.place] -= 1
        if waiting.place == UNSCHEDULABLE:
            group = waiting.group
            members = self._groups[group]
            members.pop(waiting.pod.key, None)
            if not members:
                del self._groups[group]
        waiting.place = ""

    def pending(self) -> Iterable[Waiting]:
        return self._pods.values()


def _group(waiting: Waiting) -> Group:
    return waiting.pod.template, waiting.pod.priority, waiting.rejected_by
