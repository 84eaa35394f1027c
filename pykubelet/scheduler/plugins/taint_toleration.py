"""TaintToleration: a node's taints keep away the pods that don't tolerate them; taints that only
advise (PreferNoSchedule) make it the worse the more of them a pod doesn't tolerate."""

from __future__ import annotations

from pykubelet.objects import selectors
from pykubelet.scheduler.framework import NODE_EVENTS, NodeFilter, NodeScore, Plugin, Rejection
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot


class TaintToleration(Plugin):
    name = "TaintToleration"
    events = NODE_EVENTS
    normalize = "min"

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        tolerations = pod.shape.tolerations

        def verdict(node: NodeInfo) -> Rejection | None:
            for taint in node.taints:
                if not selectors.tolerated(taint, tolerations):
                    return _UNTOLERATED
            return None

        return verdict

    def score(self, pod: PodInfo, view: Snapshot) -> NodeScore | None:
        if not view.soft_taints:
            return None
        mine = [
            one for one in pod.shape.tolerations
            if one.get("effect") in (None, "", "PreferNoSchedule")
        ]  # fmt: skip
        return lambda node: sum(not selectors.tolerated(taint, mine) for taint in node.soft)


_UNTOLERATED = Rejection(TaintToleration.name, ("node(s) had untolerated taint(s)",), False)
