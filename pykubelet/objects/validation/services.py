"""Services, Endpoints and EndpointSlices. Source: the API reference, "Service", KEP-2086 (internal
traffic policy), KEP-563 (dual stack), KEP-4444 (traffic distribution).
"""

from __future__ import annotations

import ipaddress

from pykubelet.objects import fields, names
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import immutable, labels
from pykubelet.objects.validation.resolver import address
from pykubelet.objects.validation.rules import (
    Errors,
    Json,
    between,
    chosen,
    named,
    port_number,
    port_number_or_name,
    present,
    unique,
)

_SPEC: Path = ("spec",)
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_LONGEST_AFFINITY = 86400
_MOST_ENDPOINTS, _MOST_SLICE_PORTS, _MOST_ADDRESSES = 1000, 20_000, 100
_MOST_HINTS = 8


def service(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    kind = spec.get("type") or ""
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and kind != "ExternalName":
        yield fields.required((*_SPEC, "ports"))
    yield from _by_type(spec, kind, headless)
    yield from _ports(spec, kind, headless)
    yield from labels(spec.get("selector"), (*_SPEC, "selector"))
    yield from chosen(spec, "sessionAffinity", ("ClientIP", "None"), _SPEC, empty=False)
    yield from _affinity(spec)
    yield from _cluster_ips(spec)
    yield from _external(spec, kind)
    yield from chosen(spec, "type", _TYPES, _SPEC, empty=False)
    yield from _load_balancer(spec, kind)
    if kind != "ExternalName":
        if not spec.get("internalTrafficPolicy"):
            yield fields.required((*_SPEC, "internalTrafficPolicy"))
        yield from chosen(spec, "internalTrafficPolicy", ("Cluster", "Local"), _SPEC)
    yield from chosen(spec, "trafficDistribution", _DISTRIBUTIONS, _SPEC)


def service_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" not in (after.get("type"), before.get("type")):
        for index, was in enumerate(before.get("clusterIPs") or ()):
            now = (after.get("clusterIPs") or [])[index : index + 1]
            at = (*_SPEC, "clusterIPs", index)
            if now and now[0] != was:
                yield fields.invalid(at, after["clusterIPs"], "may not change once set")
            elif not now and not index:
                yield fields.invalid(
                    at, after.get("clusterIPs"), "primary clusterIP can not be unset"
                )
        families = after.get("ipFamilies") or []
        for index, family in enumerate((before.get("ipFamilies") or [])[:1]):
            if families[index : index + 1] != [family]:
                yield fields.invalid(
                    (*_SPEC, "ipFamilies", index), families, "may not change once set"
                )
    yield from _kept_while_balanced(after, before)


def endpoints(obj: Json) -> Errors:
    for number, subset in enumerate(obj.get("subsets") or ()):
        at: Path = ("subsets", number)
        ready, other = subset.get("addresses") or (), subset.get("notReadyAddresses") or ()
        if not ready and not other:
            yield fields.required(at, "must specify `addresses` or `notReadyAddresses`")
        for key, given in (("addresses", ready), ("notReadyAddresses", other)):
            for index, one in enumerate(given):
                here = (*at, key, index)
                yield from _endpoint_address(one.get("ip") or "", (*here, "ip"))
                if one.get("hostname"):
                    yield from named(one["hostname"], (*here, "hostname"), names.dns_label)
                if one.get("nodeName"):
                    yield from named(one["nodeName"], (*here, "nodeName"), names.dns_subdomain)
        ports = subset.get("ports") or []
        for index, port in enumerate(ports):
            here = (*at, "ports", index)
            if port.get("name"):
                yield from named(port["name"], (*here, "name"), names.dns_label)
            elif len(ports) > 1:
                yield fields.required((*here, "name"))
            yield from port_number(port.get("port") or 0, (*here, "port"))
            yield from chosen(port, "protocol", _PROTOCOLS, here, empty=False)
            if port.get("appProtocol"):
                yield from named(port["appProtocol"], (*here, "appProtocol"), names.qualified)


def endpoint_slice(obj: Json) -> Errors:
    kind = obj.get("addressType") or ""
    yield from chosen(obj, "addressType", ("FQDN", "IPv4", "IPv6"), (), empty=False)
    endpoints_of = obj.get("endpoints") or []
    if len(endpoints_of) > _MOST_ENDPOINTS:
        yield fields.too_many(("endpoints",), len(endpoints_of), _MOST_ENDPOINTS)
        return
    for index, one in enumerate(endpoints_of):
        yield from _endpoint(one, kind, ("endpoints", index))
    ports = obj.get("ports") or []
    if len(ports) > _MOST_SLICE_PORTS:
        yield fields.too_many(("ports",), len(ports), _MOST_SLICE_PORTS)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at: Path = ("ports", index)
        name = port.get("name") or ""
        if name:
            yield from named(name, (*at, "name"), names.dns_label)
        if name in seen:
            yield fields.duplicate((*at, "name"), name)
        seen.add(name)
        yield from chosen(port, "protocol", _PROTOCOLS, at, empty=False)
        if port.get("appProtocol"):
            yield from named(port["appProtocol"], (*at, "appProtocol"), names.qualified)


def endpoint_slice_update(new: Json, old: Json) -> Errors:
    yield from immutable(new.get("addressType"), old.get("addressType"), ("addressType",))


def load_balancer_status(new: Json, old: Json) -> Errors:
    """`status.loadBalancer` of a Service or an Ingress."""
    at: Path = ("status", "loadBalancer", "ingress")
    balancer = (new.get("status") or {}).get("loadBalancer") or {}
    for index, one in enumerate(balancer.get("ingress") or ()):
        if one.get("ip"):
            yield from address(one["ip"], (*at, index, "ip"))
        yield from chosen(one, "ipMode", ("Proxy", "VIP"), (*at, index))
        if one.get("hostname"):
            yield from named(one["hostname"], (*at, index, "hostname"), names.dns_subdomain)


def _by_type(spec: Json, kind: str, headless: bool) -> Errors:
    at = (*_SPEC, "clusterIPs")
    if kind == "LoadBalancer":
        for index, port in enumerate(spec.get("ports") or ()):
            if port.get("port") == 10250:
                yield fields.invalid(
                    (*_SPEC, "ports", index), 10250,
                    "may not expose port 10250 externally since it is used by kubelet",
                )  # fmt: skip
    if kind in ("LoadBalancer", "NodePort") and headless:
        yield fields.invalid((*at, 0), "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        if spec.get("clusterIPs"):
            yield fields.forbidden(at, "may not be set for ExternalName services")
        for key in ("ipFamilies", "ipFamilyPolicy"):
            if spec.get(key):
                yield fields.forbidden((*_SPEC, key), "may not be set for ExternalName services")
        name = (spec.get("externalName") or "").removesuffix(".")
        if not name:
            yield fields.required((*_SPEC, "externalName"))
        else:
            yield from named(name, (*_SPEC, "externalName"), names.dns_subdomain)


def _ports(spec: Json, kind: str, headless: bool) -> Errors:
    ports = spec.get("ports") or []
    seen: set[tuple[int, str]] = set()
    nodes: set[tuple[int, str]] = set()
    for index, port in enumerate(ports):
        at = (*_SPEC, "ports", index)
        protocol = port.get("protocol") or ""
        if port.get("name"):
            yield from named(port["name"], (*at, "name"), names.dns_label)
        elif len(ports) > 1:
            yield fields.required((*at, "name"))
        yield from port_number(port.get("port") or 0, (*at, "port"))
        yield from chosen(port, "protocol", _PROTOCOLS, at, empty=False)
        yield from port_number_or_name(port.get("targetPort"), (*at, "targetPort"))
        if port.get("appProtocol"):
            yield from named(port["appProtocol"], (*at, "appProtocol"), names.qualified)
        number = port.get("nodePort")
        if number and (kind == "ExternalName" or kind == "ClusterIP"):
            yield fields.forbidden((*at, "nodePort"), f"may not be used when `type` is '{kind}'")
        pair = port.get("port") or 0, protocol
        if pair in seen:
            yield fields.duplicate(at, {"protocol": protocol, "port": pair[0]})
        seen.add(pair)
        if number:
            if (number, protocol) in nodes:
                yield fields.duplicate((*at, "nodePort"), number)
            nodes.add((number, protocol))
    yield from unique(ports, "name", (*_SPEC, "ports"))


def _affinity(spec: Json) -> Errors:
    config, at = spec.get("sessionAffinityConfig"), (*_SPEC, "sessionAffinityConfig")
    if spec.get("sessionAffinity") == "ClientIP":
        if config is None:
            yield fields.required(at, "when session affinity type is ClientIP")
            return
        yield from between(
            config.get("clientIP") or {}, "timeoutSeconds", 1, _LONGEST_AFFINITY,
            (*at, "clientIP"),
        )  # fmt: skip
    elif config is not None:
        yield fields.forbidden(at, "must not be set when session affinity is None")


def _cluster_ips(spec: Json) -> Errors:
    given = spec.get("clusterIPs") or []
    at = (*_SPEC, "clusterIPs")
    first = spec.get("clusterIP") or ""
    if first and given and given[0] != first:
        yield fields.invalid(at, given, "first value must match `clusterIP`")
    if first and not given:
        yield fields.required(at)
    if not first and given:
        yield fields.required((*_SPEC, "clusterIP"))
    if len(given) > 2:
        yield fields.too_many(at, len(given), 2)
    versions = []
    for index, one in enumerate(given):
        if one == "None":
            if index or len(given) > 1:
                yield fields.invalid((*at, index), one, "'None' must be the first and only value")
            return
        found = list(address(one, (*at, index)))
        yield from found
        if not found:
            versions.append(ipaddress.ip_address(one).version)
    if len(versions) == 2 and versions[0] == versions[1]:
        yield fields.invalid(at, given, "may specify no more than one IP for each IP family")
    yield from _families(spec)


def _families(spec: Json) -> Errors:
    yield from chosen(
        spec, "ipFamilyPolicy", ("PreferDualStack", "RequireDualStack", "SingleStack"), _SPEC
    )
    families, at = spec.get("ipFamilies") or [], (*_SPEC, "ipFamilies")
    for index, family in enumerate(families):
        if family not in ("IPv4", "IPv6"):
            yield fields.not_supported((*at, index), family, ("IPv4", "IPv6"))
        elif family in families[:index]:
            yield fields.duplicate((*at, index), family)
    for index, (family, one) in enumerate(
        zip(families, spec.get("clusterIPs") or (), strict=False)
    ):
        try:
            version = ipaddress.ip_address(one).version
        except ValueError:
            continue
        if family != f"IPv{version}":
            yield fields.invalid(
                (*_SPEC, "clusterIPs", index), one,
                f'expected an {family} value as indicated by `ipFamilies[{index}]`',
            )  # fmt: skip


def _external(spec: Json, kind: str) -> Errors:
    for index, one in enumerate(spec.get("externalIPs") or ()):
        yield from _endpoint_address(one, (*_SPEC, "externalIPs", index))
    policy = spec.get("externalTrafficPolicy")
    reachable = kind in ("LoadBalancer", "NodePort") or (
        kind == "ClusterIP" and spec.get("externalIPs")
    )
    at = (*_SPEC, "externalTrafficPolicy")
    if policy and not reachable:
        yield fields.invalid(at, policy, "may only be set for externally-accessible services")
    elif reachable:
        yield from chosen(spec, "externalTrafficPolicy", ("Cluster", "Local"), _SPEC, empty=False)
    number = spec.get("healthCheckNodePort") or 0
    if number and not (kind == "LoadBalancer" and policy == "Local"):
        yield fields.invalid(
            (*_SPEC, "healthCheckNodePort"), number,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        )  # fmt: skip


def _load_balancer(spec: Json, kind: str) -> Errors:
    if kind == "LoadBalancer":
        if spec.get("allocateLoadBalancerNodePorts") is None:
            yield fields.required((*_SPEC, "allocateLoadBalancerNodePorts"))
        for index, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
            yield from cidr(text.strip(), (*_SPEC, "loadBalancerSourceRanges", index))
        if spec.get("loadBalancerClass"):
            yield from named(
                spec["loadBalancerClass"], (*_SPEC, "loadBalancerClass"), names.qualified
            )
        return
    for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass", "loadBalancerSourceRanges"):
        if spec.get(key) is not None and spec.get(key) != []:
            yield fields.forbidden((*_SPEC, key), "may only be used when `type` is 'LoadBalancer'")


def _kept_while_balanced(after: Json, before: Json) -> Errors:
    if after.get("type") == "LoadBalancer" == before.get("type"):
        was, now = before.get("loadBalancerClass"), after.get("loadBalancerClass")
        if was != now:
            yield fields.invalid((*_SPEC, "loadBalancerClass"), now, "may not change once set")


def _endpoint(one: Json, kind: str, at: Path) -> Errors:
    given = one.get("addresses") or []
    here = (*at, "addresses")
    if not given:
        yield fields.required(here, "must contain at least 1 address")
    elif len(given) > _MOST_ADDRESSES:
        yield fields.too_many(here, len(given), _MOST_ADDRESSES)
    for index, value in enumerate(given):
        if kind == "FQDN":
            yield from named(value.removesuffix("."), (*here, index), names.dns_subdomain)
            continue
        found = list(_endpoint_address(value, (*here, index)))
        yield from found
        if not found and kind and f"IPv{ipaddress.ip_address(value).version}" != kind:
            yield fields.invalid((*here, index), value, f"must be an {kind} address")
    if one.get("nodeName"):
        yield from named(one["nodeName"], (*at, "nodeName"), names.dns_subdomain)
    if one.get("hostname"):
        yield from named(one["hostname"], (*at, "hostname"), names.dns_label)
    for key, value in (one.get("deprecatedTopology") or {}).items():
        yield from labels({key: value}, (*at, "deprecatedTopology"))
    zones = (one.get("hints") or {}).get("forZones") or []
    if len(zones) > _MOST_HINTS:
        yield fields.too_many((*at, "hints", "forZones"), len(zones), _MOST_HINTS)
    for index, zone in enumerate(zones):
        yield from present(zone, ("name",), (*at, "hints", "forZones", index))
    yield from unique(zones, "name", (*at, "hints", "forZones"))


def _endpoint_address(value: str, at: Path) -> Errors:
    """An address where traffic can go: none of this machine alone, none of a group."""
    found = list(address(value, at))
    yield from found
    if found:
        return
    parsed = ipaddress.ip_address(value)
    for bad, words in (
        (parsed.is_unspecified, f"may not be unspecified ({parsed})"),
        (parsed.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (parsed.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (parsed.is_multicast and _is_link_local_group(parsed),
         "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ):  # fmt: skip
        if bad:
            yield fields.invalid(at, value, words)


def _is_link_local_group(parsed: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    group = "224.0.0.0/24" if parsed.version == 4 else "ff02::/16"
    return parsed in ipaddress.ip_network(group)


def cidr(text: str, at: Path) -> Errors:
    """A range of addresses."""
    try:
        if "/" not in text:
            raise ValueError
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        yield fields.invalid(
            at, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        )
