"""Who does a daemon's work: turns by key, tasks beside them, and timers, on few threads.

A *key* (a pod's UID, an object's name) has at most one turn running at any time; waking it while
its turn runs makes one more turn follow. Threads are made when work is there and end after a while
without any, so that a quiet pod costs nothing and a hanging one costs its own thread and nobody
else's. One timer thread sleeps until the earliest alarm.

The node agent's pods and every controller take their turns here; probes keep a clockwork of their
own, made for many short checks. A ground-floor module: it knows nothing of what is done.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

_IDLE_SECONDS = 5.0


class Turns:
    """`turn(key)` is called for every key woken. Exceptions are logged and end only that turn.

    `most` bounds how many threads work at once; 0 means as many as there is work.
    """

    def __init__(self, turn: Callable[[str], None], most: int = 0) -> None:
        self._turn = turn
        self._most = most
        self._workers = 0
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._ready: deque[Callable[[], None]] = deque()
        self._idle = 0
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._queued: set[str] = set()
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._alarm_of: dict[str, float] = {}
        self._alarm_set = threading.Condition(self._lock)
        self._number = itertools.count()
        self._stopped = False
        #: How many turns there have been, and the CPU time of all work that is over.
        self.taken = 0
        self.cpu_seconds = 0.0
        self._timer: threading.Thread | None = None

    # -- what others call -------------------------------------------------------------------

    def wake(self, key: str) -> None:
        """Have a turn for this key as soon as its current one is over."""
        with self._lock:
            self._wake(key)

    def wake_at(self, key: str, at: float) -> None:
        """Have a turn at `at` (monotonic seconds), unless an earlier one is due already."""
        with self._lock:
            due = self._alarm_of.get(key)
            if due is not None and due <= at:
                return
            self._alarm_of[key] = at
            self._alarm(at, lambda: self._ring(key, at))

    def task(self, work: Callable[[], None]) -> None:
        """Run `work` beside everything else."""
        with self._lock:
            self._submit(work)

    def every(self, seconds: float, work: Callable[[], None]) -> None:
        """Run `work` now and `seconds` after each end of it, until `stop`."""

        def round_() -> None:
            try:
                work()
            finally:
                self.at(time.monotonic() + seconds, round_)

        self.task(round_)

    def at(self, when: float, work: Callable[[], None]) -> None:
        """Run `work` once, at monotonic second `when`."""
        with self._lock:
            self._alarm(when, lambda: self._submit(work))

    def waiting(self) -> int:
        """How many keys wait for a turn."""
        with self._lock:
            return len(self._queued)

    def stop(self) -> None:
        """Begin nothing more. What runs is left to end."""
        with self._lock:
            self._stopped = True
            self._ready.clear()
            self._work.notify_all()
            self._alarm_set.notify_all()

    # -- inside, under the lock ---------------------------------------------------------------

    def _wake(self, key: str) -> None:
        if key in self._running:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._submit(lambda: self._take_turn(key))

    def _ring(self, key: str, at: float) -> None:
        if self._alarm_of.get(key) == at:
            del self._alarm_of[key]
            self._wake(key)

    def _alarm(self, at: float, ring: Callable[[], None]) -> None:
        heapq.heappush(self._alarms, (at, next(self._number), ring))
        if self._timer is None:  # whoever sets no alarm needs no thread that waits for one
            self._timer = threading.Thread(target=self._watch_clock, name="timer", daemon=True)
            self._timer.start()
        self._alarm_set.notify()

    def _submit(self, work: Callable[[], None]) -> None:
        if self._stopped:
            return
        self._ready.append(work)
        if self._idle >= len(self._ready):
            self._work.notify()
        elif not self._most or self._workers < self._most:
            self._workers += 1
            threading.Thread(target=self._worker, name="worker", daemon=True).start()

    # -- the threads ----------------------------------------------------------------------------

    def _worker(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
                while not self._ready:
                    if self._stopped or not self._work.wait(_IDLE_SECONDS):
                        break
                self._idle -= 1
                if not self._ready:
                    self._workers -= 1
                    return
                work = self._ready.popleft()
            began = time.thread_time()
            try:
                work()
            except Exception:
                log.exception("a piece of work failed")
            del work  # an idle thread must not keep what it last worked on alive
            with self._lock:
                self.cpu_seconds += time.thread_time() - began

    def _take_turn(self, key: str) -> None:
        with self._lock:
            self._queued.discard(key)
            if key in self._running:
                self._again.add(key)
                return
            self._running.add(key)
            self.taken += 1
        try:
            self._turn(key)
        finally:
            with self._lock:
                self._running.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self._wake(key)

    def _watch_clock(self) -> None:
        with self._lock:
            while not self._stopped:
                now = time.monotonic()
                while self._alarms and self._alarms[0][0] <= now:
                    heapq.heappop(self._alarms)[2]()
                wait = self._alarms[0][0] - now if self._alarms else None
                self._alarm_set.wait(wait)
