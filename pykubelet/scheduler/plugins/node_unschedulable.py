"""NodeUnschedulable: a cordoned node takes only pods that tolerate just that."""

from __future__ import annotations

from pykubelet.objects import selectors
from pykubelet.scheduler.framework import NODE_EVENTS, NodeFilter, Plugin, Rejection
from pykubelet.scheduler.nodes import UNSCHEDULABLE_TAINT
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    events = NODE_EVENTS

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        if selectors.tolerated(UNSCHEDULABLE_TAINT, pod.shape.tolerations):
            return None
        return lambda node: _CORDONED if node.facts.unschedulable else None


_CORDONED = Rejection(NodeUnschedulable.name, ("node(s) were unschedulable",), False)
