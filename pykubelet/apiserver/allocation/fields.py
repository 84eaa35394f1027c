"""What a Service needs: which of its fields the server fills in, and what an update keeps. Pure.

Source: "IPv4/IPv6 dual-stack", "Service", type NodePort; KEP-563.
"""

from __future__ import annotations

import ipaddress
from typing import Any

Json = dict[str, Any]

SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
_FAMILY_FIELDS = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")


def family_of(address: str) -> str:
    """`IPv4` or `IPv6`. ValueError for what is no address."""
    return f"IPv{ipaddress.ip_address(address).version}"


def has_addresses(spec: Json) -> bool:
    """Whether a Service is of a type with cluster IPs, `None` included."""
    return spec.get("type") != "ExternalName"


def needs_node_ports(spec: Json) -> bool:
    kind = spec.get("type")
    return kind == "NodePort" or (
        kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
    )


def needs_health_port(spec: Json) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def carry_over(new: Json, old: Json) -> None:
    """Take into an update, in place, what was given out and isn't mentioned; drop what the new type
    doesn't have and the client didn't set anew. Clients often send what they once created."""
    _agree(new, old)
    if has_addresses(new) and has_addresses(old) and not (
        new.get("clusterIP") or new.get("clusterIPs")
    ):  # fmt: skip
        _keep(new, old, ("clusterIP", "clusterIPs"))
    if needs_node_ports(new) and needs_node_ports(old):
        had = {_what(port): port.get("nodePort") for port in old.get("ports") or ()}
        for port in new.get("ports") or ():
            if not port.get("nodePort") and had.get(_what(port)):
                port["nodePort"] = had[_what(port)]
    if needs_health_port(new) and needs_health_port(old):
        _keep(new, old, ("healthCheckNodePort",))
    if not has_addresses(new) and has_addresses(old):
        _drop(new, old, _FAMILY_FIELDS)
    inside = new.get("type") in ("ClusterIP", "ExternalName")
    if inside and needs_node_ports(old):
        given = [port.get("nodePort") for port in old.get("ports") or ()]
        for port in new.get("ports") or ():
            if port.get("nodePort") in given:
                port.pop("nodePort", None)
    if not needs_health_port(new):
        _drop(new, old, ("healthCheckNodePort",))
    if old.get("type") == "LoadBalancer" and new.get("type") != "LoadBalancer":
        _drop(new, old, ("allocateLoadBalancerNodePorts", "loadBalancerClass"))
    if inside and not new.get("externalIPs"):
        _drop(new, old, ("externalTrafficPolicy",))


def _agree(new: Json, old: Json) -> None:
    """`clusterIP` is the first of `clusterIPs`: whoever knows only one of the two changes both."""
    one, several = new.get("clusterIP") or "", new.get("clusterIPs") or []
    one_stays = one == (old.get("clusterIP") or "")
    several_stay = several == (old.get("clusterIPs") or [])
    if several_stay and not one_stays:
        new["clusterIPs"] = [one] if one else []
    elif one_stays and not several_stay and not several:
        new.pop("clusterIP", None)


def _what(port: Json) -> tuple[Any, Any]:
    return port.get("port"), port.get("protocol")


def _keep(new: Json, old: Json, keys: tuple[str, ...]) -> None:
    for key in keys:
        if old.get(key) and not new.get(key):
            new[key] = old[key]


def _drop(new: Json, old: Json, keys: tuple[str, ...]) -> None:
    for key in keys:
        if new.get(key) == old.get(key):
            new.pop(key, None)


def settle_families(spec: Json, served: list[str]) -> str:
    """Fill in policy and families, in place, for a cluster that serves these families, the default
    first. What is wrong, in words; nothing if all is well."""
    given = [one for one in spec.get("clusterIPs") or () if one]
    headless = given[:1] == ["None"] or spec.get("clusterIP") == "None"
    families = list(spec.get("ipFamilies") or ())
    for index, one in enumerate(() if headless else given):
        try:
            family = family_of(one)
        except ValueError:
            continue  # validation says so
        if index >= len(families):
            families.append(family)
    policy = spec.get("ipFamilyPolicy") or ""
    selectorless = headless and not spec.get("selector")
    if not policy:
        policy = REQUIRE if len(families) > 1 or len(given) > 1 else SINGLE
        if selectorless and not spec.get("ipFamilies"):
            policy = REQUIRE
    others = {"IPv4": "IPv6", "IPv6": "IPv4"}
    families = families or served[:1]
    if selectorless:
        # Nobody gives these addresses; endpoints of either family may be put in by hand.
        if policy != SINGLE and len(families) == 1:
            families.append(others[families[0]])
    else:
        for family in families:
            if family in others and family not in served:
                return f"ipFamilies: not configured on this cluster: {family}"
        if policy == REQUIRE and len(served) < 2:
            return "ipFamilyPolicy: this cluster is not configured for dual-stack services"
        if policy != SINGLE and len(families) == 1 and others[families[0]] in served:
            families.append(others[families[0]])
        if policy == SINGLE:
            families = families[:1]
    spec["ipFamilies"], spec["ipFamilyPolicy"] = families, policy
    return ""
