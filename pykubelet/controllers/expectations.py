"""What a controller has done and its informers have not told of yet.

An informer lags behind the API by a few milliseconds, sometimes by much more. A controller that
counts what it sees would make the same pods again; so it remembers what it made and took away until
the informer has told of each, or until that has taken so long that it can't be trusted any more.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

#: Seconds after which an expectation is given up, as upstream does.
PATIENCE = 300.0


class Expectations:
    """By key of the owner. Objects are known by UID. Times are in seconds of one clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, dict[str, float]] = {}
        self._taken: dict[str, dict[str, float]] = {}

    def made(self, key: str, uid: str, now: float) -> None:
        with self._lock:
            self._made.setdefault(key, {})[uid] = now

    def taken(self, key: str, uid: str, now: float) -> None:
        with self._lock:
            self._taken.setdefault(key, {})[uid] = now

    def met(self, key: str, seen: Iterable[tuple[str, bool]], now: float) -> bool:
        """Whether what is seen (UID, whether its deletion has begun) shows all that was done."""
        going = dict(seen)
        with self._lock:
            made = self._made.get(key, {})
            taken = self._taken.get(key, {})
            for uid in [u for u, at in made.items() if u in going or now - at > PATIENCE]:
                del made[uid]
            for uid in [u for u, at in taken.items() if going.get(u, True) or now - at > PATIENCE]:
                del taken[uid]
            if not made:
                self._made.pop(key, None)
            if not taken:
                self._taken.pop(key, None)
            return not made and not taken

    def forget(self, key: str) -> None:
        with self._lock:
            self._made.pop(key, None)
            self._taken.pop(key, None)
