"""No more than so many a second: a token bucket, for events and for image pulls.

The configuration names a rate and a burst for each (`eventRecordQPS`, `registryPullQPS`, …). The
clock comes in, so that a test needs no patience.
"""

from __future__ import annotations

import threading
import time

from pykubelet.clock import Clock, SystemClock


class Rate:
    """`burst` at once, `per_second` in the long run; no limit where `per_second` is 0."""

    def __init__(self, per_second: float, burst: int, clock: Clock | None = None) -> None:
        self._per_second = per_second
        self._burst = max(1, burst)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._left = float(self._burst)
        self._at = self._clock.monotonic()

    def allows(self) -> bool:
        """Whether one more may happen now; it counts if so."""
        with self._lock:
            self._refill()
            if self._per_second and self._left < 1:
                return False
            self._left -= 1
            return True

    def reserve(self) -> float:
        """Seconds until one more may happen; it counts at once, so those after it wait longer."""
        with self._lock:
            self._refill()
            self._left -= 1
            return max(0.0, -self._left / self._per_second) if self._per_second else 0.0

    def wait(self) -> None:
        """Come back when one more may happen."""
        seconds = self.reserve()
        if seconds:
            time.sleep(seconds)

    def _refill(self) -> None:
        now = self._clock.monotonic()
        if self._per_second:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        else:
            self._left = float(self._burst)
        self._at = now
