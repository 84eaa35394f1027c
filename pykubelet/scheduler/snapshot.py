"""All nodes with all their pods, at one moment: what a decision is made on.

One thread owns it: it takes in changes between decisions and hands it to pure functions in between,
so no copy is ever made. A change costs the one node that it touches, which becomes a new value; it
is also written to a short log, from which `equivalence` learns which of its verdicts have to be
renewed. A pod that was given a node (`assumed`) counts from that moment, whether or not the API
server knows yet.

Nodes stand in an order that goes round the zones, so that looking at the first few hundred of them
is a fair sample of the cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pykubelet.scheduler.catalog import Catalog
from pykubelet.scheduler.nodes import NodeFacts, NodeInfo
from pykubelet.scheduler.pods import PodInfo

_LONGEST_LOG = 20_000


class Change(NamedTuple):
    """`pod` came to (`sign` 1) or left (-1) node `number`; or, where `pod` is None, the node's own
    facts changed, with `sign` 1 if that changes where it belongs (labels, taints)."""

    number: int
    node: NodeInfo
    pod: PodInfo | None
    sign: int


class Snapshot:
    def __init__(self) -> None:
        self.catalog = Catalog()
        self.nominated: dict[str, dict[str, PodInfo]] = {}
        """Pods that wait for room on a node, by node and key."""
        self.images: dict[str, dict[str, int]] = {}
        """Image name → node → size."""
        self.nominations = 0
        """Changes whenever `nominated` does."""
        self.priorities: Counter[int] = Counter()
        """How many pods of each priority have a node."""
        self.affine: dict[str, int] = {}
        """Nodes that have pods with affinity terms, and how many."""
        self.claimed: Counter[str] = Counter()
        """How many pods with a node use a claim, by `namespace/claim`."""
        self.soft_taints = 0
        """How many nodes have a PreferNoSchedule taint."""
        self._version = 0
        self._nodes: dict[str, NodeInfo] = {}
        self._order: list[NodeInfo] = []
        self._index: dict[str, int] = {}
        self._disordered = False
        self._pods: dict[str, PodInfo] = {}
        self._homeless: dict[str, dict[str, PodInfo]] = {}
        self._assumed: set[str] = set()
        self._log: list[Change] = []
        self._log_start = 0
        self._topologies: dict[str, list[str | None]] = {}

    # -- reading ---------------------------------------------------------------------------------

    @property
    def nodes(self) -> Sequence[NodeInfo]:
        """In the order in which they are to be looked at."""
        if self._disordered:
            self._put_in_order()
        return self._order

    @property
    def version(self) -> int:
        """Changes whenever the numbers of the nodes do."""
        if self._disordered:
            self._put_in_order()
        return self._version

    def __len__(self) -> int:
        return len(self._nodes)

    def node(self, name: str) -> NodeInfo | None:
        return self._nodes.get(name)

    def index(self, name: str) -> int:
        return self._index[name] if self.nodes else -1

    def pod(self, key: str) -> PodInfo | None:
        """A pod that has a node."""
        return self._pods.get(key)

    def assumed(self, key: str) -> bool:
        return key in self._assumed

    def topology(self, key: str) -> list[str | None]:
        """Every node's value of a label, by the node's number."""
        nodes = self.nodes
        values = self._topologies.get(key)
        if values is None:
            values = self._topologies[key] = [node.facts.labels.get(key) for node in nodes]
        return values

    @property
    def now(self) -> int:
        """The number that the next change will have."""
        return self._log_start + len(self._log)

    def since(self, number: int) -> Sequence[Change] | None:
        """The changes from a number on; None where they are forgotten."""
        start = number - self._log_start
        return self._log[start:] if start >= 0 else None

    def sizes(self) -> dict[str, int]:
        """How much there is, for the metrics."""
        assumed = len(self._assumed)
        return {"nodes": len(self._nodes), "pods": len(self._pods), "assumed_pods": assumed}

    def pods(self) -> Iterator[PodInfo]:
        return iter(self._pods.values())

    # -- changing --------------------------------------------------------------------------------

    def put_node(self, facts: NodeFacts) -> bool:
        """False if nothing has changed."""
        old = self._nodes.get(facts.name)
        if old is not None and old.facts == facts:
            return False
        relocated = 0
        if old is None:
            new = NodeInfo(facts, self._homeless.pop(facts.name, {}).values())
            self._disordered = True
            self._count_affine(new)
        else:
            new = old.told(facts)
            self.soft_taints -= bool(old.soft)
            if old.facts.zone != facts.zone:
                self._disordered = True
            if old.facts.labels != facts.labels:
                self._topologies.clear()
                relocated = 1
            if old.facts.taints != facts.taints:
                relocated = 1
        self.soft_taints += bool(new.soft)
        self._count_images(facts.name, old.facts if old else None, facts)
        self._nodes[facts.name] = new
        self._replaced(new, None, relocated)
        return True

    def drop_node(self, name: str) -> None:
        old = self._nodes.pop(name, None)
        if old is None:
            return
        if old.pods:
            self._homeless[name] = dict(old.pods)
        self.affine.pop(name, None)
        self.soft_taints -= bool(old.soft)
        self._count_images(name, old.facts, None)
        self._disordered = True

    def assume(self, pod: PodInfo) -> None:
        """Count a pod on the node that it has just been given."""
        self.put_pod(pod)
        self._assumed.add(pod.key)

    def put_pod(self, pod: PodInfo) -> None:
        """A pod that has a node, new or changed."""
        old = self._pods.get(pod.key)
        self._assumed.discard(pod.key)
        if old is not None:
            if old.same_as(pod):
                return
            self.drop_pod(pod.key)
        self._pods[pod.key] = pod
        self.priorities[pod.priority] += 1
        self._claim(pod, 1)
        node = self._nodes.get(pod.node)
        if node is None:
            self._homeless.setdefault(pod.node, {})[pod.key] = pod
            return
        new = self._nodes[pod.node] = node.with_pod(pod)
        if pod.template.affinity:
            self.affine[pod.node] = self.affine.get(pod.node, 0) + 1
        self._replaced(new, pod, 1)

    def drop_pod(self, key: str) -> PodInfo | None:
        pod = self._pods.pop(key, None)
        self._assumed.discard(key)
        if pod is None:
            return None
        self.priorities[pod.priority] -= 1
        if not self.priorities[pod.priority]:
            del self.priorities[pod.priority]
        self._claim(pod, -1)
        node = self._nodes.get(pod.node)
        if node is None:
            self._homeless.get(pod.node, {}).pop(key, None)
            return pod
        new = self._nodes[pod.node] = node.without((pod,))
        if pod.template.affinity:
            self.affine[pod.node] -= 1
            if not self.affine[pod.node]:
                del self.affine[pod.node]
        self._replaced(new, pod, -1)
        return pod

    def nominate(self, pod: PodInfo, node: str) -> None:
        """Let a pod wait for room on a node; an empty name withdraws it."""
        for name, waiting in list(self.nominated.items()):
            if waiting.pop(pod.key, None) is not None:
                self.nominations += 1
                if not waiting:
                    del self.nominated[name]
        if node:
            self.nominated.setdefault(node, {})[pod.key] = pod
            self.nominations += 1

    # -- inside ----------------------------------------------------------------------------------

    def _replaced(self, node: NodeInfo, pod: PodInfo | None, sign: int) -> None:
        if self._disordered:
            return  # everything is looked at anew anyway
        index = self._index[node.name]
        self._order[index] = node
        self._log.append(Change(index, node, pod, sign))
        if len(self._log) > _LONGEST_LOG:
            self._log_start += _LONGEST_LOG // 2
            del self._log[: _LONGEST_LOG // 2]

    def _put_in_order(self) -> None:
        zones: dict[tuple[str, str], list[NodeInfo]] = {}
        for node in self._nodes.values():
            zones.setdefault(node.facts.zone, []).append(node)
        self._order = _round_robin(list(zones.values()))
        self._index = {node.name: index for index, node in enumerate(self._order)}
        self._disordered = False
        self._version += 1
        self._log_start += len(self._log) + 1
        self._log.clear()
        self._topologies.clear()

    def _claim(self, pod: PodInfo, sign: int) -> None:
        for name, _ in pod.claims():
            self.claimed[f"{pod.namespace}/{name}"] += sign

    def _count_affine(self, node: NodeInfo) -> None:
        count = sum(1 for pod in node.pods.values() if pod.template.affinity)
        if count:
            self.affine[node.name] = count

    def _count_images(self, name: str, old: NodeFacts | None, new: NodeFacts | None) -> None:
        before = old.images if old else {}
        after = new.images if new else {}
        for image in before:
            if image not in after:
                on = self.images[image]
                on.pop(name, None)
                if not on:
                    del self.images[image]
        for image, size in after.items():
            if before.get(image) != size:
                self.images.setdefault(image, {})[name] = size


def _round_robin(lists: list[list[NodeInfo]]) -> list[NodeInfo]:
    made = []
    rest = [iter(one) for one in lists]
    while rest:
        left = []
        for one in rest:
            node = next(one, None)
            if node is not None:
                made.append(node)
                left.append(one)
        rest = left
    return made
