"""What a controller has done and its informers have not told of yet.

An informer lags behind the API by a few milliseconds, sometimes by much more. A controller that
counts what it sees would make the same pods again; so it remembers the resource version of what it
made, and the UIDs of what it took away, and does nothing more for that owner until its store shows
both, or until that has taken so long that it can't be trusted any more.

Versions instead of names or counts: a pod that was made and is gone again before anybody looked
would be waited for in vain. Resource versions of one resource grow (KEP-5504).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

#: Seconds after which an expectation is given up, as upstream does.
PATIENCE = 300.0


class Expectations:
    """By key of the owner. Times are in seconds of one clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, tuple[int, float]] = {}
        self._taken: dict[str, dict[str, float]] = {}

    def made(self, key: str, version: str, now: float) -> None:
        """Something was written, and this is its resource version."""
        with self._lock:
            latest = self._made.get(key, (0, 0.0))[0]
            self._made[key] = (max(latest, int(version) if version.isdigit() else 0), now)

    def taken(self, key: str, uid: str, now: float) -> None:
        """The deletion of this object was asked for."""
        with self._lock:
            self._taken.setdefault(key, {})[uid] = now

    def met(self, key: str, version: int, going: Mapping[str, bool], now: float) -> bool:
        """Whether a store that shows everything up to `version`, and of the owner's objects these
        (UID to whether its deletion has begun), shows all that was done."""
        with self._lock:
            made, at = self._made.get(key, (0, now))
            if made <= version or now - at > PATIENCE:
                made = 0
                self._made.pop(key, None)
            taken = self._taken.get(key, {})
            for uid in [u for u, t in taken.items() if going.get(u, True) or now - t > PATIENCE]:
                del taken[uid]
            if not taken:
                self._taken.pop(key, None)
            return not made and not taken

    def forget(self, key: str) -> None:
        with self._lock:
            self._made.pop(key, None)
            self._taken.pop(key, None)
