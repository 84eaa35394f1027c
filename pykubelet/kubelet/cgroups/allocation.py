"""How the node's CPU and memory are dealt out to the groups above the pods.

All pods together get the machine less what is reserved; the burstable ones among them weigh what
they asked for together, best effort always the least. Pure; `tree` writes the result down. A single
pod's limits are `limits`'.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pykubelet.kubelet.cgroups import cpu
from pykubelet.kubelet.cgroups.limits import PodLimits
from pykubelet.objects import quantity, resources

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is kept for somebody: millicores, bytes, processes; 0 for nothing."""

    cpu_milli: int = 0
    memory: int = 0
    pids: int = 0


@dataclass(frozen=True, slots=True)
class NodeReservations:
    """What the node has, and what is kept from the pods (KEP "Node Allocatable").

    `cpu_milli`, `memory` and `pids` are the whole machine's: both reservations are subtracted here.
    `enforce` holds enforceNodeAllocatable's words: `pods`, `system-reserved`, `kube-reserved` and
    the last two with `-compressible` (CPU only). The two groups must exist already, as upstream
    demands: they are the host's own. `pids` 0: not limited. `memory_reservation` as in `limits`.
    """

    cpu_milli: int
    memory: int
    pids: int = 0
    system: Reservation = field(default_factory=Reservation)
    kube: Reservation = field(default_factory=Reservation)
    enforce: frozenset[str] = frozenset({"pods"})
    system_cgroup: str = ""
    kube_cgroup: str = ""
    memory_reservation: str = "None"


def of_all_pods(node: NodeReservations) -> PodLimits:
    """All pods together: the node less both reservations. (Not less the eviction threshold: the
    agent must get to evict before the kernel kills.)"""
    shares = cpu.milli_to_shares(
        max(node.cpu_milli - node.system.cpu_milli - node.kube.cpu_milli, 0)
    )
    if "pods" not in node.enforce:
        return PodLimits(cpu_shares=shares, memory=cpu.UNLIMITED, pids=cpu.UNLIMITED)
    memory = node.memory - node.system.memory - node.kube.memory
    pids = node.pids - node.system.pids - node.kube.pids
    return PodLimits(
        cpu_shares=shares,
        memory=memory if memory > 0 else cpu.UNLIMITED,
        pids=pids if pids > 0 else cpu.UNLIMITED,
    )


def of_classes(pods: Iterable[Json], node: NodeReservations | None) -> dict[str, PodLimits]:
    """The QoS classes by name, as these active pods make them. Guaranteed stands for all pods'
    group, in which its pods are."""
    milli = 0
    memory = {resources.GUARANTEED: 0, resources.BURSTABLE: 0, resources.BEST_EFFORT: 0}
    for pod in pods:
        qos, asked = resources.qos_class(pod), resources.requests(pod)
        memory[qos] += quantity.to_int(asked.get("memory", 0))
        if qos == resources.BURSTABLE:
            milli += quantity.to_milli(asked.get("cpu", 0))
    burstable = PodLimits(resources.BURSTABLE, cpu_shares=cpu.milli_to_shares(milli))
    best_effort = PodLimits(resources.BEST_EFFORT, cpu_shares=cpu.MIN_SHARES)
    groups = {resources.BURSTABLE: burstable, resources.BEST_EFFORT: best_effort}
    if node and node.memory_reservation == "TieredReservation":
        # A protection holds only as far as every group above grants it as well.
        low = {"memory.low": str(memory[resources.BURSTABLE])}
        hard = {"memory.min": str(memory[resources.GUARANTEED])}
        groups[resources.BURSTABLE] = replace(burstable, unified=low)
        groups[resources.GUARANTEED] = PodLimits(resources.GUARANTEED, unified=low | hard)
    return groups
