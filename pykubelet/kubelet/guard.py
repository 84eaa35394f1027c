"""What keeps the node out of trouble, joined to the agent: pressure watched, pods evicted.

The looking and deciding is `node`'s (`pressure`, `eviction`, `evictor`); this lends them the
agent's pods, figures and ways to end a pod.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pykubelet.errors import Failed
from pykubelet.kubelet import rules
from pykubelet.kubelet.cgroups.tree import Cgroups
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.events import WARNING, Recorder
from pykubelet.kubelet.node import eviction, figures
from pykubelet.kubelet.node.eviction import Eviction
from pykubelet.kubelet.node.evictor import Evictor
from pykubelet.kubelet.node.gathering import Gathering
from pykubelet.kubelet.node.pressure import Alarm, Observer
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.manager import PodManager
from pykubelet.kubelet.pods.snapshot import Verdict
from pykubelet.kubelet.runtime.client import Runtime

Json = dict[str, Any]

NAME = "eviction"


class Guard:
    """Implements `evictor.Node`. `on_change` is told when the node's pressures have changed."""

    def __init__(
        self,
        config: Configuration,
        runtime: Runtime,
        cgroups: Cgroups,
        manager: PodManager,
        gathering: Gathering,
        recorder: Recorder,
        reclaim: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._manager = manager
        self._gathering = gathering
        self._recorder = recorder
        self._reclaim = reclaim
        self._stop = threading.Event()
        self._alarm = Alarm()
        self._image_dirs: list[str] = []
        observer = Observer(config.root_dir, cgroups, self._where_images_are)
        self.evictor = Evictor(
            self, observer.observe, rules.evictions(config), on_change=lambda pressures: on_change()
        )
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._alarm.ring()
        self._thread.join()
        self._alarm.close()

    def take_up(self, config: Configuration) -> None:
        """Go on by a changed configuration, and look at once."""
        self.evictor.rules = rules.evictions(config)
        self._alarm.ring()

    def refusal(self, pod: Json) -> Verdict | None:
        """Why no such pod is taken under the pressure that there is."""
        why = eviction.refusal(pod, self.evictor.pressures)
        return Verdict("Evicted", why) if why else None

    # -- what the evictor asks ------------------------------------------------------------------

    def active_pods(self) -> Iterable[Json]:
        return [
            {**r.pod, "status": r.status}
            for r in self._manager.records()
            if r.admitted and r.wanted and not r.verdict and not r.terminated
        ]

    def measure(self, pods: Iterable[Json]) -> Mapping[str, figures.Pod]:
        return self._gathering.pods(pods)

    def reclaim(self, resource: str) -> None:
        self._reclaim()

    def evict(self, pod: Eviction) -> None:
        found = self._manager.pod(pod.uid)
        name = spec.full_name(found) if found else pod.uid
        self._recorder.record(pod.uid, name, WARNING, "Evicted", pod.message)
        self._manager.end(pod.uid, Verdict("Evicted", pod.message, grace=pod.grace))

    # -- inside ---------------------------------------------------------------------------------

    def _run(self) -> None:
        self.evictor.run(self._stop, self._alarm)

    def _where_images_are(self) -> Iterable[str]:
        """Asked of the runtime once: it does not move."""
        if not self._image_dirs:
            try:
                self._image_dirs = [f.mountpoint for f in self._runtime.image_filesystems()]
            except Failed:
                pass  # next time
        return self._image_dirs
