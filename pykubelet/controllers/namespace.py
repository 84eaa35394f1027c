"""Namespace: one that is deleted is emptied, then let go.

Pods go first, since what they use must outlive them (KEP-5080); then everything else. What is left
is said in the namespace's conditions. Source: the Namespace reference, namespaces walkthrough.
"""

from __future__ import annotations

from typing import Any

from pykubelet.client.errors import Conflict, NotFound
from pykubelet.client.resources import NAMESPACES, PODS, Resource
from pykubelet.controllers.base import Context, Controller
from pykubelet.controllers.discovery import Discovery
from pykubelet.controllers.reporting import condition
from pykubelet.errors import Failed

Json = dict[str, Any]

FINALIZER = "kubernetes"
_LOOK_AGAIN = 2.0


class NamespaceController(Controller):
    name = "namespace-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._discovery = Discovery(context.api)
        self._namespaces = self.watch(NAMESPACES)

    def turn(self, key: str) -> float | None:
        namespace = self._namespaces.get(key)
        if namespace is None or "deletionTimestamp" not in namespace["metadata"]:
            return None
        if FINALIZER not in (namespace.get("spec") or {}).get("finalizers", ()):
            return None
        try:
            left = self._empty(key)
        except Failed as error:
            self._say(namespace, "NamespaceDeletionDiscoveryFailure", "DiscoveryFailed", str(error))
            raise
        if left:
            words = ", ".join(f"{r.plural} has {n} resource instances" for r, n in left.items())
            self._say(
                namespace, "NamespaceContentRemaining", "SomeResourcesRemain",
                f"Some resources are remaining: {words}",
            )  # fmt: skip
            return _LOOK_AGAIN
        self._finalize(namespace)
        return None

    def _empty(self, namespace: str) -> dict[Resource, int]:
        """Have everything deleted; how much of what is still there. Pods first, then the rest."""
        pods = self._delete_all(PODS, namespace)
        if pods:
            return {PODS: pods}
        left = {}
        for resource in self._discovery.deletable(namespaced=True):
            if resource.plural == "events" and resource.group:
                continue  # the same objects as the core group's
            number = self._delete_all(resource, namespace)
            if number:
                left[resource] = number
        return left

    def _delete_all(self, resource: Resource, namespace: str) -> int:
        items, _ = self.api.list(resource, namespace)
        if not items:
            return 0
        for item in items:
            if "deletionTimestamp" not in item["metadata"]:
                try:
                    self.api.delete(
                        resource, item["metadata"]["name"], namespace, propagation="Background"
                    )
                except NotFound:
                    pass  # gone already
        items, _ = self.api.list(resource, namespace)
        return len(items)

    def _finalize(self, namespace: Json) -> None:
        finalizers = [f for f in namespace["spec"]["finalizers"] if f != FINALIZER]
        body = {**namespace, "spec": {**namespace["spec"], "finalizers": finalizers}}
        try:
            self.api.update(NAMESPACES, body, "finalize")
        except NotFound:
            pass  # somebody else has done it

    def _say(self, namespace: Json, kind: str, reason: str, message: str) -> None:
        status = dict(namespace.get("status") or {})
        others = [c for c in status.get("conditions") or () if c["type"] != kind]
        before = next((c for c in status.get("conditions") or () if c["type"] == kind), None)
        if before and before.get("message") == message:
            return
        status["conditions"] = [*others, condition(kind, True, reason, message, self.now())]
        try:
            self.api.update_status(NAMESPACES, {**namespace, "status": status})
        except (NotFound, Conflict):
            pass  # the next look says it
