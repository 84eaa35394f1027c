"""A few places for work that is quicker when not too much of it is done at once.

A semaphore with patience: whoever holds a place for longer than that is taken to hang, and its
place goes to the next in line; so a runtime that hangs on some pods never blocks the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Slots:
    """`places` at a time, each for at most `patience` seconds of the others' waiting."""

    def __init__(
        self, places: int, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._places = places
        self._patience = patience
        self._clock = clock
        self._changed = threading.Condition()
        self._since: dict[object, float] = {}

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a place and hold it."""
        ticket = object()
        with self._changed:
            while (wait := self._full_for()) > 0:
                self._changed.wait(wait)
            self._since[ticket] = self._clock()
        try:
            yield
        finally:
            with self._changed:
                self._since.pop(ticket)
                self._changed.notify()

    def _full_for(self) -> float:
        """Seconds until the oldest holder has used up the others' patience; 0 with a place free."""
        now = self._clock()
        fresh = sorted(s for s in self._since.values() if s + self._patience > now)
        return 0.0 if len(fresh) < self._places else fresh[0] + self._patience - now
