"""The network configuration that a runtime hands to the plugin, read and checked. Pure.

The words are those of CNI's bridge, host-local and portmap plugins, so that a file written for
that chain needs little more than another `type`. docs/network.md lists them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.network import ipam, spec
from pykubelet.network.leases import PortMapping
from pykubelet.network.messages import Address, Network
from pykubelet.network.spec import CniError, Json

DEFAULT_BRIDGE = "pykubelet0"
BACKENDS = ("nftables", "iptables")
_PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True)
class Route:
    """A route inside the pod. Without a gateway of its own it goes through the range's."""

    destination: Network
    gateway: Address | None = None
    mtu: int = 0
    advmss: int = 0
    priority: int = 0
    table: int = 0
    scope: int | None = None

    def to_json(self) -> Json:
        body: Json = {"dst": str(self.destination)}
        if self.gateway is not None:
            body["gw"] = str(self.gateway)
        for name in ("mtu", "advmss", "priority", "table"):
            if getattr(self, name):
                body[name] = getattr(self, name)
        if self.scope is not None:
            body["scope"] = self.scope
        return body


@dataclass(frozen=True)
class NetworkConfig:
    """`mtu` 0: that of the interface which leads out of the node. `backend` "": what the host
    offers. `plain_networks`: destinations that masquerading spares, beside the ranges."""

    version: str
    name: str
    bridge: str = DEFAULT_BRIDGE
    mtu: int = 0
    hairpin: bool = True
    promiscuous: bool = False
    gateway: bool = True
    default_gateway: bool = True
    masquerade: bool = True
    plain_networks: tuple[Network, ...] = ()
    range_sets: tuple[ipam.RangeSet, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: Json | None = None
    ports: tuple[PortMapping, ...] = ()
    wanted: tuple[Address, ...] = ()
    backend: str = ""
    state_dir: str = ""
    previous: Json | None = None
    valid: frozenset[tuple[str, str]] | None = None

    @property
    def subnets(self) -> tuple[Network, ...]:
        return tuple(r.subnet for members in self.range_sets for r in members)


def read_config(raw: Json, invocation: spec.Invocation) -> NetworkConfig:
    """Raises CniError: code 1 for the version, 2 for a field we can't honour, 7 for the rest."""
    version = raw.get("cniVersion") or "0.3.1"
    spec.check_version(version, invocation.command)
    try:
        return _read(raw, invocation, version)
    except Invalid as error:
        raise CniError(spec.INVALID_CONFIG, "invalid network configuration", str(error)) from error


def _read(raw: Json, invocation: spec.Invocation, version: str) -> NetworkConfig:
    name = raw.get("name", "")
    if not isinstance(name, str) or not spec.is_name(name):
        raise Invalid("malformed", where="name", found=repr(name))
    bridge = _text(raw, "bridge", DEFAULT_BRIDGE)
    if len(bridge) > 15 or "/" in bridge or not bridge:
        raise Invalid("no interface name", where="bridge", found=repr(bridge))
    hairpin, promiscuous = _flag(raw, "hairpinMode", None), _flag(raw, "promiscMode", False)
    if hairpin and promiscuous:
        raise Invalid("hairpinMode and promiscMode exclude each other", where="promiscMode")
    backend = _text(raw, "backend", "")
    if backend not in ("", *BACKENDS):
        raise Invalid("unknown", where="backend", expected=" or ".join(BACKENDS), found=backend)
    runtime = _lower_case(_object(raw, "runtimeConfig"))
    if runtime.get("bandwidth"):
        raise CniError(
            spec.UNSUPPORTED_FIELD,
            "unsupported field in the network configuration",
            "runtimeConfig.bandwidth: chain the `bandwidth` plugin behind this one, and let it "
            "declare the capability",
        )
    addresses = dict(_object(raw, "ipam"))
    if runtime.get("ipRanges"):
        addresses["ranges"] = _list(runtime, "ipRanges") + _list(addresses, "ranges")
    verb_needs_ranges = invocation.command in ("ADD", "CHECK", "STATUS")
    range_sets = (
        ipam.parse_range_sets(addresses)
        if verb_needs_ranges or addresses.get("ranges") or addresses.get("subnet")
        else ()
    )
    return NetworkConfig(
        version=version,
        name=name,
        bridge=bridge,
        mtu=_number(raw, "mtu", 0, 65535),
        hairpin=not promiscuous if hairpin is None else hairpin,
        promiscuous=bool(promiscuous),
        gateway=bool(_flag(raw, "isGateway", True)),
        default_gateway=bool(_flag(raw, "isDefaultGateway", True)),
        masquerade=bool(_flag(raw, "ipMasq", True)),
        plain_networks=_networks(raw, "clusterCIDRs") + _networks(raw, "serviceCIDRs"),
        range_sets=range_sets,
        routes=_routes(addresses.get("routes") or [], "ipam.routes"),
        dns=_object(raw, "dns") or None,
        ports=read_ports(runtime.get("portMappings") or []),
        wanted=_wanted(raw, runtime, invocation),
        backend=backend,
        state_dir=_text(raw, "stateDir", ""),
        previous=_object(raw, "prevResult") or None,
        valid=_valid_attachments(raw) if invocation.command == "GC" else None,
    )


def _lower_case(value: Any) -> Any:
    """Names as the conventions write them. containerd writes `HostPort` and `Subnet`, which the
    plugins in Go never notice, because their decoder ignores case."""
    if isinstance(value, list):
        return [_lower_case(item) for item in value]
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _lower_case(item) for name, item in value.items()}
    return value


