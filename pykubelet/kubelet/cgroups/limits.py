"""What a pod and each of its containers may use, decided from the spec alone.

`container_resources` is what goes to the runtime with a container, in the words of CRI's
LinuxContainerResources; `pod_limits` is what the agent itself sets on the pod's cgroup, which no
runtime does for it (`tree`). Pure: what the node adds to the pod's spec comes in as `Rules`.

Sources: the API reference (resources), KEP-2837 (pod-level resources), KEP-2570 (MemoryQoS),
KEP-2400 (swap), KEP-753 (sidecars), the CRI's api.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pykubelet.kubelet.cgroups import cpu
from pykubelet.objects import quantity, resources

Json = dict[str, Any]

#: Priorities from here on belong to the system (scheduling/v1, SystemCriticalPriority).
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000
NODE_CRITICAL = "system-node-critical"

GUARANTEED_OOM_SCORE = -997
BEST_EFFORT_OOM_SCORE = 1000
#: What the agent, the runtime and the sandboxes themselves run with.
AGENT_OOM_SCORE = -999
SANDBOX_OOM_SCORE = -998

_PAGE = 4096
_HUGEPAGES = "hugepages-"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the node and its configuration add to what a pod says.

    Memory and swap in bytes, the CFS period in microseconds. `page_sizes` are the huge page sizes
    that the host can limit, spelled as the kernel spells them ("2MB", "1GB"). `memory_throttling`
    is MemoryQoS' factor; 0 switches MemoryQoS off, as upstream's default is.
    """

    node_memory: int
    allocatable_memory: int = 0
    node_swap: int = 0
    cgroup_version: int = 2
    swap_controller: bool = True
    page_sizes: tuple[str, ...] = ()
    cpu_cfs_quota: bool = True
    cpu_cfs_period: int = cpu.DEFAULT_PERIOD
    memory_throttling: float = 0.0
    memory_reservation: str = "None"  # or TieredReservation
    swap_behavior: str = "NoSwap"  # or LimitedSwap
    single_process_oom_kill: bool = False
    pod_pids_limit: int = -1


@dataclass(frozen=True, slots=True)
class PodLimits:
    """What holds for a group: a pod as a whole, or all pods of a class.

    None leaves a figure as it is, -1 (`cpu.UNLIMITED`) takes its limit away. Memory in bytes,
    `cpu_quota` and `cpu_period` in microseconds, `hugepages` in bytes by the kernel's name of the
    page size. `unified` are further cgroup v2 files and what goes into them.
    """

    qos: str = ""
    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int = cpu.DEFAULT_PERIOD
    memory: int | None = None
    pids: int | None = None
    hugepages: Mapping[str, int] = field(default_factory=dict)
    unified: Mapping[str, str] = field(default_factory=dict)


def container_resources(pod: Json, container: Json, rules: Rules) -> Json:
    """CRI's LinuxContainerResources for one container of the pod, in api.proto's field names.

    `cpu_quota` is -1 where there is no limit, so that a resize which takes a limit away does.
    """
    asked = resources.container_requests(container)
    limited = resources.container_limits(container)
    for name in ("cpu", "memory"):
        # A container without a limit of its own may use what its pod may use (KEP-2837).
        whole = _pod_level(pod, "limits").get(name)
        if whole and not limited.get(name):
            limited[name] = whole
    memory_limit = quantity.to_int(limited.get("memory", Fraction(0)))
    found: Json = {
        "cpu_shares": cpu.milli_to_shares(quantity.to_milli(asked.get("cpu", Fraction(0)))),
        "oom_score_adj": oom_score(pod, container, rules.node_memory),
    }
    if memory_limit:
        found["memory_limit_in_bytes"] = memory_limit
    if rules.cpu_cfs_quota:
        found["cpu_period"] = rules.cpu_cfs_period
        found["cpu_quota"] = cpu.milli_to_quota(
            quantity.to_milli(limited.get("cpu", Fraction(0))), rules.cpu_cfs_period
        )
    if rules.page_sizes:
        pages = _hugepages(limited, rules.page_sizes)
        found["hugepage_limits"] = [
            {"page_size": size, "limit": limit} for size, limit in pages.items()
        ]
    unified: dict[str, str] = {}
    if rules.cgroup_version == 2:
        unified.update(_memory_qos(pod, container, limited, rules))
        if not rules.single_process_oom_kill:
            # A container is one thing: when the kernel kills in it, it kills all of it, so that
            # no half-dead container stays behind (v2 only; v1 knows single processes alone).
            unified["memory.oom.group"] = "1"
    swap = _swap(pod, container, rules)
    if swap is not None and rules.cgroup_version == 2:
        unified["memory.swap.max"] = str(swap)
    elif swap is not None and memory_limit:
        # cgroup v1 limits memory and swap together.
        found["memory_swap_limit_in_bytes"] = memory_limit + swap
    if unified:
        found["unified"] = unified
    return found


