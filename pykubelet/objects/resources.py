"""What a pod asks for: requests, limits and the QoS class that follow from its spec.

The scheduler, the node's admission, the cgroup tree, eviction and quota all need the same sums, so
they are made here once. Numbers are exact (`quantity.parse`): CPU in cores, memory in bytes.

Sources: the API reference (PodSpec, ResourceRequirements), KEP-753 (sidecar containers are init
containers with restartPolicy Always, and count while later ones run), KEP-2837 (resources of the
pod as a whole take the place of the sums), KEP-688 (overhead of the runtime class).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from pykubelet.objects import quantity

Json = dict[str, Any]
Resources = dict[str, Fraction]

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"

_QOS_RESOURCES = ("cpu", "memory")
_HUGEPAGES = "hugepages-"


def container_requests(container: Json) -> Resources:
    """One container's requests. As defaulting does, a limit without a request is the request."""
    resources = container.get("resources") or {}
    return {**_numbers(resources.get("limits")), **_numbers(resources.get("requests"))}


def container_limits(container: Json) -> Resources:
    """One container's limits."""
    return _numbers((container.get("resources") or {}).get("limits"))


def is_sidecar(init_container: Json) -> bool:
    """Whether an init container keeps running beside the regular ones (KEP-753)."""
    return init_container.get("restartPolicy") == "Always"


def requests(pod: Json) -> Resources:
    """What the pod reserves on a node, overhead included."""
    spec = pod.get("spec") or {}
    total = _over_its_life(spec, container_requests)
    whole = spec.get("resources") or {}
    limits_of_pod, requests_of_pod = _numbers(whole.get("limits")), _numbers(whole.get("requests"))
    for name in {*limits_of_pod, *requests_of_pod}:
        if not _pod_level(name):
            continue
        if name in requests_of_pod:
            total[name] = requests_of_pod[name]
        elif name not in total:
            total[name] = limits_of_pod[name]  # nothing else asked: the limit is the request
    return _sum([total, _numbers(spec.get("overhead"))])


def limits(pod: Json) -> Resources:
    """The pod's limits: its own, or the sums over its containers; a container without a limit adds
    nothing. Overhead is added to those resources that have one."""
    spec = pod.get("spec") or {}
    total = _over_its_life(spec, container_limits)
    for name, number in _numbers((spec.get("resources") or {}).get("limits")).items():
        if _pod_level(name):
            total[name] = number
    for name, number in _numbers(spec.get("overhead")).items():
        if name in total:
            total[name] += number
    return total


def qos_class(pod: Json) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`, always computed from the spec.

    Only CPU and memory count, and zero counts as not given. Resources of the pod as a whole decide
    alone where there are any; else every init and regular container takes part.
    """
    spec = pod.get("spec") or {}
    whole = spec.get("resources") or {}
    parts: list[Json] = (
        [{"resources": whole}]
        if whole.get("requests") or whole.get("limits")
        else [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    )
    asked: Resources = {}
    limited: Resources = {}
    guaranteed = True
    for part in parts:
        mine = _qos_numbers(container_requests(part))
        bounds = _qos_numbers(container_limits(part))
        asked, limited = _sum([asked, mine]), _sum([limited, bounds])
        guaranteed = guaranteed and len(bounds) == len(_QOS_RESOURCES)
    if not asked and not limited:
        return BEST_EFFORT
    return GUARANTEED if guaranteed and asked == limited else BURSTABLE


def _over_its_life(spec: Json, of: Callable[[Json], Resources]) -> Resources:
    """The highest need of the pod's whole life, resource by resource.

    Each init container runs beside the sidecars started before it; the regular containers run
    beside all sidecars.
    """
    running = _sum(of(c) for c in spec.get("containers") or ())
    sidecars: Resources = {}
    peak: Resources = {}
    for container in spec.get("initContainers") or ():
        mine = _sum([of(container), sidecars])
        if is_sidecar(container):
            sidecars = mine
        peak = _max(peak, mine)
    return _max(_sum([running, sidecars]), peak)


def _pod_level(name: str) -> bool:
    return name in _QOS_RESOURCES or name.startswith(_HUGEPAGES)


def _qos_numbers(resources: Resources) -> Resources:
    return {name: resources[name] for name in _QOS_RESOURCES if resources.get(name)}


def _numbers(written: Json | None) -> Resources:
    return {name: quantity.parse(value) for name, value in (written or {}).items()}


def _sum(parts: Iterable[Resources]) -> Resources:
    total: Resources = {}
    for part in parts:
        for name, number in part.items():
            total[name] = total[name] + number if name in total else number
    return total


def _max(a: Resources, b: Resources) -> Resources:
    return {**a, **{name: max(number, a.get(name, number)) for name, number in b.items()}}
