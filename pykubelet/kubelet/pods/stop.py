"""Stops one container: preStop hook, stop signal, and the kill when its grace is over.

A part of `perform`. The hook's time comes out of the grace period; upstream gives a container at
least two seconds after it, however long the hook took.
"""

from __future__ import annotations

import time

from pykubelet.kubelet.events import NORMAL, WARNING
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.snapshot import KillContainer
from pykubelet.kubelet.pods.termination import MINIMUM_GRACE_SECONDS
from pykubelet.kubelet.pods.tools import Tools, Work
from pykubelet.kubelet.runtime.model import ContainerState


class Stopper:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def kill(self, work: Work, action: KillContainer) -> None:
        if action.hook:
            message = action.message or f"Stopping container {action.name}"
            work.record(self._tools.recorder, NORMAL, "Killing", message)
        began = time.monotonic()
        if action.grace > 0 and action.hook:
            self._pre_stop(work, action)
        left = action.grace - (time.monotonic() - began)
        floor = MINIMUM_GRACE_SECONDS if action.grace else 0
        self._tools.runtime.stop_container(action.container, max(floor, left))

    def _pre_stop(self, work: Work, action: KillContainer) -> None:
        found = spec.container_named(work.pod, action.name)
        handler = ((found[1].get("lifecycle") or {}) if found else {}).get("preStop")
        if not found or not handler or not self._runs(work, action.container):
            return
        result = self._tools.hook(handler, work, found[1], action.container, action.grace)
        if not result.ok:
            work.record(self._tools.recorder, WARNING, "FailedPreStopHook", result.message)

    def _runs(self, work: Work, container: str) -> bool:
        """As far as the turn saw that began this. What it has not seen was started since."""
        seen = next((c for c in work.runtime.containers if c.id == container), None)
        return seen is None or seen.state is ContainerState.RUNNING
