"""Pod garbage collector: pods that nobody will ever see off otherwise.

Those of nodes that are gone, those that were deleted before they had a node, and the oldest of the
finished ones where there are too many. Source: "Pod Lifecycle", pod garbage collection; KEP-3329.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pykubelet.client.api import STRATEGIC_MERGE_PATCH
from pykubelet.client.errors import NotFound
from pykubelet.client.resources import NODES, PODS
from pykubelet.clock import rfc3339
from pykubelet.controllers.base import Context, Controller

Json = dict[str, Any]

PERIOD = 20.0
#: Finished pods that may stay, as upstream's --terminated-pod-gc-threshold.
MOST_FINISHED = 12_500
#: Seconds for which a node has to be gone before its pods are.
QUARANTINE = 40.0


def surplus(pods: Iterable[Json], most: int) -> list[Json]:
    """The oldest of the finished pods beyond `most`. Pure."""
    finished = [p for p in pods if (p.get("status") or {}).get("phase") in ("Succeeded", "Failed")]
    finished.sort(key=lambda p: (p["metadata"].get("creationTimestamp") or "", _name(p)))
    return finished[: max(0, len(finished) - most)]


def never_bound(pods: Iterable[Json]) -> list[Json]:
    """Deleted before anybody took them up. Pure."""
    return [
        p for p in pods if "deletionTimestamp" in p["metadata"] and not p["spec"].get("nodeName")
    ]


def stranded(pods: Iterable[Json], nodes: set[str]) -> list[Json]:
    """Bound to nodes that are not there. Pure."""
    return [p for p in pods if (node := p["spec"].get("nodeName")) and node not in nodes]


class PodGarbageCollector(Controller):
    name = "pod-garbage-collector-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pods = self.read(PODS)
        self._nodes = self.read(NODES)
        self._missing: dict[str, float] = {}

    def start(self) -> None:
        self.queue.every(PERIOD, lambda: self.queue.add("all"))

    def turn(self, key: str) -> float | None:
        pods = self._pods.all()
        for pod in surplus(pods, MOST_FINISHED) + never_bound(pods):
            self._delete(pod)
        for pod in self._of_gone_nodes(pods):
            self._fail(pod)
            self._delete(pod)
        return None

    def _of_gone_nodes(self, pods: list[Json]) -> list[Json]:
        there = {node["metadata"]["name"] for node in self._nodes.all()}
        found = stranded(pods, there)
        now = self.now()
        missing = {p["spec"]["nodeName"] for p in found}
        self._missing = {name: self._missing.get(name, now) for name in missing}
        certain = set()
        for name, since in self._missing.items():
            if now - since >= QUARANTINE:
                try:
                    self.api.get(NODES, name)
                except NotFound:
                    certain.add(name)
        return [p for p in found if p["spec"]["nodeName"] in certain]

    def _fail(self, pod: Json) -> None:
        status = pod.get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            return
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
            "lastTransitionTime": rfc3339(self.now()),
        }
        patch = {"status": {"phase": "Failed", "conditions": [target]}}
        metadata = pod["metadata"]
        try:
            self.api.patch(
                PODS, metadata["name"], patch, metadata["namespace"],
                subresource="status", kind=STRATEGIC_MERGE_PATCH,
            )  # fmt: skip
        except NotFound:
            pass  # gone already

    def _delete(self, pod: Json) -> None:
        metadata = pod["metadata"]
        try:
            self.api.delete(
                PODS, metadata["name"], metadata["namespace"], grace_seconds=0, uid=metadata["uid"]
            )
        except NotFound:
            pass  # gone already


def _name(pod: Json) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
