"""NodePorts: a host port of an address belongs to one pod of a node."""

from __future__ import annotations

from pykubelet.scheduler.framework import ROOM_EVENTS, NodeFilter, Plugin, Rejection
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo, Port
from pykubelet.scheduler.snapshot import Snapshot

_ANY = "0.0.0.0"


class NodePorts(Plugin):
    name = "NodePorts"
    events = ROOM_EVENTS

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        wanted = pod.shape.ports
        if not wanted:
            return None

        def verdict(node: NodeInfo) -> Rejection | None:
            taken = node.ports
            if taken and any(clash(mine, other) for mine in wanted for other in taken):
                return _TAKEN
            return None

        return verdict


def clash(mine: Port, other: Port) -> bool:
    """Whether two host ports can't be on one node: the same number and protocol on addresses that
    overlap."""
    return mine[1:] == other[1:] and (mine[0] == other[0] or _ANY in (mine[0], other[0]))


_TAKEN = Rejection(NodePorts.name, ("node(s) didn't have free ports for the requested pod ports",))
