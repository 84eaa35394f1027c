"""What the configuration means to each room, in that room's own words. Pure.

The rooms don't know the configuration; `parts` hands these values to them, and hands them anew
where a running agent takes up a changed file.
"""

from __future__ import annotations

from collections.abc import Mapping

from pykubelet.kubelet.cgroups.limits import Rules as LimitRules
from pykubelet.kubelet.cgroups.tree import NodeReservations, Reservation
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.node import amounts, eviction
from pykubelet.kubelet.node.amounts import Amounts
from pykubelet.kubelet.node.evictor import Rules as EvictionRules
from pykubelet.kubelet.node.garbage import ImagePolicy


def limits(
    config: Configuration,
    capacity: Amounts,
    allocatable: Amounts,
    *,
    cgroup_version: int,
    swap_controller: bool,
    page_sizes: tuple[str, ...],
) -> LimitRules:
    """How containers' and pods' limits are worked out on this node."""
    return LimitRules(
        node_memory=capacity.memory,
        allocatable_memory=allocatable.memory,
        node_swap=capacity.swap,
        cgroup_version=cgroup_version,
        swap_controller=swap_controller,
        page_sizes=page_sizes,
        cpu_cfs_quota=config.cpu_cfs_quota,
        cpu_cfs_period=int(config.cpu_cfs_quota_period * 1_000_000),
        memory_throttling=config.memory_throttling_factor,
        memory_reservation=config.memory_reservation_policy,
        swap_behavior=config.swap_behavior or "NoSwap",
        single_process_oom_kill=config.single_process_oom_kill,
        pod_pids_limit=config.pod_pids_limit,
    )


def reservations(config: Configuration, capacity: Amounts) -> NodeReservations:
    """How the node is dealt out between the system, its daemons and the pods: `cgroups` takes what
    is reserved off the whole."""
    return NodeReservations(
        cpu_milli=capacity.cpu_milli,
        memory=capacity.memory,
        pids=capacity.pids,
        system=_reservation(config.system_reserved),
        kube=_reservation(config.kube_reserved),
        enforce=frozenset(config.enforce_node_allocatable),
        system_cgroup=config.system_reserved_cgroup,
        kube_cgroup=config.kube_reserved_cgroup,
        memory_reservation=config.memory_reservation_policy,
    )


def _reservation(written: Mapping[str, str]) -> Reservation:
    found = amounts.reserved(written)
    return Reservation(found.cpu_milli, found.memory, found.pids)


def evictions(config: Configuration) -> EvictionRules:
    """When pods are evicted, and with how much grace."""
    return EvictionRules(
        thresholds=eviction.thresholds(
            config.eviction_hard,
            config.eviction_soft,
            config.eviction_soft_grace_period,
            config.eviction_minimum_reclaim,
            enforce_pods="pods" in config.enforce_node_allocatable,
        ),
        transition=config.eviction_pressure_transition_period,
        max_pod_grace=config.eviction_max_pod_grace_period,
        watch_storage_limits=config.local_storage_capacity_isolation,
    )


def images(config: Configuration) -> ImagePolicy:
    """When unused images are removed."""
    return ImagePolicy(
        high_percent=config.image_gc_high_threshold_percent,
        low_percent=config.image_gc_low_threshold_percent,
        min_age=config.image_minimum_gc_age,
        max_age=config.image_maximum_gc_age,
    )


def parallel_pulls(config: Configuration) -> int:
    """How many images are pulled at a time."""
    return config.max_parallel_image_pulls or (1 if config.serialize_image_pulls else 5)
