"""Holding a hint back until CRI's own list shows what it hints at.

containerd's events come from the layer below its CRI service, which hears them when we do and
needs some milliseconds to act on them. Who looks at once sees the old state and would not look
again. So each event names the states that it leads to, and the one item is asked for until it is
in one of them. containerd tries a clean-up that failed again after 1, 2 and 4 seconds, so the hint
is given anyway only after ten. Asleep when nothing is pending.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pykubelet.errors import NotFound, PykubeletError
from pykubelet.kubelet.runtime import answers
from pykubelet.kubelet.runtime.calls import Service
from pykubelet.kubelet.runtime.model import ContainerState, Event
from pykubelet.kubelet.runtime.relist import Owner

log = logging.getLogger(__name__)

_GONE = "gone"
_RAN = {ContainerState.RUNNING, ContainerState.EXITED, _GONE}
_ENDED = {ContainerState.EXITED, _GONE}
# Topic → where the item stands once CRI has caught up. An OOM kill shows when the exit does.
_LEADS_TO: dict[str, set[object]] = {
    "/tasks/start": {*_RAN},
    "/tasks/oom": {*_RAN},
    "/tasks/delete": {*_ENDED},
    "/containers/delete": {_GONE},
}


def pauses() -> Iterator[float]:
    """Seconds between one look and the next: doubling from 1 ms to 256 ms, ten seconds in all."""
    yield from (0.001 * 2**n for n in range(8))
    yield from (0.256 for _ in range(38))


@dataclass
class _Pending:
    owner: Owner
    wanted: set[object]
    due: float
    pauses: Iterator[float] = field(default_factory=pauses)


class Settling:
    """A context manager; `add` may be called by any thread, `on_event` is called by its own."""

    def __init__(self, runtime: Service, on_event: Callable[[Event], None]) -> None:
        self._runtime = runtime
        self._on_event = on_event
        self._pending: dict[str, _Pending] = {}
        self._changed = threading.Condition()
        self._over = False

    def __enter__(self) -> Settling:
        threading.Thread(target=self._run, name="runtime-events-settle", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()

    def add(self, id: str, owner: Owner, topic: str) -> None:
        """A later event of the same item replaces the earlier: its hint covers both."""
        entry = _Pending(owner, _LEADS_TO[topic], time.monotonic())
        with self._changed:
            self._pending[id] = entry
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._over:
                    return
                now = time.monotonic()
                due = [(id, each) for id, each in self._pending.items() if each.due <= now]
                if not due:
                    soonest = min((each.due for each in self._pending.values()), default=None)
                    self._changed.wait(None if soonest is None else soonest - now)
                    continue
            for id, entry in due:
                self._look(id, entry)

    def _look(self, id: str, entry: _Pending) -> None:
        pause = None if self._state(id, entry.owner) in entry.wanted else next(entry.pauses, None)
        with self._changed:
            if self._pending.get(id) is not entry:
                return  # a later event took its place meanwhile
            if pause is not None:
                entry.due = time.monotonic() + pause
                return
            del self._pending[id]
        self._on_event(Event(entry.owner.uid))

    def _state(self, id: str, owner: Owner) -> object:
        try:
            if owner.is_sandbox:
                status = self._runtime.call("PodSandboxStatus", 10.0, pod_sandbox_id=id).status
                ready = answers.sandbox_ready(status.state)
                return ContainerState.RUNNING if ready else ContainerState.EXITED
            status = self._runtime.call("ContainerStatus", 10.0, container_id=id).status
            return answers.container_state(status.state)
        except NotFound:
            return _GONE
        except PykubeletError as error:
            log.debug("asking for %s: %s", id, error)
            return None
