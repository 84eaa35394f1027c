"""VolumeZone: a bound volume that is labelled with a zone or region is used there only."""

from __future__ import annotations

from pykubelet.scheduler.framework import NODE_EVENTS, NodeFilter, Rejection
from pykubelet.scheduler.nodes import REGION, ZONE, NodeInfo
from pykubelet.scheduler.plugins.volumes import CLAIM, CLASS, VOLUME, VolumePlugin, bound_volumes
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot

_BETA = {
    "failure-domain.beta.kubernetes.io/zone": ZONE,
    "failure-domain.beta.kubernetes.io/region": REGION,
}
_KEYS = (ZONE, REGION, *_BETA)


class VolumeZone(VolumePlugin):
    name = "VolumeZone"
    events = NODE_EVENTS
    kinds = frozenset((CLAIM, VOLUME, CLASS))

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        wanted = [
            (key, frozenset(labels[key].split("__")))
            for _, volume in bound_volumes(pod, view)
            if volume is not None and (labels := volume["metadata"].get("labels") or {})
            for key in _KEYS
            if key in labels
        ]
        if not wanted:
            return None

        def verdict(node: NodeInfo) -> Rejection | None:
            labels = node.labels
            if not any(key in labels for key in _KEYS):
                return None  # a cluster in one place doesn't label its nodes
            for key, values in wanted:
                value = labels.get(key) or labels.get(_BETA.get(key, ""))
                if value not in values:
                    return _ELSEWHERE
            return None

        return verdict


_ELSEWHERE = Rejection(VolumeZone.name, ("node(s) had no available volume zone",), False)
