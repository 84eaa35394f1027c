"""From a Service and its EndpointSlices to service ports: the decision of the proxy. Pure.

What the API says of each field is in the Service reference; the behaviours are upstream
kube-proxy's. Not for us are headless and ExternalName services, which DNS alone answers, and those
that a label gives to another proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.proxy.endpoints import candidates, canonical, choose
from pykubelet.proxy.model import NodeFacts, ServicePort, family_of, is_within

Json = Mapping[str, Any]

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_AFFINITY_SECONDS = 10800


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A port that tells a load balancer whether this node serves a service."""

    namespace: str
    name: str
    port: int
    local_endpoints: int


@dataclass(frozen=True, slots=True)
class Service:
    """All that one Service object comes to on this node."""

    ports: tuple[ServicePort, ...] = ()
    health: HealthCheck | None = None


NOTHING = Service()


def service_of(slice_: Json) -> str:
    """The key (`namespace/name`) of the service that a slice belongs to; "" where to none of ours
    (no service's, or labelled as those for another proxy or for DNS alone)."""
    metadata = slice_["metadata"]
    labels = metadata.get("labels") or {}
    name = labels.get(SERVICE_NAME_LABEL, "")
    if not name or PROXY_NAME_LABEL in labels or HEADLESS_LABEL in labels:
        return ""
    return f"{metadata.get('namespace', '')}/{name}"


def is_ours(service: Json) -> bool:
    labels = service["metadata"].get("labels") or {}
    spec = service.get("spec") or {}
    return (
        PROXY_NAME_LABEL not in labels
        and HEADLESS_LABEL not in labels
        and spec.get("type") != "ExternalName"
        and spec.get("clusterIP") not in (None, "", "None")
    )


def decide(service: Json | None, slices: Iterable[Json], node: NodeFacts) -> Service:
    """What this node has to do for a service; `NOTHING` for None and for one that is not ours."""
    if service is None or not is_ours(service):
        return NOTHING
    spec = service["spec"]
    metadata = service["metadata"]
    found = candidates(slices, node)
    kind = spec.get("type") or "ClusterIP"
    affinity = _affinity(spec)
    internal_local = spec.get("internalTrafficPolicy") == "Local"
    wants_local = spec.get("externalTrafficPolicy") == "Local"
    balanced = _balancer_ips(service) if kind == "LoadBalancer" else []
    made = []
    for cluster_ip in spec.get("clusterIPs") or (spec["clusterIP"],):
        family = family_of(cluster_ip)
        external_ips = _of_family(spec.get("externalIPs") or (), family)
        # As upstream: an address that is both is an external IP, which has no source ranges.
        balancer_ips = tuple(ip for ip in _of_family(balanced, family) if ip not in external_ips)
        ranges = _ranges(spec, family, node, balancer_ips) if balancer_ips else ()
        for port in spec.get("ports") or ():
            protocol = (port.get("protocol") or "TCP").lower()
            name = port.get("name") or ""
            node_port = (port.get("nodePort") or 0) if kind in ("NodePort", "LoadBalancer") else 0
            external = bool(external_ips or balancer_ips or node_port)
            external_local = wants_local and external
            chosen = choose(
                found.get((name, protocol, family), ()),
                node,
                # Under Local, the node and its pods still reach external addresses by any endpoint.
                uses_cluster=not internal_local or external,
                uses_local=internal_local or external_local,
            )
            made.append(
                ServicePort(
                    namespace=metadata.get("namespace", ""),
                    name=metadata["name"],
                    port_name=name,
                    created=metadata.get("creationTimestamp") or "",
                    family=family,
                    protocol=protocol,
                    port=port["port"],
                    cluster_ip=canonical(cluster_ip, family),
                    node_port=node_port,
                    external_ips=external_ips,
                    balancer_ips=balancer_ips,
                    source_ranges=ranges,
                    affinity_seconds=affinity,
                    internal_local=internal_local,
                    external_local=external_local,
                    endpoints=chosen.cluster,
                    local=chosen.local,
                    served=chosen.served,
                )
            )
    ports = tuple(made)
    return Service(ports, _health(metadata, spec, ports))


def _affinity(spec: Json) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    given = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(given.get("timeoutSeconds") or _AFFINITY_SECONDS)


def _of_family(ips: Iterable[str], family: int) -> tuple[str, ...]:
    found = (canonical(ip, family) for ip in ips)
    return tuple(dict.fromkeys(ip for ip in found if ip))


def _balancer_ips(service: Json) -> list[str]:
    """ipMode Proxy means that the balancer wants to see the traffic itself (KEP-1860)."""
    status = (service.get("status") or {}).get("loadBalancer") or {}
    return [
        ingress["ip"]
        for ingress in status.get("ingress") or ()
        if ingress.get("ip") and ingress.get("ipMode", "VIP") == "VIP"
    ]


def _ranges(
    spec: Json, family: int, node: NodeFacts, balancer_ips: tuple[str, ...]
) -> tuple[str, ...]:
    """Networks that may use the balancer's addresses, nested ones merged; () means all. Ranges of
    the other family alone shut this one, which no network stands for but an empty one."""
    given = [str(text).strip() for text in spec.get("loadBalancerSourceRanges") or ()]
    networks = []
    for text in given:
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue  # the API server refuses these; one that got in opens nothing
    if not given or any(n.prefixlen == 0 and n.version == family for n in networks):
        return ()
    mine = [n for n in networks if n.version == family]
    texts = tuple(str(n) for n in mine)
    if any(family_of(ip) == family and is_within(ip, texts) for ip in node.addresses):
        # A node that has the balancer's address on a link of its own speaks from that address.
        mine += [ipaddress.ip_network(ip) for ip in balancer_ips]
    merged = ipaddress.collapse_addresses(mine)  # type: ignore[type-var]
    return tuple(str(n) for n in merged) or (_NOBODY[family],)


#: Addresses that no packet has: a firewall with no opening.
_NOBODY = {4: "0.0.0.0/32", 6: "::/128"}


def _health(metadata: Json, spec: Json, ports: tuple[ServicePort, ...]) -> HealthCheck | None:
    port = spec.get("healthCheckNodePort")
    if spec.get("type") != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local":
        return None
    if not port:
        return None
    # Upstream counts addresses, not ports: a pod that serves two ports is one endpoint.
    local = {endpoint.ip for one in ports for endpoint in one.local}
    return HealthCheck(metadata.get("namespace", ""), metadata["name"], port, len(local))
