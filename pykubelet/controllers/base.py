"""What every controller is made of: shared informers, a queue of keys, a turn at a time for each.

A controller's file has its pure decision (values in, a Decision out) and a class of this kind,
which looks, asks the decision, acts through the API and says what it did in the object's status and
events. `manager` makes the `Context` once for all controllers of the process.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.events import EventRecorder
from pykubelet.client.informer import Index, Informer, Store, key_of
from pykubelet.client.queue import Queue
from pykubelet.client.resources import Resource
from pykubelet.controllers.batches import Work, in_turn

log = logging.getLogger(__name__)

Json = dict[str, Any]


def by_namespace(object_: Json) -> Iterable[str]:
    return (object_["metadata"].get("namespace") or "",)


def by_owner(object_: Json) -> Iterable[str]:
    """The UIDs of all owners."""
    return tuple(r["uid"] for r in object_["metadata"].get("ownerReferences") or ())


def orphans(object_: Json) -> Iterable[str]:
    """The namespace of an object that nobody controls."""
    if any(r.get("controller") for r in object_["metadata"].get("ownerReferences") or ()):
        return ()
    return (object_["metadata"].get("namespace") or "",)


#: How every shared store can be read.
INDEXES: dict[str, Index] = {"namespace": by_namespace, "owner": by_owner, "orphans": orphans}


class Informers:
    """One informer a resource, shared by all controllers of the process.

    Every store can be read by namespace, by owner's UID, and the orphans of a namespace.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._informers: dict[Resource, Informer] = {}
        self._lock = threading.Lock()

    def of(self, resource: Resource, indexes: Mapping[str, Index] | None = None) -> Informer:
        """To be asked for before `start`. `indexes` count for whoever asks first."""
        with self._lock:
            informer = self._informers.get(resource)
            if informer is None:
                informer = Informer(self._api, resource, indexes={**INDEXES, **(indexes or {})})
                self._informers[resource] = informer
            return informer

    def start(self) -> None:
        for informer in self._all():
            informer.start()

    def stop(self) -> None:
        for informer in self._all():
            informer.stop()

    def synced(self) -> bool:
        return all(informer.synced.is_set() for informer in self._all())

    def _all(self) -> list[Informer]:
        with self._lock:
            return list(self._informers.values())


@dataclass(slots=True)
class Context:
    """What controllers share. `now` gives wall seconds; a simulation gives its own, and its own
    queues. `options` are the flags of the command line that controllers read, by their names."""

    api: Api
    informers: Informers
    events: EventRecorder
    now: Callable[[], float] = time.time
    options: Mapping[str, Any] = field(default_factory=dict)
    queue: Callable[[str, Callable[[str], float | None]], Queue] = Queue
    each: Callable[[Sequence[Work]], None] = in_turn


class Controller(ABC):
    """One controller. In its `__init__` a subclass names what it watches; `turn` does the work."""

    #: Upstream's name, by which it is switched off and found in logs and metrics.
    name = ""

    def __init__(self, context: Context) -> None:
        self.api = context.api
        self.events = context.events
        self.now = context.now
        self.context = context
        self.queue = context.queue(self.name, self.turn)

    @abstractmethod
    def turn(self, key: str) -> float | None:
        """Look at one object (`namespace/name`) and do what it needs. Seconds until the next look,
        where time alone makes one necessary. Raising means trying again later."""

    def start(self) -> None:  # noqa: B027 - most have nothing to do here
        """Called once every informer has its first list."""

    def stop(self) -> None:
        self.queue.stop()

    def watch(
        self,
        resource: Resource,
        keys: Callable[[Json], Iterable[str]] | None = None,
    ) -> Store:
        """Have a turn for each key that a changed object concerns: itself where `keys` is None,
        nobody where it gives none. The store to read from."""
        informer = self.context.informers.of(resource)
        concerned = keys or (lambda object_: (key_of(object_),))

        def changed(old: Json | None, new: Json | None) -> None:
            for object_ in (old, new):
                if object_ is not None:
                    for key in concerned(object_):
                        self.queue.add(key)

        informer.add_handler(changed)
        return informer.store

    def read(self, resource: Resource) -> Store:
        """A store to look things up in, whose changes concern nobody here."""
        return self.context.informers.of(resource).store


def sooner(*waits: float | None) -> float | None:
    """The shortest of the waits that there are."""
    return min((wait for wait in waits if wait is not None), default=None)


def keys_of_controller(kind: str) -> Callable[[Json], Iterable[str]]:
    """For `watch`: the key of the object of this kind that controls the changed one."""

    def keys(object_: Json) -> Iterable[str]:
        for reference in object_["metadata"].get("ownerReferences") or ():
            if reference.get("controller") and reference["kind"] == kind:
                yield f"{object_['metadata'].get('namespace', '')}/{reference['name']}"

    return keys
