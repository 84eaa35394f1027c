"""Changes in the runtime, as hints to look again at one pod.

Two sources, by what the runtime offers:
- CRI's GetContainerEvents (containerd 2.x, CRI-O). It speaks after the runtime's own list shows
  the change.
- containerd's own event service on the same socket (containerd 1.x). 1.6 has no other; 1.7 has
  CRI's, but hands its backlog to the first who listens and each event to one listener only. These
  events come from below CRI, a moment before CRI's list shows the change, so `settling` holds a
  hint back until it does.

No stream is free of gaps: whenever one (re)opens, an `Event("")` says "look at all". The agent's
own relist is the safety net under both.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pykubelet.errors import PykubeletError
from pykubelet.kubelet.runtime.calls import Channel, Service, Stream
from pykubelet.kubelet.runtime.failures import Unsupported
from pykubelet.kubelet.runtime.model import Event
from pykubelet.kubelet.runtime.relist import Relist
from pykubelet.kubelet.runtime.settling import Settling
from pykubelet.objects.wire import messages

log = logging.getLogger(__name__)

OnEvent = Callable[[Event], None]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
# A backlog is handed over at once; what comes later is news even if a clock was set back. Seconds.
_BACKLOG = 5.0
_CONTAINERD_NAMESPACE = "k8s.io"
# A task's deletion follows its exit, and unlike the exit it is not said of each exec as well.
_TOPICS = ("/tasks/start", "/tasks/oom", "/tasks/delete", "/containers/delete")


def watch(
    channel: Channel, runtime: Service, relist: Relist, on_event: OnEvent, stop: threading.Event
) -> None:
    """Report changes until `stop` is set, reconnecting with a growing pause in between.

    Raises Unsupported where the runtime has neither stream.
    """
    _Watch(channel, runtime, relist, on_event, stop).run()


class _Watch:
    def __init__(
        self,
        channel: Channel,
        runtime: Service,
        relist: Relist,
        on_event: OnEvent,
        stop: threading.Event,
    ) -> None:
        self._channel = channel
        self._runtime = runtime
        self._relist = relist
        self._on_event = on_event
        self._stop = stop
        self._stream: Stream | None = None

    def run(self) -> None:
        threading.Thread(
            target=self._end_with_stop, name="runtime-events-stop", daemon=True
        ).start()
        pause, said = _FIRST_PAUSE, ""
        while not self._stop.is_set():
            opened = time.monotonic()
            try:
                self._listen()
            except Unsupported:
                raise
            except PykubeletError as error:
                if str(error) != said:
                    log.warning("events of the runtime are interrupted: %s", error)
                said = str(error)
            if time.monotonic() - opened > _LONGEST_PAUSE:
                pause, said = _FIRST_PAUSE, ""
            self._stop.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _listen(self) -> None:
        version = self._runtime.call("Version", 10.0, version="0.1.0")
        if version.runtime_name == "containerd" and _major(version.runtime_version) < 2:
            return self._listen_to_containerd()
        try:
            return self._listen_to_cri()
        except Unsupported:
            return self._listen_to_containerd()

    def _listen_to_cri(self) -> None:
        opened_wall, opened = time.time_ns(), time.monotonic()
        with self._current(self._runtime, "GetContainerEvents") as stream:
            for answer in stream:
                stale = answer.created_at < opened_wall and time.monotonic() - opened < _BACKLOG
                if not stale:
                    self._on_event(Event(answer.pod_sandbox_status.metadata.uid))

    def _listen_to_containerd(self) -> None:
        table = messages.load(__package__, "containerd_events.schema")
        task, service = table["TaskEvent"], self._channel.service(table.methods("Events"), 10.0)
        filters = [f'namespace=="{_CONTAINERD_NAMESPACE}",topic=="{topic}"' for topic in _TOPICS]
        with (
            Settling(self._runtime, self._on_event) as settling,
            self._current(service, "Subscribe", filters=filters) as stream,
        ):
            for envelope in stream:
                id = task.FromString(envelope.event.value).container_id
                owner = self._relist.owner(id)
                if owner:
                    settling.add(id, owner, envelope.topic)

    @contextmanager
    def _current(self, service: Service, name: str, **fields: object) -> Iterator[Stream]:
        with service.stream(name, **fields) as stream:
            self._stream = stream
            if self._stop.is_set():  # set just before: nobody else would cancel this one
                stream.cancel()
            self._on_event(Event(""))
            yield stream

    def _end_with_stop(self) -> None:
        self._stop.wait()
        if self._stream:
            self._stream.cancel()


def _major(version: str) -> int:
    """`1.6.20~ds1`, `v2.1.9` → the first number; 2 where there is none."""
    digits = version.lstrip("v").partition(".")[0]
    return int(digits) if digits.isdigit() else 2
