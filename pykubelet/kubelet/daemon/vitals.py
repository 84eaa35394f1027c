"""Is the agent alive? What /healthz says, what feeds the watchdog, and what each loop costs.

A loop is a thread with a name. It is alive while its thread is; the heart of the agent, the turns
of the pods, has to prove it by taking a task every few seconds and getting hold of the pods. The
runtime's silence is a failed check but no death: a new agent would not make the runtime speak.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from pykubelet.clock import Clock, SystemClock
from pykubelet.kubelet.serve.backend import Check
from pykubelet.turns import Turns

#: Seconds between two proofs of life, and how old the last one may be.
BEAT, LATEST = 10.0, 60.0


class Vitals:
    """`look()` needs what a stuck agent holds for ever; `runtime()` is why the runtime is not
    ready, or "". `loops` are the names of threads that have to be there."""

    def __init__(
        self,
        turns: Turns,
        look: Callable[[], object],
        runtime: Callable[[], str],
        loops: Sequence[str],
        clock: Clock | None = None,
    ) -> None:
        self._turns = turns
        self._look = look
        self._runtime = runtime
        self._loops = loops
        self._clock = clock or SystemClock()
        self._beat_at = self._clock.monotonic()

    def start(self) -> None:
        self._turns.every(BEAT, self._beat)

    def _beat(self) -> None:
        self._look()
        self._beat_at = self._clock.monotonic()

    def trouble(self) -> str:
        """What in the agent itself does not go on, or ""."""
        silent = self._clock.monotonic() - self._beat_at
        if silent > LATEST:
            return f"no pod has had a turn for {silent:.0f} s"
        alive = {thread.name for thread in threading.enumerate()}
        dead = [name for name in self._loops if name not in alive]
        return f"ended, and should not have: {', '.join(dead)}" if dead else ""

    def checks(self) -> list[Check]:
        """The lines of /healthz."""
        trouble, silence = self.trouble(), self._runtime()
        return [Check("syncloop", not trouble, trouble), Check("runtime", not silence, silence)]

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds by loop since the start: the loops that are named, the pods' turns, and all
        the rest (streams, gRPC's own threads, what ended) as `other`."""
        spent: defaultdict[str, float] = defaultdict(float)
        for thread in threading.enumerate():
            if thread.name in self._loops:
                spent[thread.name] += _cpu(thread.native_id)
        spent["pods"] = self._turns.cpu_seconds
        spent["other"] = max(0.0, time.process_time() - sum(spent.values()))
        return dict(spent)


def _cpu(thread_id: int | None) -> float:
    """CPU seconds of one thread: the first figure of its schedstat, in nanoseconds (proc(5))."""
    try:
        with open(f"/proc/self/task/{thread_id}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0  # it has just ended, or the kernel does not count
