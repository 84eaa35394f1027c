"""NodeRestriction: a kubelet changes its own node and the pods bound to it, and nothing else.

It works together with the Node authorizer: that one says which objects a node may reach at all,
this one looks at what is written. Source: "Using Node Authorization", KEP-279 (labels).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pykubelet.apiserver.admission.chain import CREATE, DELETE, UPDATE, Asked, Plugin
from pykubelet.apiserver.users import User

Json = dict[str, Any]

_GROUP, _PREFIX = "system:nodes", "system:node:"
_MIRROR = "kubernetes.io/config.mirror"
_LEASES = "kube-node-lease"
_KUBELET_LABELS = frozenset(
    ("kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch",
     "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
     "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
     "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
     "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
)  # fmt: skip
_KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESERVED = "node-restriction.kubernetes.io"
_REFERENCES = {
    "secret": "secrets",
    "configMap": "configmaps",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "projected": "projected volumes",
    "ephemeral": "ephemeral volumes",
    "csi": "csi volumes",
}


def node_of(user: User) -> str | None:
    """The node that a user is the kubelet of; None if it is none, empty if that isn't said."""
    if _GROUP not in user.groups:
        return None
    return user.name.removeprefix(_PREFIX) if user.name.startswith(_PREFIX) else ""


async def _check(asked: Asked) -> None:
    node = node_of(asked.user)
    if node is None:
        return
    if not node:
        raise asked.forbidden(f'could not determine node from user "{asked.user.name}"')
    look = _LOOKS.get(asked.resource)
    if look is not None:
        why = next(look(asked, node), "")
        if why:
            raise asked.forbidden(why)


def _pod(asked: Asked, node: str) -> Iterator[str]:
    match asked.operation, asked.subresource:
        case "CREATE", "":
            yield from _new_pod(asked.new, node)
        case "CREATE", "eviction":
            yield from _own_pod(
                asked.object("pods", asked.name, asked.namespace), node, "evict pods"
            )
        case "DELETE", _:
            what = "evict pods" if asked.subresource == "eviction" else "delete pods"
            yield from _own_pod(asked.old, node, what)
        case "UPDATE", "status":
            yield from _own_pod(asked.old, node, "update pod status for pods")
            old, new = asked.old or {}, asked.new
            if (old.get("metadata") or {}).get("labels") != new["metadata"].get("labels"):
                yield f'node "{node}" cannot update labels through pod status'
            if _claims(old) != _claims(new):
                yield f'node "{node}" cannot update resource claim statuses'
        case operation, subresource:
            what = f"subresource {subresource!r} of pods" if subresource else "pods"
            yield f"unexpected operation {operation} on {what}, node {node!r} can only create and delete mirror pods"  # noqa: E501


def _claims(pod: Json) -> Any:
    return (pod.get("status") or {}).get("resourceClaimStatuses")


def _own_pod(pod: Json | None, node: str, what: str) -> Iterator[str]:
    if pod is None or (pod.get("spec") or {}).get("nodeName") != node:
        yield f'node "{node}" can only {what} with spec.nodeName set to itself'


def _new_pod(pod: Json, node: str) -> Iterator[str]:
    """A mirror pod of this node, owned by it, that needs nothing from the API."""
    spec, meta = pod.get("spec") or {}, pod["metadata"]
    if _MIRROR not in (meta.get("annotations") or {}):
        yield f'pod does not have "{_MIRROR}" annotation, node "{node}" can only create mirror pods'
    if spec.get("nodeName") != node:
        yield f'node "{node}" can only create pods with spec.nodeName set to itself'
    owners = meta.get("ownerReferences") or []
    if len(owners) > 1:
        yield f'node "{node}" can only create pods with a single owner reference set to itself'
    for owner in owners:
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            yield f'node "{node}" can only create pods with an owner reference set to itself'
        if not owner.get("controller"):
            yield f'node "{node}" can only create pods with an owner reference set to itself as controller'  # noqa: E501
        if owner.get("blockOwnerDeletion"):
            yield f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    if spec.get("serviceAccountName"):
        yield f'node "{node}" can not create pods that reference a service account'
    for volume in spec.get("volumes") or ():
        for kind, word in _REFERENCES.items():
            if kind in volume:
                yield f'node "{node}" can not create pods that reference {word}'
    if spec.get("resourceClaims"):
        yield f'node "{node}" can not create pods that reference resourceclaims'


