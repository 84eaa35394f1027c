"""The runtime's hints, carried to the pods; where it gives none, everything is looked at often.

Neighbours: `runtime.events` listens, `pods.manager` looks. A hint is never the state itself.
"""

from __future__ import annotations

import logging
import threading

from pykubelet.errors import PykubeletError
from pykubelet.kubelet.pods.manager import PodManager
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import Event

log = logging.getLogger(__name__)

#: How often to look where the runtime can't tell of changes, in seconds.
WITHOUT_EVENTS = 1.0

NAME = "runtime-events"


class Relisting:
    def __init__(self, runtime: Runtime, manager: PodManager) -> None:
        self._runtime = runtime
        self._manager = manager
        self._stop = threading.Event()
        self._said = ""

    def start(self) -> None:
        threading.Thread(target=self._run, name=NAME, daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._runtime.watch(self._event, self._stop)
            except PykubeletError as error:
                if self._stop.is_set():
                    return
                self._say(f"no events from the runtime ({error}): looking every second")
                self._manager.relist()
                self._stop.wait(WITHOUT_EVENTS)

    def _event(self, event: Event) -> None:
        if event.uid:
            self._manager.changed(event.uid)
        else:  # the stream has just opened: what happened before it, nobody told
            self._say("")
            self._manager.relist()

    def _say(self, sentence: str) -> None:
        if sentence and sentence != self._said:
            log.info("%s", sentence)
        self._said = sentence
