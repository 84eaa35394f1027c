"""All plugins: their names, weights by default, in the order in which they are asked.

A plugin of one's own is a module with a `framework.Plugin`, and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pykubelet.scheduler.framework import Plugin
from pykubelet.scheduler.plugins.image_locality import ImageLocality
from pykubelet.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from pykubelet.scheduler.plugins.node_affinity import NodeAffinity
from pykubelet.scheduler.plugins.node_name import NodeName
from pykubelet.scheduler.plugins.node_ports import NodePorts
from pykubelet.scheduler.plugins.node_resources_balanced_allocation import (
    NodeResourcesBalancedAllocation,
)
from pykubelet.scheduler.plugins.node_resources_fit import NodeResourcesFit
from pykubelet.scheduler.plugins.node_unschedulable import NodeUnschedulable
from pykubelet.scheduler.plugins.node_volume_limits import NodeVolumeLimits
from pykubelet.scheduler.plugins.pod_topology_spread import PodTopologySpread
from pykubelet.scheduler.plugins.scheduling_gates import SchedulingGates
from pykubelet.scheduler.plugins.taint_toleration import TaintToleration
from pykubelet.scheduler.plugins.volume_binding import VolumeBinding
from pykubelet.scheduler.plugins.volume_restrictions import VolumeRestrictions
from pykubelet.scheduler.plugins.volume_zone import VolumeZone

Json = dict[str, Any]

FILTER, SCORE, POST_FILTER = "filter", "score", "postFilter"
PRE_ENQUEUE, QUEUE_SORT, BIND = "preEnqueue", "queueSort", "bind"
# Those below carry a part of what is decided elsewhere, and can't be switched by themselves.
PRE_FILTER, PRE_SCORE, RESERVE, PRE_BIND = "preFilter", "preScore", "reserve", "preBind"
PERMIT, POST_BIND = "permit", "postBind"

#: Name → (weight by default, where it takes part).
PLUGINS: dict[str, tuple[int, frozenset[str]]] = {
    "SchedulingGates": (0, frozenset((PRE_ENQUEUE,))),
    "PrioritySort": (0, frozenset((QUEUE_SORT,))),
    "NodeUnschedulable": (0, frozenset((FILTER,))),
    "NodeName": (0, frozenset((FILTER,))),
    "TaintToleration": (3, frozenset((FILTER, PRE_SCORE, SCORE))),
    "NodeAffinity": (2, frozenset((PRE_FILTER, FILTER, PRE_SCORE, SCORE))),
    "NodePorts": (0, frozenset((PRE_FILTER, FILTER))),
    "NodeResourcesFit": (1, frozenset((PRE_FILTER, FILTER, PRE_SCORE, SCORE))),
    "VolumeRestrictions": (0, frozenset((PRE_FILTER, FILTER))),
    "NodeVolumeLimits": (0, frozenset((PRE_FILTER, FILTER))),
    "VolumeBinding": (0, frozenset((PRE_FILTER, FILTER, RESERVE, PRE_BIND))),
    "VolumeZone": (0, frozenset((PRE_FILTER, FILTER))),
    "PodTopologySpread": (2, frozenset((PRE_FILTER, FILTER, PRE_SCORE, SCORE))),
    "InterPodAffinity": (2, frozenset((PRE_FILTER, FILTER, PRE_SCORE, SCORE))),
    "DefaultPreemption": (0, frozenset((POST_FILTER, PRE_ENQUEUE))),
    "NodeResourcesBalancedAllocation": (1, frozenset((PRE_SCORE, SCORE))),
    "ImageLocality": (1, frozenset((SCORE,))),
    "DefaultBinder": (0, frozenset((BIND,))),
}

POINTS = (PRE_ENQUEUE, QUEUE_SORT, PRE_FILTER, FILTER, POST_FILTER, PRE_SCORE, SCORE, RESERVE,
          PERMIT, PRE_BIND, BIND, POST_BIND)  # fmt: skip


def make(name: str, args: Json) -> Plugin | None:
    """A plugin by its name and checked arguments; None for those that other modules carry out
    (`queue`, `preempting`, `acting`)."""
    maker = _MAKERS.get(name)
    return maker(args) if maker else None


def _fit(args: Json) -> NodeResourcesFit:
    strategy = args.get("scoringStrategy") or {}
    shape = (strategy.get("requestedToCapacityRatio") or {}).get("shape") or ()
    return NodeResourcesFit(
        strategy.get("type", "LeastAllocated"),
        _weights(strategy.get("resources")) or {"cpu": 1, "memory": 1},
        tuple((point["utilization"], point["score"]) for point in shape),
        frozenset(args.get("ignoredResources") or ()),
        frozenset(args.get("ignoredResourceGroups") or ()),
    )


def _balanced(args: Json) -> NodeResourcesBalancedAllocation:
    return NodeResourcesBalancedAllocation(_weights(args.get("resources")) or ("cpu", "memory"))


def _spread(args: Json) -> PodTopologySpread:
    if args.get("defaultingType", "System") == "System":
        return PodTopologySpread(None)
    return PodTopologySpread(args.get("defaultConstraints") or ())


def _affinity(args: Json) -> InterPodAffinity:
    return InterPodAffinity(
        args.get("hardPodAffinityWeight", 1), bool(args.get("ignorePreferredTermsOfExistingPods"))
    )


def _weights(resources: Any) -> dict[str, int]:
    return {one["name"]: one.get("weight") or 1 for one in resources or ()}


_MAKERS: dict[str, Callable[[Json], Plugin]] = {
    "SchedulingGates": lambda args: SchedulingGates(),
    "NodeUnschedulable": lambda args: NodeUnschedulable(),
    "NodeName": lambda args: NodeName(),
    "TaintToleration": lambda args: TaintToleration(),
    "NodeAffinity": lambda args: NodeAffinity(args.get("addedAffinity")),
    "NodePorts": lambda args: NodePorts(),
    "NodeResourcesFit": _fit,
    "VolumeRestrictions": lambda args: VolumeRestrictions(),
    "NodeVolumeLimits": lambda args: NodeVolumeLimits(),
    "VolumeBinding": lambda args: VolumeBinding(),
    "VolumeZone": lambda args: VolumeZone(),
    "PodTopologySpread": _spread,
    "InterPodAffinity": _affinity,
    "NodeResourcesBalancedAllocation": _balanced,
    "ImageLocality": lambda args: ImageLocality(),
}
