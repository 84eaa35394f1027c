"""What must be there from the start: the namespaces, the `kubernetes` Service, the default roles.

Made at every start where it is missing; what people have changed is left alone.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterator
from typing import Any

from pykubelet.apiserver import status
from pykubelet.apiserver.authorization.default_roles import bindings, roles
from pykubelet.apiserver.calls import Call, Parts
from pykubelet.apiserver.front.messages import Request
from pykubelet.apiserver.routes import Route
from pykubelet.apiserver.users import SERVER
from pykubelet.apiserver.verbs.writing import create_object
from pykubelet.objects.schema.decoding import decode

log = logging.getLogger(__name__)

Json = dict[str, Any]

_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")
_PRIORITIES = {
    "system-node-critical": (
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    "system-cluster-critical": (
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another "
        "node if necessary.",
    ),
}


async def make_what_must_be(parts: Parts, service_range: str) -> None:
    """Create what is missing."""
    for obj in _wanted(service_range):
        resource = parts.registry.of_kind(obj["apiVersion"], obj["kind"])
        assert resource is not None
        meta = obj["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        key = f"{namespace}/{name}" if namespace else name
        if parts.caches.of(resource).get(key) is not None:
            continue
        route = Route("create", "", resource.group, resource.version, resource.plural, namespace)
        call = Call(parts, Request("POST", ""), route, resource, SERVER)
        typed, findings = decode(resource.type_name, obj)
        assert not findings.wrong, findings.wrong
        head = {"kind": obj["kind"], "apiVersion": obj["apiVersion"]}
        try:
            await create_object(call, {**typed, **head})
        except status.Refusal as refusal:
            if refusal.reason != "AlreadyExists":  # another server was quicker
                log.warning("can't make %s %s: %s", obj["kind"], key, refusal)


def _wanted(service_range: str) -> Iterator[Json]:
    for name in _NAMESPACES:
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        # Pods need it, also before, or without, the controller that makes it for other namespaces.
        account = {"name": "default", "namespace": name}
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}
    yield from roles()
    yield from bindings()
    for name, (value, description) in _PRIORITIES.items():
        yield {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
               "metadata": {"name": name}, "value": value, "description": description}  # fmt: skip
    ranges = service_range.split(",")
    yield {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": ranges},
    }
    first = str(ipaddress.ip_network(ranges[0])[1])
    labels = {"component": "apiserver", "provider": "kubernetes"}
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {
            "clusterIP": first,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    }
