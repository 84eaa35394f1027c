"""Ingresses and their classes, network policies, ranges of service addresses. Source: the API
reference of networking.k8s.io/v1.
"""

from __future__ import annotations

import ipaddress

from pykubelet.objects import fields, names
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import immutable, label_selector
from pykubelet.objects.validation.rules import (
    Errors,
    Json,
    chosen,
    domain_prefixed,
    named,
    optional_name,
    port_number,
    port_number_or_name,
    present,
    required_name,
)
from pykubelet.objects.validation.services import cidr

_SPEC: Path = ("spec",)
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_NO_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_NO_ENDS = ("/..", "/.")
_CLASS = "kubernetes.io/ingress.class"
_LONGEST_CONTROLLER = 250


def ingress(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    rules = spec.get("rules") or []
    if not rules and "defaultBackend" not in spec:
        yield fields.invalid(_SPEC, None, "either `defaultBackend` or `rules` must be specified")
    if "defaultBackend" in spec:
        yield from _backend(spec["defaultBackend"], (*_SPEC, "defaultBackend"))
    for index, rule in enumerate(rules):
        at = (*_SPEC, "rules", index)
        host = rule.get("host") or ""
        yield from _host(host, (*at, "host"))
        if "http" in rule:
            yield from _http(rule["http"], (*at, "http"))
    for index, one in enumerate(spec.get("tls") or ()):
        for host in one.get("hosts") or ():
            rule = names.wildcard_subdomain if "*" in host else names.dns_subdomain
            yield from named(host, (*_SPEC, "tls", index, "hosts"), rule)
        yield from optional_name(one, "secretName", (*_SPEC, "tls", index), names.dns_subdomain)
    yield from optional_name(spec, "ingressClassName", _SPEC, names.dns_subdomain)


def ingress_create(obj: Json) -> Errors:
    """Besides: the class is said once."""
    annotation = (obj["metadata"].get("annotations") or {}).get(_CLASS)
    if annotation is not None and "ingressClassName" in (obj.get("spec") or {}):
        yield fields.invalid(
            ("annotations", _CLASS), annotation,
            "can not be set when the class field is also set",
        )  # fmt: skip


def ingress_class(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    controller, at = spec.get("controller") or "", (*_SPEC, "controller")
    if not controller:
        yield fields.required(at)
    elif len(controller) > _LONGEST_CONTROLLER:
        yield fields.too_long(at, _LONGEST_CONTROLLER)
    else:
        yield from domain_prefixed(controller, at)
    given = spec.get("parameters")
    if given is None:
        return
    at = (*_SPEC, "parameters")
    yield from optional_name(given, "apiGroup", at, names.dns_subdomain)
    yield from required_name(given, "kind", at, names.path_segment)
    yield from required_name(given, "name", at, names.path_segment)
    yield from chosen(given, "scope", ("Cluster", "Namespace"), at, empty=False)
    if given.get("scope") == "Namespace":
        if not given.get("namespace"):
            yield fields.required((*at, "namespace"), "`parameters.scope` is set to 'Namespace'")
        else:
            yield from named(given["namespace"], (*at, "namespace"), names.dns_label)
    elif given.get("namespace") is not None:
        yield fields.forbidden((*at, "namespace"), "`parameters.scope` is set to 'Cluster'")


def ingress_class_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    yield from immutable(after.get("controller"), before.get("controller"), (*_SPEC, "controller"))


def network_policy(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from label_selector(spec.get("podSelector"), (*_SPEC, "podSelector"))
    for direction, others in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            at = (*_SPEC, direction, index)
            for number, port in enumerate(rule.get("ports") or ()):
                yield from _policy_port(port, (*at, "ports", number))
            for number, peer in enumerate(rule.get(others) or ()):
                yield from _peer(peer, (*at, others, number))
    types, at = spec.get("policyTypes") or [], (*_SPEC, "policyTypes")
    if len(types) > 2:
        yield fields.invalid(at, types, "may not specify more than two policyTypes")
        return
    for index, one in enumerate(types):
        if one not in ("Egress", "Ingress"):
            yield fields.not_supported((*at, index), one, ("Egress", "Ingress"))


def service_cidr(obj: Json) -> Errors:
    given, at = (obj.get("spec") or {}).get("cidrs") or [], (*_SPEC, "cidrs")
    if not given:
        yield fields.required(at, "at least one CIDR required")
        return
    if len(given) > 2:
        yield fields.invalid(
            at, given, "must specify either a single IPv4 or IPv6 CIDR, or one of each"
        )
        return
    for index, text in enumerate(given):
        yield from cidr(text, (*at, index))
    if len(given) == 2 and (":" in given[0]) == (":" in given[1]):
        yield fields.invalid(
            at,
            given,
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",  # noqa: E501
        )


def service_cidr_update(new: Json, old: Json) -> Errors:
    """A range of one family may get one of the other, nothing else."""
    after = (new.get("spec") or {}).get("cidrs") or []
    before = (old.get("spec") or {}).get("cidrs") or []
    if len(before) == 1 and len(after) == 2 and after[0] == before[0]:
        return
    yield from immutable(after, before, (*_SPEC, "cidrs"))


def ip_address(obj: Json) -> Errors:
    name = obj["metadata"].get("name") or ""
    try:
        if str(ipaddress.ip_address(name)) != name:
            yield fields.invalid(
                ("metadata", "name"), name, "must be a canonical format IP address"
            )
    except ValueError:
        yield fields.invalid(
            ("metadata", "name"),
            name,
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        )
    parent, at = (obj.get("spec") or {}).get("parentRef"), (*_SPEC, "parentRef")
    if parent is None:
        yield fields.required(at)
        return
    yield from optional_name(parent, "group", at, names.dns_subdomain)
    yield from required_name(parent, "resource", at, names.path_segment)
    yield from required_name(parent, "name", at, names.path_segment)
    yield from optional_name(parent, "namespace", at, names.path_segment)


def ip_address_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    yield from immutable(after.get("parentRef"), before.get("parentRef"), (*_SPEC, "parentRef"))


def _host(host: str, at: Path) -> Errors:
    if not host:
        return
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        yield fields.invalid(at, host, "must be a DNS name, not an IP address")
    yield from named(host, at, names.wildcard_subdomain if "*" in host else names.dns_subdomain)


def _http(given: Json, at: Path) -> Errors:
    yield from present(given, ("paths",), at)
    for index, one in enumerate(given.get("paths") or ()):
        here = (*at, "paths", index)
        kind, path = one.get("pathType"), one.get("path") or ""
        if kind is None:
            yield fields.required((*here, "pathType"), "pathType must be specified")
            continue
        if kind not in _PATH_TYPES:
            yield fields.not_supported((*here, "pathType"), kind, _PATH_TYPES)
        elif not path.startswith("/") and (path or kind != "ImplementationSpecific"):
            yield fields.invalid((*here, "path"), path, "must be an absolute path")
        if kind in ("Exact", "Prefix"):
            for bad in _NO_SEQUENCES:
                if bad in path:
                    yield fields.invalid((*here, "path"), path, f"must not contain '{bad}'")
            for bad in _NO_ENDS:
                if path.endswith(bad):
                    yield fields.invalid((*here, "path"), path, f"cannot end with '{bad}'")
        yield from _backend(one.get("backend") or {}, (*here, "backend"))


def _backend(given: Json, at: Path) -> Errors:
    resource, service = given.get("resource"), given.get("service")
    if resource is not None and service is not None:
        yield fields.invalid(at, "", "cannot set both resource and service backends")
    elif resource is not None:
        here = (*at, "resource")
        yield from optional_name(resource, "apiGroup", here, names.dns_subdomain)
        yield from required_name(resource, "kind", here, names.path_segment)
        yield from required_name(resource, "name", here, names.path_segment)
    elif service is not None:
        here = (*at, "service")
        yield from required_name(service, "name", here, names.dns_label_1035)
        port = service.get("port") or {}
        if port.get("name") and port.get("number"):
            yield fields.invalid((*here, "port"), port, "cannot set both port name & port number")
        elif port.get("name"):
            yield from named(port["name"], (*here, "port", "name"), names.port_name)
        elif port.get("number"):
            yield from port_number(port["number"], (*here, "port", "number"))
        else:
            yield fields.required((*here, "port"), "port name or number is required")
    else:
        yield fields.invalid(at, "", "resource or service backend is required")


def _policy_port(port: Json, at: Path) -> Errors:
    yield from chosen(port, "protocol", ("SCTP", "TCP", "UDP"), at)
    first, last = port.get("port"), port.get("endPort")
    if first is not None:
        yield from port_number_or_name(first, (*at, "port"))
        if last is not None:
            if isinstance(first, str):
                yield fields.invalid(
                    (*at, "endPort"), last, "may not be specified when `port` is non-numeric"
                )
            elif last < first:
                yield fields.invalid(
                    (*at, "endPort"), last, "must be greater than or equal to `port`"
                )
            yield from port_number(last, (*at, "endPort"))
    elif last is not None:
        yield fields.invalid(
            (*at, "endPort"), last, "may not be specified when `port` is not specified"
        )


def _peer(peer: Json, at: Path) -> Errors:
    for key in ("podSelector", "namespaceSelector"):
        yield from label_selector(peer.get(key), (*at, key))
    block = peer.get("ipBlock")
    if block is not None:
        yield from _ip_block(block, (*at, "ipBlock"))
    given = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if key in peer]
    if not given:
        yield fields.required(at, "must specify a peer")
    elif block is not None and len(given) > 1:
        yield fields.forbidden(at, "may not specify both ipBlock and another peer")


def _ip_block(block: Json, at: Path) -> Errors:
    text = block.get("cidr") or ""
    if not text:
        yield fields.required((*at, "cidr"))
        return
    found = list(cidr(text, (*at, "cidr")))
    yield from found
    if found:
        return
    whole = ipaddress.ip_network(text, strict=False)
    for index, one in enumerate(block.get("except") or ()):
        here = (*at, "except", index)
        found = list(cidr(one, here))
        yield from found
        if found:
            continue
        part = ipaddress.ip_network(one, strict=False)
        inside = part.version == whole.version and part.network_address in whole
        if not inside or part.prefixlen <= whole.prefixlen:
            yield fields.invalid(here, one, "must be a strict subset of `cidr`")
