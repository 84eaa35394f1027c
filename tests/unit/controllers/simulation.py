"""Controllers in a small world of chance: a seed decides what happens next, and nothing else does.

Informers lag, writes conflict, the process dies between any two writes, pods get ready late, fail
and come back. After each change the test's invariants are asked; `settle` stops the trouble and
runs until nothing more happens. A failing seed fails again, exactly.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from typing import Any

from pykubelet.client.errors import Conflict
from pykubelet.client.informer import key_of
from pykubelet.client.resources import NODES, PODS, Resource
from pykubelet.clock import rfc3339
from pykubelet.controllers.base import Context, Controller
from pykubelet.objects import selectors
from tests.unit.controllers.cluster import (
    Cluster,
    Crash,
    Recorder,
    SimApi,
    SimInformers,
    SimQueue,
    copied,
)

Json = dict[str, Any]


def seeds(number: int) -> range:
    """So many seeds, times what SIMULATION_SEEDS says: a night's run is a variable away."""
    return range(number * int(os.environ.get("SIMULATION_SEEDS", "1")))


class Simulation:
    """`ends` says how a running pod ends: "" keeps it running, else its final phase."""

    def __init__(
        self,
        seed: int,
        controllers: Iterable[type[Controller]],
        *,
        nodes: int = 3,
        trouble: bool = True,
        options: Json | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.cluster = Cluster(self.random)
        self.classes = list(controllers)
        self.trouble = trouble
        self.options = options or {}
        self.events = Recorder()
        self.ends: Callable[[Json], str] = lambda pod: ""
        self.crashes = 0
        #: Whether pods that run become unready now and then.
        self.flaky = trouble
        for number in range(nodes):
            self.cluster.create(NODES, node(f"node-{number}"))
        self.restart()

    def restart(self) -> None:
        """A new process: new controllers, empty memories, stores read anew."""
        self.informers = SimInformers(self.cluster)
        self.queues: list[SimQueue] = []

        def queue(name: str, turn: Callable[[str], float | None]) -> SimQueue:
            made = SimQueue(name, turn, self.cluster)
            self.queues.append(made)
            return made

        context = Context(
            SimApi(self.cluster, self._fault),
            self.informers,  # type: ignore[arg-type]
            self.events,  # type: ignore[arg-type]
            lambda: self.cluster.now,
            self.options,
            queue,  # type: ignore[arg-type]
        )
        self.controllers = [one(context) for one in self.classes]
        for informer in self.informers.all.values():
            informer.sync()
        for controller in self.controllers:
            controller.start()

    def _fault(self, verb: str, done: bool) -> None:
        if not self.trouble:
            return
        if self.random.random() < 0.01:
            raise Crash
        if not done and verb in ("update", "patch") and self.random.random() < 0.03:
            raise Conflict(409, "Conflict", "somebody was faster")

    # -- running ----------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def settle(self, most: int = 20_000, horizon: float = 3600.0) -> None:
        """No more trouble; until nothing happens, or only beyond the horizon (seconds)."""
        self.trouble = self.flaky = False
        end = self.cluster.now + horizon
        for _ in range(most):
            if not self.step(until=end):
                return
        raise AssertionError("it never comes to rest")

    def step(self, until: float | None = None) -> bool:
        """One thing that can happen; False when nothing can."""
        possible = self._possible()
        if possible:
            self._do(self.random.choice(possible))
            if self.trouble and self.random.random() < 0.1:
                self.cluster.now += self.random.random() * 2
                self._ring()
            return True
        upcoming = min((at for q in self.queues for at in q.alarms.values()), default=None)
        if upcoming is None or (until is not None and upcoming > until):
            return False
        self.cluster.now = max(self.cluster.now, upcoming)
        self._ring()
        return True

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Crash:
            self.crashes += 1
            self.restart()

    def _ring(self) -> None:
        for queue in self.queues:
            queue.ring()

    def _possible(self) -> list[Callable[[], None]]:
        found: list[Callable[[], None]] = []
        found += [i.deliver for i in self.informers.all.values() if i.behind()]
        for queue in self.queues:
            found += [lambda q=queue, k=key: q.take(k) for key in queue.ready]
        for pod in self.cluster.all(PODS):
            action = self._pod_action(pod)
            if action is not None:
                found.append(action)
        found += self._garbage()
        return found

    # -- the world around -------------------------------------------------------------------------

    def _pod_action(self, pod: Json) -> Callable[[], None] | None:
        phase = pod["status"].get("phase")
        if "deletionTimestamp" in pod["metadata"]:
            grace = pod["metadata"].get("deletionGracePeriodSeconds", 0)
            if phase not in ("Succeeded", "Failed"):
                return lambda: self._end_deleted(pod)
            return (lambda: self._remove(pod)) if grace else None
        if phase in ("Succeeded", "Failed"):
            return None
        if not pod["spec"].get("nodeName"):
            fitting = self._nodes_for(pod)
            return (lambda: self._bind(pod, self.random.choice(fitting))) if fitting else None
        ready = phase == "Running" and _ready(pod)
        bad = any("bad" in c["image"] for c in pod["spec"]["containers"])
        if not ready:
            return None if bad else lambda: self._set_ready(pod, True)
        if end := self.ends(pod):
            return lambda: self._set_status(pod, {**pod["status"], "phase": end})
        if self.flaky and self.random.random() < 0.02:
            return lambda: self._set_ready(pod, False)
        return None

    def _nodes_for(self, pod: Json) -> list[str]:
        affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
        wanted = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        names = [n["metadata"]["name"] for n in self.cluster.all(NODES)]
        if wanted is None:
            return names
        return [n for n in names if selectors.node_selector_matches(wanted, {}, n)]

    def _bind(self, pod: Json, node: str) -> None:
        new = copied(pod)
        new["spec"]["nodeName"] = node
        self.cluster.update(PODS, new)

    def _set_ready(self, pod: Json, ready: bool) -> None:
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "lastTransitionTime": rfc3339(self.cluster.now),
        }
        self._set_status(pod, {**pod["status"], "phase": "Running", "conditions": [condition]})

    def _end_deleted(self, pod: Json) -> None:
        self._set_status(pod, {**pod["status"], "phase": "Failed", "conditions": []})

    def _remove(self, pod: Json) -> None:
        self.cluster.delete(
            PODS, pod["metadata"]["name"], pod["metadata"]["namespace"], grace_seconds=0
        )

    def _set_status(self, pod: Json, status: Json) -> None:
        self.cluster.update(PODS, {**pod, "status": status}, "status")

    def _garbage(self) -> list[Callable[[], None]]:
        present = {o["metadata"]["uid"] for r in self.cluster.objects for o in self.cluster.all(r)}
        found: list[Callable[[], None]] = []
        for resource in self.cluster.objects:
            for object_ in self.cluster.all(resource):
                metadata = object_["metadata"]
                owners = metadata.get("ownerReferences") or ()
                if "deletionTimestamp" in metadata or not owners:
                    continue
                if not any(o["uid"] in present for o in owners):
                    found.append(lambda r=resource, o=object_: self._collect(r, o))
        return found

    def _collect(self, resource: Resource, object_: Json) -> None:
        metadata = object_["metadata"]
        self.cluster.delete(resource, metadata["name"], metadata.get("namespace", ""))

    # -- what a user does -------------------------------------------------------------------------

    def change(
        self,
        resource: Resource,
        name: str,
        change: Callable[[Json], None],
        namespace: str = "default",
    ) -> None:
        """As `kubectl edit` would."""
        new = copied(self.cluster.get(resource, name, namespace))
        change(new)
        self.cluster.update(resource, new)

    def key(self, object_: Json) -> str:
        return key_of(object_)


def _ready(pod: Json) -> bool:
    return any(
        c["type"] == "Ready" and c["status"] == "True"
        for c in pod["status"].get("conditions") or ()
    )


def node(name: str) -> Json:
    return {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {}}


def template(app: str = "web", image: str = "web:1") -> Json:
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }
