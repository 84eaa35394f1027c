"""NamespaceLifecycle: nothing new in a namespace that isn't there, or that is going away; and the
namespaces of the system stay."""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver import status
from pykubelet.apiserver.calls import Call

Json = dict[str, Any]

_PROTECTED = frozenset(("default", "kube-system", "kube-public"))
_ALWAYS_ALLOWED = frozenset(("localsubjectaccessreviews.authorization.k8s.io",))


async def namespace_lifecycle(call: Call, operation: str, new: Json, old: Json | None) -> None:
    resource = call.resource
    if resource.plural == "namespaces" and not resource.group:
        if operation == "DELETE" and call.route.name in _PROTECTED:
            raise status.forbidden(resource, call.route.name, "this namespace may not be deleted")
        return
    if operation != "CREATE" or not resource.namespaced or resource.qualified in _ALWAYS_ALLOWED:
        return
    name = call.route.namespace
    namespaces = call.parts.registry.find("", "v1", "namespaces")
    assert namespaces is not None
    item = call.parts.caches.of(namespaces).get(name)
    if item is None:
        raise status.not_found(namespaces, name)
    if item.fields.get("status.phase") == "Terminating":
        object_name = (new.get("metadata") or {}).get("name") or ""
        refusal = status.forbidden(
            resource,
            object_name,
            f"unable to create new content in namespace {name} because it is being terminated",
        )
        refusal.details["causes"] = [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {name} is being terminated",
                "field": "metadata.namespace",
            }
        ]
        raise refusal
