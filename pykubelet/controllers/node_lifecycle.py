"""Node lifecycle: a node that falls silent is marked, tainted, and its pods are told to go.

A node is heard of by its Lease and its status. Silent for `GRACE`, its conditions turn Unknown and
it gets the taints that follow; NoExecute taints end the pods that do not tolerate them, each after
its own time. Where most nodes of a zone fall silent at once the network is the likelier culprit,
and evictions slow down or stop. Source: the node and taint references; KEP-589 (leases), KEP-166.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pykubelet.client.api import STRATEGIC_MERGE_PATCH
from pykubelet.client.errors import NotFound
from pykubelet.client.resources import LEASES, NODES, PODS
from pykubelet.clock import rfc3339
from pykubelet.controllers.base import Context, Controller
from pykubelet.objects.selectors import tolerates

Json = dict[str, Any]

PERIOD = 5.0
GRACE = 40.0
#: Share of silent nodes in a zone from which evictions slow down, and the size of a small zone.
UNHEALTHY_SHARE, SMALL_ZONE = 0.55, 50
RATE, SLOW_RATE = 0.1, 0.01  # nodes a second

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
_BY_CONDITION = (
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
)
_OURS = {taint for _, _, taint in _BY_CONDITION} | {"node.kubernetes.io/unschedulable"}
_KINDS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def silent_conditions(node: Json, now: str) -> list[Json]:
    """The conditions of a node that nothing is heard of. Pure."""
    before = {c["type"]: c for c in (node.get("status") or {}).get("conditions") or ()}
    made = []
    for kind in _KINDS:
        old = before.get(kind) or {}
        if old.get("status") == "Unknown":
            continue
        reason = "NodeStatusUnknown" if old else "NodeStatusNeverUpdated"
        message = (
            "Kubelet stopped posting node status." if old else ("Kubelet never posted node status.")
        )
        made.append(
            {
                "type": kind,
                "status": "Unknown",
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": old.get("lastHeartbeatTime") or now,
                "lastTransitionTime": now,
            }
        )
    return made


def wanted_taints(node: Json, now: str) -> list[Json]:
    """The taints that follow from a node's conditions, beside those that others gave it. Pure."""
    spec = node.get("spec") or {}
    present = spec.get("taints") or []
    keep = [t for t in present if t["key"] not in _OURS]
    values = {c["type"]: c["status"] for c in (node.get("status") or {}).get("conditions") or ()}
    wanted: list[tuple[str, str]] = []
    for kind, value, key in _BY_CONDITION:
        if values.get(kind) == value:
            wanted.append((key, "NoSchedule"))
            if key in (NOT_READY, UNREACHABLE):
                wanted.append((key, "NoExecute"))
    if spec.get("unschedulable"):
        wanted.append(("node.kubernetes.io/unschedulable", "NoSchedule"))
    for key, effect in wanted:
        old = next((t for t in present if (t["key"], t["effect"]) == (key, effect)), None)
        stamp = {"timeAdded": now} if effect == "NoExecute" else {}
        keep.append(old or {"key": key, "effect": effect, **stamp})
    return keep


def evict_after(pod: Json, taints: Iterable[Mapping[str, Any]]) -> float | None:
    """Seconds for which a pod stays under these NoExecute taints; None for ever. Pure."""
    least: float | None = None
    for taint in taints:
        if taint.get("effect") != "NoExecute":
            continue
        fitting = [t for t in pod["spec"].get("tolerations") or () if tolerates(t, dict(taint))]
        if not fitting:
            return 0.0
        times = [t.get("tolerationSeconds") for t in fitting]
        if any(seconds is None for seconds in times):
            continue
        shortest = max(0.0, float(min(s for s in times if s is not None)))
        least = shortest if least is None else min(least, shortest)
    return least


def eviction_rate(silent: int, total: int) -> float:
    """Nodes a second whose pods may be ended, given how many of a zone are silent. Pure."""
    if not total or silent == total > 1:
        return 0.0  # all of it: the trouble is between them and us
    if silent / total >= UNHEALTHY_SHARE and silent > 2:
        return SLOW_RATE if total > SMALL_ZONE else 0.0
    return RATE


