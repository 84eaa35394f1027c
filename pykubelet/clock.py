"""Time as an argument.

Pure code takes `now` as a number. Adapters that have to wait or to stamp take a `Clock`, so that
tests drive them with virtual time. Wall time is for stamps that people read; durations (back-off,
deadlines, probe periods) use the monotonic clock, which a clock jump does not touch.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def wall(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never steps."""


class SystemClock:
    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as `metav1.Time` writes them: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """Seconds since the epoch as `metav1.MicroTime` writes them: UTC, microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_rfc3339(text: str) -> float:
    """The inverse of both, accepting any offset. Raises ValueError on anything else."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
