"""Threads that grow with the work at hand and go away when there is none.

A thread that hangs is no loss to the others: whoever finds nobody idle starts another one.
(ThreadPoolExecutor keeps every thread that it ever started.)
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

Job = Callable[[], None]


class Pool:
    def __init__(self, name: str, most: int = 256, idle_seconds: float = 20.0) -> None:
        """At most `most` threads; one that had nothing to do for `idle_seconds` ends."""
        self._name, self._most, self._idle_seconds = name, most, idle_seconds
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._stopped = False

    @property
    def threads(self) -> int:
        return self._threads

    def submit(self, job: Job) -> None:
        """Run `job` soon. A job that raises is logged. After `stop`, nothing happens."""
        with self._changed:
            if self._stopped:
                return
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Take no more jobs, drop those not begun, send idle threads home. Does not wait."""
        with self._changed:
            self._stopped = True
            self._jobs.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while job := self._next():
            try:
                job()
            except Exception:
                log.exception("a job of %s broke", self._name)

    def _next(self) -> Job | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._jobs or self._stopped, self._idle_seconds)
            self._idle -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._threads -= 1
            return None
