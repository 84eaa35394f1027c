"""How long a container that keeps exiting has to wait: CrashLoopBackOff.

The first restart is immediate, the second waits `base` seconds, each further one twice as long, up
to `cap`. A container that ran for more than `reset_after` seconds before it exited has earned a
clean record. Upstream describes this under "Container restarts" in the pod lifecycle page; the cap
is the node's `crashLoopBackOff.maxContainerRestartPeriod` (KEP-4603), which leaves the reset alone.

Pure: times are monotonic seconds and come in as arguments. The lifecycle keys a record by
`(pod uid, container name, hash of the container's spec)`, so that an edited container starts clean.
The image puller may use another instance of the same class, keyed by `(pod uid, image)`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

Key = tuple[str, ...]
"""Its first element is the pod's uid, which is what `Backoff.forget` goes by."""


@dataclass(frozen=True, slots=True)
class _Record:
    delay: float  # what the latest failure has to wait
    until: float  # and when that is over
    incident: Hashable


class Backoff:
    def __init__(self, base: float = 10.0, cap: float = 300.0, reset_after: float = 600.0) -> None:
        """All in seconds. A `cap` below `base` makes every delay the cap."""
        self.cap = cap
        self._base = base
        self._reset_after = reset_after
        self._records: dict[Key, _Record] = {}

    def failed(self, key: Key, now: float, ran_for: float, incident: Hashable = None) -> float:
        """Take note of a failure at `now`, after `ran_for` seconds of life; the delay in force.

        `incident` names the failure (a container's id does): a loop that looks at the same dead
        container again then changes nothing. Without one, every call counts.
        """
        record = self._records.get(key)
        if record and incident is not None and record.incident == incident:
            return record.delay
        if record is None or ran_for > self._reset_after:
            delay = 0.0
        else:
            delay = min(max(2 * record.delay, self._base), self.cap)
        self._records[key] = _Record(delay, now + delay, incident)
        return delay

    def wait(self, key: Key, now: float) -> float:
        """Seconds still to wait; 0 where nothing holds the next try back."""
        record = self._records.get(key)
        return max(0.0, record.until - now) if record else 0.0

    def delay(self, key: Key) -> float:
        """The delay that the latest failure brought, for the message that explains the wait."""
        record = self._records.get(key)
        return record.delay if record else 0.0

    def forget(self, uid: str) -> None:
        """The pod is gone, or was told to start afresh."""
        for key in [key for key in self._records if key[0] == uid]:
            del self._records[key]
