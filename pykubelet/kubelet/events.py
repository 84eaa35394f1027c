"""What happened to a pod or to the node, in upstream's words, for people who ask why.

The last few are kept for `pykubelet why` and the local API; each is logged; a sink, where there is
one, carries them to an API server. The same event again only counts up, so that a loop which fails
every few seconds fills neither memory nor disk.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

log = logging.getLogger(__name__)

NORMAL, WARNING = "Normal", "Warning"

_PER_OBJECT = 20
_OBJECTS = 500


@dataclass(frozen=True, slots=True)
class Event:
    """`about` is a pod's UID, or the node's name; `first` and `last` are wall seconds."""

    about: str
    kind: str
    reason: str
    message: str
    first: float
    last: float
    count: int = 1


class Recorder:
    def __init__(self, sink: Callable[[Event], None] | None = None) -> None:
        #: Who else is told of every event.
        self.sink = sink
        self._lock = threading.Lock()
        self._events: OrderedDict[str, list[Event]] = OrderedDict()

    def record(self, about: str, name: str, kind: str, reason: str, message: str) -> None:
        """`name` is for the log: the pod's full name, or the node's."""
        now = time.time()
        with self._lock:
            events = self._events.setdefault(about, [])
            self._events.move_to_end(about)
            event = Event(about, kind, reason, message, now, now)
            for number, old in enumerate(events):
                if (old.reason, old.message) == (reason, message):
                    event = replace(old, last=now, count=old.count + 1)
                    del events[number]
                    break
            events.append(event)
            del events[:-_PER_OBJECT]
            while len(self._events) > _OBJECTS:
                self._events.popitem(last=False)
        if event.count == 1:
            level = logging.WARNING if kind == WARNING else logging.INFO
            log.log(level, "%s: %s: %s", name, reason, message, extra={"pod": name, "uid": about})
        if self.sink:
            self.sink(event)

    def of(self, about: str) -> list[Event]:
        """The last events about one object, oldest first."""
        with self._lock:
            return list(self._events.get(about, ()))

    def forget(self, about: str) -> None:
        with self._lock:
            self._events.pop(about, None)