def pod_limits(pod: Json, rules: Rules) -> PodLimits:
    """What the pod's cgroup gets.

    A burstable pod is limited as a whole only where every container is, or the pod itself says
    so: else the sum of the limits that there are would throttle the containers that have none.
    """
    qos = resources.qos_class(pod)
    asked, limited = resources.requests(pod), resources.limits(pod)
    shares = cpu.milli_to_shares(quantity.to_milli(asked.get("cpu", Fraction(0))))
    quota = memory = cpu.UNLIMITED
    if rules.cpu_cfs_quota and _limited_throughout(pod, "cpu"):
        milli = quantity.to_milli(limited.get("cpu", Fraction(0)))
        quota = cpu.milli_to_quota(milli, rules.cpu_cfs_period)
    if _limited_throughout(pod, "memory"):
        memory = quantity.to_int(limited.get("memory", Fraction(0))) or cpu.UNLIMITED
    return PodLimits(
        qos=qos,
        cpu_shares=cpu.MIN_SHARES if qos == resources.BEST_EFFORT else shares,
        cpu_quota=quota,
        cpu_period=rules.cpu_cfs_period,
        memory=memory,
        pids=rules.pod_pids_limit if rules.pod_pids_limit > 0 else cpu.UNLIMITED,
        hugepages=_hugepages(limited, rules.page_sizes),
        unified=_reservation(qos, quantity.to_int(asked.get("memory", Fraction(0))), rules),
    )


def is_critical(pod: Json) -> bool:
    """Whether the node must never evict or preempt it: static, a mirror, or of system priority."""
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    source = annotations.get("kubernetes.io/config.source", "api")
    if source != "api" or "kubernetes.io/config.mirror" in annotations:
        return True
    return ((pod.get("spec") or {}).get("priority") or 0) >= SYSTEM_CRITICAL_PRIORITY


def oom_score(pod: Json, container: Json, node_memory: int) -> int:
    """oom_score_adj of a container's processes: whom the kernel takes first when memory is out.

    Guaranteed and node-critical pods go last (-997), best-effort ones first (1000); in between,
    the larger a share of the node's memory a container reserved, the longer it is spared.
    """
    spec = pod.get("spec") or {}
    if is_critical(pod) and spec.get("priorityClassName") == NODE_CRITICAL:
        return GUARANTEED_OOM_SCORE
    qos = resources.qos_class(pod)
    if qos == resources.GUARANTEED:
        return GUARANTEED_OOM_SCORE
    if qos == resources.BEST_EFFORT or not node_memory:
        return BEST_EFFORT_OOM_SCORE
    share = _spare_memory_request(pod)
    score = _burstable_score(_memory_request(container) + share, node_memory)
    if resources.is_sidecar(container) and container in (spec.get("initContainers") or ()):
        # A sidecar that dies before the container it serves helps nobody (KEP-753).
        served = [
            _burstable_score(_memory_request(c) + share, node_memory)
            for c in spec.get("containers") or ()
        ]
        score = min([score, *served])
    return score


def _burstable_score(request: int, node_memory: int) -> int:
    score = 1000 - (1000 * request) // node_memory
    floor = 1000 + GUARANTEED_OOM_SCORE
    return min(max(score, floor), BEST_EFFORT_OOM_SCORE - 1)


