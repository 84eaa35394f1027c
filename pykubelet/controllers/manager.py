"""The controller manager: all wanted controllers in one process, while it leads.

One informer a resource serves them all. A controller begins when the stores that it reads are
filled, and not before: to one that sees no pods yet, every pod would be missing. A controller that
can't be made, or whose resource nobody serves, keeps none of the others from their work; `ready`
says which and why.
"""

from __future__ import annotations

import logging
import socket
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.events import EventRecorder
from pykubelet.client.informer import Index, Informer
from pykubelet.client.leases import Election
from pykubelet.client.queue import Queue
from pykubelet.client.resources import Resource
from pykubelet.controllers import figures, table
from pykubelet.controllers.base import Context, Controller, Informers
from pykubelet.controllers.batches import together
from pykubelet.errors import Invalid

log = logging.getLogger(__name__)

LEASE = "kube-controller-manager"

#: Seconds after which a controller that still waits for its stores is told of.
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """`controllers` as in upstream's flag: names, `-name` for none of it, `*` for all that are on
    by default. `of_controllers` is what controllers themselves read from `Context.options`."""

    controllers: Sequence[str] = ("*",)
    leader_elect: bool = True
    of_controllers: Mapping[str, Any] = field(default_factory=dict)


def chosen(wanted: Sequence[str]) -> list[str]:
    """The names of the table that a list chooses, in the table's order. Raises Invalid."""
    asked = [_full(one) for one in wanted]
    found = []
    for name in table.CONTROLLERS:
        if f"-{name}" in asked:
            continue
        if name in asked or ("*" in asked and name not in table.OFF_BY_DEFAULT):
            found.append(name)
    return found


def _full(word: str) -> str:
    minus, name = ("-", word[1:]) if word.startswith("-") else ("", word)
    name = table.ALIASES.get(name, name)
    if name != "*" and name not in table.CONTROLLERS:
        raise Invalid(
            "no such controller", found=repr(word),
            expected="*, or one of: " + ", ".join(table.CONTROLLERS),
        )  # fmt: skip
    return minus + name


class HeldQueue(Queue):
    """Keys wait until it is opened."""

    def __init__(self, name: str, turn: Callable[[str], float | None]) -> None:
        super().__init__(name, turn)
        self._gate = threading.Lock()
        self._held: dict[str, None] | None = {}

    def add(self, key: str) -> None:
        with self._gate:
            if self._held is not None:
                self._held[key] = None
                return
        super().add(key)

    def open(self) -> None:
        with self._gate:
            held, self._held = self._held or {}, None
        for key in held:
            super().add(key)


class _Noted(Informers):
    """The shared informers, noting which of them one controller asks for."""

    def __init__(self, shared: Informers) -> None:
        self._shared = shared
        self.asked: list[Informer] = []

    def of(self, resource: Resource, indexes: Mapping[str, Index] | None = None) -> Informer:
        informer = self._shared.of(resource, indexes)
        if informer not in self.asked:
            self.asked.append(informer)
        return informer


@dataclass(slots=True)
class _Running:
    controller: Controller
    queue: HeldQueue
    informers: list[Informer]
    started: bool = False

    def lacks(self) -> list[str]:
        """The resources whose first list has not come."""
        return [i.resource.plural for i in self.informers if not i.synced.is_set()]


class Manager:
    """`run` blocks until `stop` is set. Raises Invalid where a controller's name is wrong."""

    def __init__(self, api: Api, options: Options) -> None:
        self._api = api
        self._options = options
        self._names = chosen(options.controllers)
        self._running: dict[str, _Running] = {}
        self._broken: dict[str, str] = {}
        self._leads = False

    def run(self, stop: threading.Event) -> None:
        if not self._options.leader_elect:
            self._lead(stop)
            return
        identity = f"{socket.gethostname()}_{uuid.uuid4()}"
        Election(self._api, LEASE, identity).run(self._lead, stop)

    # -- what is told -----------------------------------------------------------------------------

    def live(self) -> dict[str, str]:
        """Checks of /healthz: it is alive as long as it answers."""
        return {"ping": ""}

    def ready(self) -> dict[str, str]:
        """Checks of /readyz. Who stands by is ready, too."""
        if not self._leads:
            return {"ping": ""}
        found = dict(self._broken)
        for name, one in list(self._running.items()):
            lacks = "" if one.started else f"no list yet of {', '.join(one.lacks()) or 'anything'}"
            found[name] = lacks
        return found

    def metrics(self) -> str:
        import resource

        queues = [one.queue for one in list(self._running.values()) if one.started]
        used = resource.getrusage(resource.RUSAGE_SELF)
        process = {
            "process_cpu_seconds_total": used.ru_utime + used.ru_stime,
            "process_max_resident_memory_bytes": used.ru_maxrss * 1024.0,
        }
        return figures.text((_figures(q) for q in queues), self._leads, LEASE, process)

    # -- leading ----------------------------------------------------------------------------------

    def _lead(self, lost: threading.Event) -> None:
        informers = Informers(self._api)
        events = EventRecorder(self._api, LEASE)
        context = Context(
            self._api, informers, events, options=self._options.of_controllers, queue=HeldQueue,
            each=together,
        )  # fmt: skip
        self._broken = {}
        self._running = {}
        for name in self._names:
            self._make(name, context)
        self._leads = True
        informers.start()
        try:
            self._start_when_filled(lost)
            lost.wait()
        finally:
            self._leads = False
            for one in self._running.values():
                _quietly(one.controller.stop)
            self._running = {}
            informers.stop()
            events.stop()

    def _make(self, name: str, context: Context) -> None:
        noted = _Noted(context.informers)
        try:
            controller = table.load(name)(replace(context, informers=noted))
        except Exception as error:
            # Whatever it is, it is this controller's alone.
            log.exception("%s can't be made", name)
            self._broken[name] = f"{type(error).__name__}: {error}"
            return
        queue = controller.queue
        assert isinstance(queue, HeldQueue)
        self._running[name] = _Running(controller, queue, noted.asked)

    def _start_when_filled(self, lost: threading.Event) -> None:
        """Start each controller as soon as all that it reads is there."""
        waiting = list(self._running.items())
        waited, pause = 0.0, 0.02
        while waiting and not lost.wait(pause):
            waited += pause
            pause = min(pause * 1.5, 2.0)
            for name, one in [w for w in waiting if not w[1].lacks()]:
                waiting.remove((name, one))
                self._start(name, one)
            if waited > _PATIENCE:
                waited = float("-inf")  # told once
                for name, one in waiting:
                    log.warning("%s waits for: %s", name, ", ".join(one.lacks()))

    def _start(self, name: str, one: _Running) -> None:
        try:
            one.controller.start()
        except Exception as error:
            log.exception("%s can't be started", name)
            self._running.pop(name)
            self._broken[name] = f"{type(error).__name__}: {error}"
            return
        one.started = True
        one.queue.open()


def _figures(queue: Queue) -> figures.QueueFigures:
    seen = queue.figures
    return figures.QueueFigures(
        queue.name, queue.depth(), seen.adds, seen.retries, seen.turns, seen.work_seconds
    )


def _quietly(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        log.exception("a controller did not stop well")
