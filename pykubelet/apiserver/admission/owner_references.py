"""OwnerReferencesPermissionEnforcement: who may not delete an object may not get it deleted with an
owner of their choosing, nor hold up the deletion of an owner they can't finalize.

Off by default, as upstream. Source: "Admission Control in Kubernetes".
"""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin
from pykubelet.apiserver.authorization.rbac import Attributes

Json = dict[str, Any]


async def _check(asked: Asked) -> None:
    if asked.operation not in (CREATE, UPDATE) or asked.subresource == "status":
        return
    new = asked.new["metadata"].get("ownerReferences") or []
    old = ((asked.old or {}).get("metadata") or {}).get("ownerReferences") or []
    if new == old:
        return
    group, plural = asked.call.resource.group, asked.call.resource.plural
    where = asked.namespace if asked.call.resource.namespaced else ""
    # An object that is only now being made may be given any owner by whoever makes it.
    if asked.operation == UPDATE:
        wanted = Attributes("delete", group, plural, "", where, asked.name)
        if not asked.call.parts.allows(asked.user, wanted):
            raise asked.forbidden("cannot set an ownerRef on a resource you can't delete: ")
    known = {one.get("uid") for one in old if one.get("blockOwnerDeletion")}
    for one in new:
        if one.get("blockOwnerDeletion") and one.get("uid") not in known:
            _check_owner(asked, one)


def _check_owner(asked: Asked, reference: Json) -> None:
    registry = asked.call.parts.registry
    owner = registry.of_kind(reference.get("apiVersion") or "", reference.get("kind") or "")
    if owner is None:
        raise asked.forbidden(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
            f"APIVersion {reference.get('apiVersion')} Kind {reference.get('kind')}"
        )
    where = asked.namespace if owner.namespaced else ""
    wanted = Attributes(
        "update", owner.group, owner.plural, "finalizers", where, reference.get("name") or ""
    )
    if not asked.call.parts.allows(asked.user, wanted):
        raise asked.forbidden(
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
            "finalizers on: "
        )


PLUGIN = Plugin("OwnerReferencesPermissionEnforcement", check=_check)