class NodeLifecycleController(Controller):
    """Times how long a node is silent by its own clock, from when it last saw something new."""

    name = "node-lifecycle-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._nodes = self.watch(NODES)
        self._leases = self.watch(LEASES, lambda o: ())
        self._pods = self.read(PODS)
        self._heard: dict[str, tuple[tuple[Any, tuple[Any, ...]], float]] = {}
        self._tainted: dict[str, float] = {}

    def start(self) -> None:
        self.queue.every(PERIOD, self._look_at_all)

    def _look_at_all(self) -> None:
        for node in self._nodes.all():
            self.queue.add(node["metadata"]["name"])

    def turn(self, key: str) -> float | None:
        node = self._nodes.get(key)
        if node is None:
            self._heard.pop(key, None)
            self._tainted.pop(key, None)
            return None
        if self._silent_for(node) > GRACE:
            node = self._mark_silent(node)
        node = self._taint(node)
        return self._evict(node)

    def _silent_for(self, node: Json) -> float:
        name = node["metadata"]["name"]
        lease = self._leases.get(f"kube-node-lease/{name}")
        renewed = ((lease or {}).get("spec") or {}).get("renewTime")
        beats = [
            c.get("lastHeartbeatTime")
            for c in (node.get("status") or {}).get("conditions") or ()
            if c["type"] == "Ready" and c["status"] != "Unknown"
        ]
        sign = (renewed, tuple(beats))
        now = self.now()
        known = self._heard.get(name)
        if known is None or known[0] != sign:
            self._heard[name] = (sign, now)
            return 0.0
        return now - known[1]

    def _mark_silent(self, node: Json) -> Json:
        conditions = silent_conditions(node, rfc3339(self.now()))
        if not conditions:
            return node
        name = node["metadata"]["name"]
        self.events.record(
            node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady"
        )
        found = self.api.patch(
            NODES, name, {"status": {"conditions": conditions}},
            subresource="status", kind=STRATEGIC_MERGE_PATCH,
        )  # fmt: skip
        # Our own mark is no sign of life.
        (renewed, _), since = self._heard[name]
        self._heard[name] = ((renewed, ()), since)
        for pod in self._pods.all():
            if pod["spec"].get("nodeName") == name:
                self._mark_pod(pod)
        return found

    def _mark_pod(self, pod: Json) -> None:
        ready = [
            c for c in (pod.get("status") or {}).get("conditions") or () if c["type"] == "Ready"
        ]
        if not ready or ready[0]["status"] != "True":
            return
        now = rfc3339(self.now())
        metadata = pod["metadata"]
        change = {"type": "Ready", "status": "False", "lastTransitionTime": now}
        try:
            self.api.patch(
                PODS, metadata["name"], {"status": {"conditions": [change]}},
                metadata["namespace"], subresource="status", kind=STRATEGIC_MERGE_PATCH,
            )  # fmt: skip
        except NotFound:
            pass  # gone already

    def _taint(self, node: Json) -> Json:
        present = (node.get("spec") or {}).get("taints") or []
        wanted = wanted_taints(node, rfc3339(self.now()))
        if _plain(wanted) == _plain(present):
            return node
        version = node["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "spec": {"taints": wanted or None}}
        return self.api.patch(NODES, node["metadata"]["name"], body)

    def _evict(self, node: Json) -> float | None:
        """End the pods whose time under the node's taints is over; when the next one's is."""
        name = node["metadata"]["name"]
        taints = [
            t for t in (node.get("spec") or {}).get("taints") or () if t["effect"] == "NoExecute"
        ]
        if not taints:
            self._tainted.pop(name, None)
            return None
        now = self.now()
        since = self._tainted.setdefault(name, now)
        if any(t["key"] == UNREACHABLE for t in taints) and not self._may_evict():
            return PERIOD
        waits = []
        for pod in self._pods.all():
            if pod["spec"].get("nodeName") != name or "deletionTimestamp" in pod["metadata"]:
                continue
            after = evict_after(pod, taints)
            if after is None:
                continue
            left = since + after - now
            if left > 0:
                waits.append(left)
            else:
                self._end(pod)
        return min(waits, default=None)

    def _may_evict(self) -> bool:
        nodes = self._nodes.all()
        silent = sum(
            any(t["key"] == UNREACHABLE for t in (n.get("spec") or {}).get("taints") or ())
            for n in nodes
        )
        return eviction_rate(silent, len(nodes)) > 0

    def _end(self, pod: Json) -> None:
        metadata = pod["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        self.events.record(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        try:
            self.api.delete(PODS, metadata["name"], metadata["namespace"], uid=metadata["uid"])
        except NotFound:
            pass  # gone already


def _plain(taints: Iterable[Json]) -> set[tuple[str, str, str]]:
    return {(t["key"], t.get("value") or "", t["effect"]) for t in taints}