def _node(asked: Asked, node: str) -> Iterator[str]:
    if asked.name != node:
        yield f'node "{node}" is not allowed to modify node "{asked.name}"'
        return
    new = asked.new["metadata"].get("labels") or {}
    if asked.operation == CREATE:
        bad = sorted(label for label in new if _is_reserved(label))
        if bad:
            yield f'node "{node}" is not allowed to set the following labels: {", ".join(bad)}'
        return
    if asked.operation != UPDATE:
        return
    old = ((asked.old or {}).get("metadata") or {}).get("labels") or {}
    changed = {label for label in {*old, *new} if old.get(label) != new.get(label)}
    bad = sorted(label for label in changed if _is_reserved(label))
    if bad:
        yield f"is not allowed to modify labels: {', '.join(bad)}"
    after, before = asked.new.get("spec") or {}, (asked.old or {}).get("spec") or {}
    if after.get("configSource") != before.get("configSource"):
        yield f'node "{node}" is not allowed to update node configSource'
    if after.get("taints") != before.get("taints"):
        yield f'node "{node}" is not allowed to modify taints'
    owners = (asked.old or {}).get("metadata", {}).get("ownerReferences")
    if asked.new["metadata"].get("ownerReferences") != owners:
        yield f'node "{node}" is not allowed to modify ownerReferences'


def _is_reserved(label: str) -> bool:
    """Whether a kubelet may not set it: the domain kept for administrators, and whatever else in
    kubernetes.io and k8s.io isn't named as the kubelet's."""
    if label in _KUBELET_LABELS:
        return False
    domain = label.partition("/")[0] if "/" in label else ""
    if _within(domain, _RESERVED):
        return True
    if any(_within(domain, own) for own in _KUBELET_DOMAINS):
        return False
    return _within(domain, "kubernetes.io") or _within(domain, "k8s.io")


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def _claim(asked: Asked, node: str) -> Iterator[str]:
    if asked.operation != UPDATE or asked.subresource != "status":
        yield f"unexpected operation {asked.operation} on persistentvolumeclaims by node {node!r}"
        return
    after, before = dict(asked.new), dict(asked.old or {})
    for one in (after, before):
        one["status"] = {k: v for k, v in (one.get("status") or {}).items()
                         if k not in ("capacity", "conditions", "allocatedResources",
                                      "allocatedResourceStatuses")}  # fmt: skip
        one["metadata"] = {k: v for k, v in one["metadata"].items()
                           if k not in ("managedFields", "resourceVersion")}  # fmt: skip
    if after != before:
        yield (
            f'node "{node}" is not allowed to update fields other than '
            "status.quantity and status.conditions"
        )


def _token(asked: Asked, node: str) -> Iterator[str]:
    if asked.operation != CREATE or asked.subresource != "token":
        return
    bound = (asked.new.get("spec") or {}).get("boundObjectRef") or {}
    if (bound.get("apiVersion"), bound.get("kind"), bool(bound.get("name"))) != ("v1", "Pod", True):
        yield "node requested token not bound to a pod"
        return
    if not bound.get("uid"):
        yield "node requested token with a pod binding without a uid"
    pod = asked.object("pods", bound["name"], asked.namespace)
    if pod is None:
        yield f'pods "{bound["name"]}" not found'
    elif pod["metadata"]["uid"] != bound.get("uid"):
        yield (
            f"the UID in the bound object reference ({bound.get('uid')}) does not match the UID in "
            f"record. The object might have been deleted and then recreated"
        )
    elif (pod.get("spec") or {}).get("nodeName") != node:
        yield "node requested token bound to a pod scheduled on a different node"


def _lease(asked: Asked, node: str) -> Iterator[str]:
    if asked.namespace != _LEASES:
        yield f'can only access leases in the "{_LEASES}" system namespace'
    elif asked.name != node:
        yield "can only access node lease with the same name as the requesting node"


def _csi_node(asked: Asked, node: str) -> Iterator[str]:
    if asked.name != node:
        yield "can only access CSINode with the same name as the requesting node"


def _slice(asked: Asked, node: str) -> Iterator[str]:
    shown = asked.old if asked.operation == DELETE else asked.new
    if ((shown or {}).get("spec") or {}).get("nodeName") != node:
        verb = "create" if asked.operation == CREATE else "modify"
        yield f"can only {verb} ResourceSlice with the same NodeName as the requesting node"


_LOOKS = {
    "pods": _pod,
    "nodes": _node,
    "persistentvolumeclaims": _claim,
    "serviceaccounts": _token,
    "leases.coordination.k8s.io": _lease,
    "csinodes.storage.k8s.io": _csi_node,
    "resourceslices.resource.k8s.io": _slice,
}
PLUGIN = Plugin("NodeRestriction", check=_check)
