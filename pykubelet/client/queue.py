"""The shape of every controller: keys to look at, one turn at a time each, back-off on failure.

`Turns` gives the threads; this adds what controllers share: a key whose turn raised is tried again
after a wait that doubles, and a conflict is no failure but a reason to look again at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pykubelet.client.errors import Conflict
from pykubelet.errors import Failed
from pykubelet.turns import Turns

log = logging.getLogger(__name__)

_FIRST, _LONGEST = 0.005, 60.0

#: Turns taken at once, as upstream's controllers do: a burst of keys is no burst of threads.
WORKERS = 5


@dataclass(slots=True)
class Figures:
    """What has gone through a queue, for metrics. Counted without a lock: nothing depends on it."""

    adds: int = 0
    retries: int = 0
    turns: int = 0
    work_seconds: float = 0.0


class Queue:
    """`turn(key)` may return seconds after which to look again unasked."""

    def __init__(
        self,
        name: str,
        turn: Callable[[str], float | None],
        workers: int = WORKERS,
        longest: float = _LONGEST,
    ) -> None:
        """`longest`: seconds between two tries at most."""
        self.name = name
        self.figures = Figures()
        self._turn = turn
        self._longest = longest
        self._lock = threading.Lock()
        self._failures: dict[str, int] = {}
        self._turns = Turns(self._take, workers)

    def add(self, key: str) -> None:
        self.figures.adds += 1
        self._turns.wake(key)

    def depth(self) -> int:
        """How many keys wait for their turn."""
        return self._turns.waiting()

    def add_after(self, key: str, seconds: float) -> None:
        self._turns.wake_at(key, time.monotonic() + seconds)

    def every(self, seconds: float, work: Callable[[], None]) -> None:
        self._turns.every(seconds, work)

    def stop(self) -> None:
        self._turns.stop()

    def _take(self, key: str) -> None:
        began = time.monotonic()
        try:
            self._try(key)
        finally:
            self.figures.work_seconds += time.monotonic() - began
            self.figures.turns += 1

    def _try(self, key: str) -> None:
        try:
            after = self._turn(key)
        except Conflict:
            self._again(key)
        except Failed as error:
            log.warning("%s: %s: %s", self.name, key, error)
            self._again(key)
        except Exception:
            log.exception("%s: %s", self.name, key)
            self._again(key)
        else:
            with self._lock:
                self._failures.pop(key, None)
            if after is not None:
                self.add_after(key, after)

    def _again(self, key: str) -> None:
        with self._lock:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            self.figures.retries += 1
        wait = min(_FIRST * 2 ** min(failures, 20), self._longest)
        self.add_after(key, wait)
