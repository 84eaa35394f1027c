"""Virtual time: threads that sleep in no time at all, one running at a moment, always in the same
order.

Code under test that blocks (an action that takes 30 seconds of grace) runs in a thread of its own,
but only while the scheduler lets it; `sleep` hands back until the virtual clock has got there. So a
day passes in a second, and the same seed gives the same day.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable


class Dead(BaseException):
    """Raised inside a thread whose group was killed, wherever it sleeps."""


class VirtualTime:
    """A `Clock`. `epoch` is the wall time at virtual second 0."""

    def __init__(self, epoch: float = 1_700_000_000.0) -> None:
        self.now = 0.0
        self._epoch = epoch
        self._number = itertools.count()
        self._queue: list[tuple[float, int, object, Callable[[], None]]] = []
        self._current: _Thread | None = None
        self._parked: set[_Thread] = set()
        self._killed: set[object] = set()

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self._epoch + self.now

    def at(self, when: float, work: Callable[[], None], group: object = None) -> None:
        """Call `work`, which must not sleep, at virtual second `when`."""
        heapq.heappush(self._queue, (max(when, self.now), next(self._number), group, work))

    def spawn(self, work: Callable[[], None], group: object = None) -> None:
        """Run `work`, which may sleep, from now on."""
        self.at(self.now, lambda: self._resume(_Thread(self, work, group)), group)

    def sleep(self, seconds: float) -> None:
        thread = self._current
        assert thread is not None, "only spawned work may sleep"
        self._parked.add(thread)
        self.at(self.now + seconds, lambda: self._resume(thread), thread.group)
        thread.park()

    def kill(self, group: object) -> None:
        """End everything of a group at once, as kill -9 ends a process."""
        self._killed.add(group)
        for thread in [t for t in self._parked if t.group is group]:
            self._resume(thread)

    def run(self, until: float) -> None:
        """Let virtual time pass. Raises what spawned work raised."""
        while self._queue and self._queue[0][0] <= until:
            when, _, group, work = heapq.heappop(self._queue)
            if group is None or group not in self._killed:
                self.now = when
                work()
        self.now = until

    def _resume(self, thread: _Thread) -> None:
        self._parked.discard(thread)
        before, self._current = self._current, thread
        thread.resume(dead=thread.group is not None and thread.group in self._killed)
        self._current = before
        if thread.error is not None:
            raise thread.error


class _Thread:
    def __init__(self, time: VirtualTime, work: Callable[[], None], group: object) -> None:
        self.group = group
        self.error: BaseException | None = None
        self._work = work
        self._dead = False
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._work()
        except Dead:
            pass
        except BaseException as error:  # noqa: BLE001 - goes to the scheduler
            self.error = error
        self._back.release()

    def resume(self, dead: bool) -> None:
        self._dead = dead
        self._go.release()
        self._back.acquire()

    def park(self) -> None:
        self._back.release()
        self._go.acquire()
        if self._dead:
            raise Dead
