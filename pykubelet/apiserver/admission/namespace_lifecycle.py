"""NamespaceLifecycle: nothing new in a namespace that isn't there, or that is going away; and the
namespaces of the system stay."""

from __future__ import annotations

from pykubelet.apiserver import status
from pykubelet.apiserver.admission.chain import CREATE, DELETE, Asked, Plugin

_PROTECTED = frozenset(("default", "kube-system", "kube-public"))
_ALWAYS_ALLOWED = frozenset(("localsubjectaccessreviews.authorization.k8s.io",))


async def _let_in(asked: Asked) -> None:
    resource = asked.call.resource
    if asked.resource == "namespaces":
        if asked.operation == DELETE and asked.name in _PROTECTED:
            raise asked.forbidden("this namespace may not be deleted")
        return
    if asked.operation != CREATE or not resource.namespaced or asked.resource in _ALWAYS_ALLOWED:
        return
    name = asked.namespace
    namespaces = asked.call.parts.registry.find("", "v1", "namespaces")
    assert namespaces is not None
    item = asked.call.parts.caches.of(namespaces).get(name)
    if item is None:
        await asked.call.parts.caches.catch_up()  # it may have been made through another server
        item = asked.call.parts.caches.of(namespaces).get(name)
    if item is None:
        raise status.not_found(namespaces, name)
    if item.fields.get("status.phase") == "Terminating":
        refusal = asked.forbidden(
            f"unable to create new content in namespace {name} because it is being terminated"
        )
        refusal.details["causes"] = [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {name} is being terminated",
                "field": "metadata.namespace",
            }
        ]
        raise refusal


PLUGIN = Plugin("NamespaceLifecycle", _let_in)
