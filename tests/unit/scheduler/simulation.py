"""A cluster in which everything goes late or wrong, on a virtual clock, from a seed.

The world keeps the truth (pods, nodes) and tells the scheduler of each change after a while, in
order, as a watch does. Bindings take time and fail now and then, victims leave when their grace is
over, nodes come and go, and the scheduler itself is killed and begins anew with a list. Whoever
plays a seed again sees the same.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

from pykubelet.scheduler import nodes, pods
from pykubelet.scheduler.actions import Action, Bind, Evict, Mark, Withdraw
from pykubelet.scheduler.brain import Brain
from pykubelet.scheduler.profiles import build

Json = dict[str, Any]


class Cluster:
    def __init__(self, seed: int, *, faults: bool = True) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.pods: dict[str, Json] = {}
        self.nodes: dict[str, Json] = {}
        self.budgets: dict[str, Json] = {}
        self.bindings = 0
        self.evictions: list[tuple[str, str]] = []
        self.on_bind: Callable[[Json, str], None] = lambda pod, node: None
        self.on_evict: Callable[[list[Evict]], None] = lambda evictions: None
        self._faults = faults
        self._number = itertools.count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._told = 0.0
        self._life = 0
        self.restart()

    # -- what happens to the cluster -------------------------------------------------------------

    def restart(self) -> None:
        """Kill the scheduler, with all that it had under way, and start it anew."""
        self._life += 1
        # No pod is tried merely because it has waited: an event that is missed is found out.
        self.brain = Brain({"default-scheduler": build()}, longest_wait=1e9)
        for node in self.nodes.values():
            self.brain.node(nodes.read(node), self.now)
        for pod in self.pods.values():
            self.brain.pod(pods.read(pod), self.now)
        for name, budget in self.budgets.items():
            self.brain.thing("PodDisruptionBudget", name, budget, self.now)

    def put_node(self, node: Json) -> None:
        self.nodes[node["metadata"]["name"]] = node
        facts = nodes.read(node)
        self._tell(lambda: self.brain.node(facts, self.now))

    def drop_node(self, name: str) -> None:
        self.nodes.pop(name, None)
        self._tell(lambda: self.brain.node_gone(name, self.now))
        for key, pod in list(self.pods.items()):
            if pod["spec"].get("nodeName") == name:
                self.drop_pod(key)

    def put_pod(self, pod: Json) -> None:
        metadata = pod["metadata"]
        self.pods[f"{metadata['namespace']}/{metadata['name']}"] = pod
        info = pods.read(pod)
        self._tell(lambda: self.brain.pod(info, self.now))

    def drop_pod(self, key: str) -> None:
        if self.pods.pop(key, None) is not None:
            self._tell(lambda: self.brain.pod_gone(key, self.now))

    def put_budget(self, name: str, budget: Json) -> None:
        self.budgets[name] = budget
        self._tell(lambda: self.brain.thing("PodDisruptionBudget", name, budget, self.now))

    # -- time ------------------------------------------------------------------------------------

    def at(self, delay: float, work: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + delay, next(self._number), work))

    def run(self, until: float) -> None:
        while True:
            self._decide()
            due = self.brain.due()
            times = [t for t in (due, self._queue[0][0] if self._queue else None) if t is not None]
            if not times or min(times) > until:
                self.now = until
                return
            self.now = max(self.now, min(times))
            while self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()

    def _tell(self, word: Callable[[], None]) -> None:
        """As a watch: later, in order, and never to a scheduler that has listed it anyway."""
        life = self._life
        self._told = max(self._told, self.now + self.random.uniform(0, 0.3))
        self.at(self._told - self.now, lambda: word() if life == self._life else None)

    # -- what the scheduler does -----------------------------------------------------------------

    def _decide(self) -> None:
        while (turn := self.brain.turn(self.now)) is not None:
            evictions = [a for a in turn.actions if isinstance(a, Evict)]
            if evictions:
                self.on_evict(evictions)
            for action in turn.actions:
                self._start(action)

    def _start(self, action: Action) -> None:
        life, delay = self._life, self.random.uniform(0.001, 0.5)

        def act() -> None:
            if life == self._life:
                self._act(action)

        self.at(delay, act)

    def _act(self, action: Action) -> None:
        pod = self.pods.get(action.pod.key)
        gone = pod is None or pod["metadata"]["uid"] != action.pod.uid
        match action:
            case Bind():
                broken = self._faults and self.random.random() < 0.1
                # As the API server does, which gives no node to a pod that is being deleted.
                if gone or broken or (pod and "deletionTimestamp" in pod["metadata"]):
                    for next_ in self.brain.not_bound(action.pod, "it went wrong", self.now):
                        self._start(next_)
                    return
                assert pod is not None
                assert not pod["spec"].get("nodeName"), "bound twice"
                self.bindings += 1
                self.on_bind(pod, action.node)
                self.put_pod({**pod, "spec": {**pod["spec"], "nodeName": action.node}})
                for next_ in self.brain.bound(action.pod):
                    self._start(next_)
            case Evict():
                if not gone:
                    assert pod is not None
                    self.evictions.append((action.pod.key, action.preemptor.key))
                    if not pod["spec"].get("nodeName"):
                        self.drop_pod(action.pod.key)  # nobody has to stop it
                        return
                    leaving = {**pod["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
                    self.put_pod({**pod, "metadata": leaving})
                    grace = self.random.uniform(0, 30)
                    self.at(grace, lambda: self._left(action.pod.key, action.pod.uid))
            case Mark() | Withdraw():
                nominated = "" if isinstance(action, Withdraw) else action.nominated
                if not gone and nominated is not None:
                    assert pod is not None
                    status = {**(pod.get("status") or {}), "nominatedNodeName": nominated}
                    if not pod["spec"].get("nodeName"):
                        self.put_pod({**pod, "status": status})

    def _left(self, key: str, uid: str) -> None:
        pod = self.pods.get(key)
        if pod is not None and pod["metadata"]["uid"] == uid:
            self.drop_pod(key)
