"""NodeName: a pod that names its node goes nowhere else."""

from __future__ import annotations

from pykubelet.scheduler.framework import NODE_EVENTS, NodeFilter, Plugin, Rejection
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot


class NodeName(Plugin):
    name = "NodeName"
    events = NODE_EVENTS

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        wanted = pod.node
        if not wanted:
            return None
        return lambda node: None if node.name == wanted else _OTHER


_OTHER = Rejection(NodeName.name, ("node(s) didn't match the requested node name",), False)