def _memory_request(container: Json) -> int:
    return quantity.to_int(resources.container_requests(container).get("memory", Fraction(0)))


def _spare_memory_request(pod: Json) -> int:
    """What the pod as a whole reserved beyond its containers, shared out among them (KEP-2837)."""
    spec = pod.get("spec") or {}
    whole = _pod_level(pod, "requests").get("memory")
    sidecars = [c for c in spec.get("initContainers") or () if resources.is_sidecar(c)]
    containers = [*(spec.get("containers") or ()), *sidecars]
    if whole is None or not containers:
        return 0
    spare = quantity.to_int(whole) - sum(map(_memory_request, containers))
    return max(spare, 0) // len(containers)


def _pod_level(pod: Json, kind: str) -> resources.Resources:
    written = ((pod.get("spec") or {}).get("resources") or {}).get(kind) or {}
    return {name: quantity.parse(value) for name, value in written.items()}


def _limited_throughout(pod: Json, name: str) -> bool:
    if _pod_level(pod, "limits").get(name):
        return True
    spec = pod.get("spec") or {}
    every = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return bool(every) and all(resources.container_limits(c).get(name) for c in every)


def _hugepages(limited: resources.Resources, page_sizes: tuple[str, ...]) -> dict[str, int]:
    """Bytes by page size, 0 for each size of the host that the pod did not ask for."""
    wanted = {
        page_size_name(quantity.to_int(quantity.parse(name.removeprefix(_HUGEPAGES)))): amount
        for name, amount in limited.items()
        if name.startswith(_HUGEPAGES)
    }
    return {size: quantity.to_int(wanted.get(size, Fraction(0))) for size in page_sizes}


def page_size_name(size: int) -> str:
    """Bytes as the hugetlb controller's files spell them: 64KB, 2MB, 1GB."""
    for power, letters in ((30, "GB"), (20, "MB"), (10, "KB")):
        if size >= 1 << power:
            return f"{size >> power}{letters}"
    return f"{size}B"


def _reservation(qos: str, request: int, rules: Rules) -> dict[str, str]:
    """The memory that the kernel shall leave alone: hard for guaranteed, soft for burstable."""
    if rules.cgroup_version != 2 or rules.memory_reservation != "TieredReservation" or not request:
        return {}
    if qos == resources.GUARANTEED:
        return {"memory.min": str(request)}
    return {"memory.low": str(request)} if qos == resources.BURSTABLE else {}


def _memory_qos(
    pod: Json, container: Json, limited: resources.Resources, rules: Rules
) -> dict[str, str]:
    """KEP-2570: throttle a container by reclaim before its limit kills it."""
    request = _memory_request(container)
    found = _reservation(resources.qos_class(pod), request, rules)
    if not rules.memory_throttling:
        return found
    limit = quantity.to_int(limited.get("memory", Fraction(0)))
    ceiling = limit or rules.allocatable_memory or rules.node_memory
    if request != limit or not limit:
        between = int((ceiling - request) * Fraction(str(rules.memory_throttling)))
        high = (request + between) // _PAGE * _PAGE
        if high > request:
            found["memory.high"] = str(high)
    return found


def _swap(pod: Json, container: Json, rules: Rules) -> int | None:
    """Bytes of swap that the container may use; None where the kernel can't limit it.

    Nobody gets swap unless the node's configuration asks for it. With LimitedSwap a container of
    a burstable pod gets the node's swap in proportion to its memory request (KEP-2400).
    """
    if not rules.swap_controller:
        return None
    if rules.swap_behavior != "LimitedSwap" or rules.cgroup_version != 2:
        return 0
    if resources.qos_class(pod) != resources.BURSTABLE or is_critical(pod):
        return 0
    request = _memory_request(container)
    limit = quantity.to_int(resources.container_limits(container).get("memory", Fraction(0)))
    if not request or request == limit or not rules.node_memory:
        return 0
    return request * rules.node_swap // rules.node_memory
