"""NodeAffinity: the labels, or the very names, of the nodes that a pod wants or would like."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pykubelet.objects import selectors
from pykubelet.scheduler.framework import NODE_EVENTS, NodeFilter, NodeScore, Plugin, Rejection
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo, Shape
from pykubelet.scheduler.snapshot import Snapshot

Json = dict[str, Any]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    events = NODE_EVENTS
    normalize = "max"

    def __init__(self, added: Json | None = None) -> None:
        """`added` is a node affinity that every pod of the profile has beside its own."""
        self._added = added or {}

    def prefilter(self, pod: PodInfo, view: Snapshot) -> Rejection | Collection[str] | None:
        """Pods that name their node by a field, as those of DaemonSets, need no search."""
        required = pod.shape.node_affinity.get(_REQUIRED)
        if not required:
            return None
        names: set[str] = set()
        for term in required.get("nodeSelectorTerms") or ():
            named = [
                set(field.get("values") or ())
                for field in term.get("matchFields") or ()
                if field["key"] == "metadata.name" and field["operator"] == "In"
            ]
            if not named:
                return None
            names |= set.intersection(*named)
        return names or _CONFLICT

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        shape = pod.shape
        added = self._added.get(_REQUIRED)
        if not (shape.node_selector or shape.node_affinity.get(_REQUIRED) or added):
            return None

        def verdict(node: NodeInfo) -> Rejection | None:
            labels, name = node.facts.labels, node.facts.name
            if added and not selectors.node_selector_matches(added, labels, name):
                return _ENFORCED
            return None if wanted(shape, node) else _OTHER

        return verdict

    def score(self, pod: PodInfo, view: Snapshot) -> NodeScore | None:
        preferred = [
            *(self._added.get(_PREFERRED) or ()),
            *(pod.shape.node_affinity.get(_PREFERRED) or ()),
        ]
        if not preferred:
            return None
        return lambda node: sum(
            int(one["weight"])
            for one in preferred
            if selectors.node_term_matches(one["preference"], node.labels, node.name)
        )


def wanted(shape: Shape, node: NodeInfo) -> bool:
    """Whether the node has what the pod's selector and required affinity ask for."""
    labels = node.facts.labels
    for key, value in shape.node_selector.items():
        if labels.get(key) != value:
            return False
    required = shape.node_affinity.get(_REQUIRED)
    return not required or selectors.node_selector_matches(required, labels, node.facts.name)


_OTHER = Rejection(NodeAffinity.name, ("node(s) didn't match Pod's node affinity/selector",), False)
_CONFLICT = Rejection(NodeAffinity.name, ("pod affinity terms conflict",), False)
_ENFORCED = Rejection(
    NodeAffinity.name, ("node(s) didn't match scheduler-enforced node affinity",), False
)