def read_ports(mappings: Any) -> tuple[PortMapping, ...]:
    """`runtimeConfig.portMappings`. One without a host port is no mapping."""
    if not isinstance(mappings, list):
        raise Invalid("not a list", where="runtimeConfig.portMappings", found=repr(mappings))
    ports: dict[PortMapping, None] = {}
    for i, raw in enumerate(mappings):
        where = f"runtimeConfig.portMappings[{i}]"
        if not isinstance(raw, dict):
            raise Invalid("not an object", where=where, found=repr(raw))
        if not raw.get("hostPort"):
            continue
        protocol = str(raw.get("protocol") or "tcp").lower()
        if protocol not in _PROTOCOLS:
            raise Invalid("unknown protocol", where=f"{where}.protocol",
                          expected=", ".join(_PROTOCOLS), found=protocol)  # fmt: skip
        host_ip = str(raw.get("hostIP") or "")
        if host_ip:
            try:
                host_ip = str(ipaddress.ip_address(host_ip))
            except ValueError as error:
                raise Invalid(str(error), where=f"{where}.hostIP") from None
        mapping = PortMapping(
            _number(raw, "hostPort", 1, 65535, where),
            _number(raw, "containerPort", 1, 65535, where),
            protocol,
            host_ip,
        )
        ports[mapping] = None
    return tuple(ports)


def _wanted(raw: Json, runtime: Json, invocation: spec.Invocation) -> tuple[Address, ...]:
    """Addresses asked for by runtimeConfig.ips, args.cni.ips or IP= in CNI_ARGS."""
    texts = _list(runtime, "ips") + _list(_object(_object(raw, "args"), "cni"), "ips")
    texts += [value for name, value in invocation.args if name == "IP"]
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_interface(str(text)).ip)
        except ValueError as error:
            raise Invalid(str(error), where="ips") from None
    return tuple(dict.fromkeys(found))


def _valid_attachments(raw: Json) -> frozenset[tuple[str, str]]:
    listed = raw.get("cni.dev/valid-attachments", raw.get("cni.dev/attachments"))
    if not isinstance(listed, list):
        raise Invalid("GC needs a list", where="cni.dev/valid-attachments", found=repr(listed))
    try:
        return frozenset((item["containerID"], item["ifname"]) for item in listed)
    except (KeyError, TypeError):
        raise Invalid("malformed", where="cni.dev/valid-attachments", found=repr(listed)) from None


def _routes(listed: Any, where: str) -> tuple[Route, ...]:
    if not isinstance(listed, list):
        raise Invalid("not a list", where=where, found=repr(listed))
    routes = []
    for i, raw in enumerate(listed):
        here = f"{where}[{i}]"
        if not isinstance(raw, dict):
            raise Invalid("not an object", where=here, found=repr(raw))
        try:
            destination = ipaddress.ip_network(str(raw.get("dst", "")), strict=False)
            gateway = ipaddress.ip_address(str(raw["gw"])) if raw.get("gw") else None
        except ValueError as error:
            raise Invalid(str(error), where=here) from None
        scope = raw.get("scope")
        routes.append(
            Route(
                destination,
                gateway,
                _number(raw, "mtu", 0, 65535, here),
                _number(raw, "advmss", 0, 65535, here),
                _number(raw, "priority", 0, 2**32 - 1, here),
                _number(raw, "table", 0, 2**32 - 1, here),
                None if scope is None else _number(raw, "scope", 0, 255, here),
            )
        )
    return tuple(routes)


def _networks(raw: Json, field: str) -> tuple[Network, ...]:
    listed = raw.get(field)
    texts = listed.split(",") if isinstance(listed, str) else _list(raw, field)
    try:
        return tuple(ipaddress.ip_network(str(text), strict=False) for text in texts)
    except ValueError as error:
        raise Invalid(str(error), where=field) from None


def _object(raw: Json, field: str) -> Json:
    value = raw.get(field) or {}
    if not isinstance(value, dict):
        raise Invalid("not an object", where=field, found=repr(value))
    return value


def _list(raw: Json, field: str) -> list[Any]:
    value = raw.get(field) or []
    if not isinstance(value, list):
        raise Invalid("not a list", where=field, found=repr(value))
    return value


def _text(raw: Json, field: str, default: str) -> str:
    value = raw.get(field, default)
    if not isinstance(value, str):
        raise Invalid("not a string", where=field, found=repr(value))
    return value


def _flag(raw: Json, field: str, default: bool | None) -> bool | None:
    value = raw.get(field, default)
    if value is not None and not isinstance(value, bool):
        raise Invalid("not true or false", where=field, found=repr(value))
    return value


def _number(raw: Json, field: str, low: int, high: int, where: str = "") -> int:
    value = raw.get(field) or 0
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Invalid("out of range", where=f"{where}.{field}" if where else field,
                      expected=f"{low} to {high}", found=repr(raw.get(field)))  # fmt: skip
    return value
