"""A node as scheduling sees it: what it offers, and what the pods on it have taken.

A value: every change makes a new one, so that a verdict holds as long as the node is the same
object, and "what if these pods were gone" (`preempting`) is a plain question. `NodeFacts` is what
comes from the Node object, shared by all values of one node while that does not change; a Node
whose facts are equal to the old ones (a heartbeat) is no change at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.objects import quantity
from pykubelet.scheduler.pods import Amounts, PodInfo, Port

Json = dict[str, Any]

HOSTNAME = "kubernetes.io/hostname"
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
_OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
_OLD_REGION = "failure-domain.beta.kubernetes.io/region"

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    name: str
    labels: Mapping[str, str]
    taints: tuple[Json, ...]
    unschedulable: bool
    allocatable: Amounts
    """CPU in millicores, all else in whole units; `pods` is how many there may be."""
    images: Mapping[str, int]
    """Size in bytes by every name that the node knows an image by."""

    @property
    def zone(self) -> tuple[str, str]:
        """Region and zone, empty where the node does not say."""
        labels = self.labels
        return (
            labels.get(REGION) or labels.get(_OLD_REGION, ""),
            labels.get(ZONE) or labels.get(_OLD_ZONE, ""),
        )


class NodeInfo:
    """Never changed after it is made: `with_pod`, `without` and `told` make another."""

    __slots__ = ("facts", "guessed_cpu", "guessed_memory", "pods", "ports", "requested", "soft",
                 "taints")  # fmt: skip

    facts: NodeFacts
    pods: dict[str, PodInfo]
    requested: Amounts
    guessed_cpu: int
    guessed_memory: int
    ports: tuple[Port, ...]
    taints: tuple[Json, ...]
    """Those that keep pods away; `soft` those that only advise against the node."""
    soft: tuple[Json, ...]

    def __init__(self, facts: NodeFacts, pods: Iterable[PodInfo] = ()) -> None:
        self.pods = {}
        self.requested = {}
        self.guessed_cpu = self.guessed_memory = 0
        self.ports = ()
        self._tell(facts)
        for pod in pods:
            self._count(pod)

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def labels(self) -> Mapping[str, str]:
        return self.facts.labels

    def with_pod(self, pod: PodInfo) -> NodeInfo:
        return self.with_pods((pod,))

    def with_pods(self, pods: Iterable[PodInfo]) -> NodeInfo:
        other = self._copy()
        for pod in pods:
            other._count(pod)
        return other

    def without(self, pods: Iterable[PodInfo]) -> NodeInfo:
        other = self._copy()
        for pod in pods:
            other._discount(pod)
        return other

    def told(self, facts: NodeFacts) -> NodeInfo:
        """The same pods on a node that has changed."""
        other = self._copy()
        other._tell(facts)
        return other

    def _copy(self) -> NodeInfo:
        other = NodeInfo.__new__(NodeInfo)
        other.facts = self.facts
        other.pods = self.pods.copy()
        other.requested = self.requested.copy()
        other.guessed_cpu = self.guessed_cpu
        other.guessed_memory = self.guessed_memory
        other.ports = self.ports
        other.taints = self.taints
        other.soft = self.soft
        return other

    def _tell(self, facts: NodeFacts) -> None:
        self.facts = facts
        self.taints = tuple(
            t for t in facts.taints if t.get("effect") in ("NoSchedule", "NoExecute")
        )
        self.soft = tuple(t for t in facts.taints if t.get("effect") == "PreferNoSchedule")

    def _count(self, pod: PodInfo) -> None:
        if pod.key in self.pods:
            self._discount(self.pods[pod.key])
        shape = pod.shape
        self.pods[pod.key] = pod
        for name, amount in shape.requests.items():
            self.requested[name] = self.requested.get(name, 0) + amount
        self.guessed_cpu += shape.guessed["cpu"]
        self.guessed_memory += shape.guessed["memory"]
        if shape.ports:
            self.ports += shape.ports

    def _discount(self, pod: PodInfo) -> None:
        shape = self.pods.pop(pod.key).shape
        for name, amount in shape.requests.items():
            self.requested[name] -= amount
        self.guessed_cpu -= shape.guessed["cpu"]
        self.guessed_memory -= shape.guessed["memory"]
        if shape.ports:
            left = list(self.ports)
            for port in shape.ports:
                left.remove(port)
            self.ports = tuple(left)


def read(node: Json) -> NodeFacts:
    metadata, spec = node["metadata"], node.get("spec") or {}
    status = node.get("status") or {}
    offered = status.get("allocatable") or status.get("capacity") or {}
    return NodeFacts(
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        taints=tuple(spec.get("taints") or ()),
        unschedulable=bool(spec.get("unschedulable")),
        allocatable={name: _amount(name, value) for name, value in offered.items()},
        images={
            name: int(image.get("sizeBytes") or 0)
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        },
    )


def _amount(name: str, value: object) -> int:
    number = quantity.parse(value)
    return quantity.to_milli(number) if name == "cpu" else quantity.to_int(number)
