"""Service ports as chains and rules for iptables. Pure.

`Rules` of a service are chains that are its own, and lines in the chains that all services share.
The shared chains come in the order of a packet's way:

  nat     PREROUTING, OUTPUT → KUBE-SERVICES → KUBE-SVC-… or, for external addresses, KUBE-EXT-…
          (through KUBE-FW-… where source ranges are given) → KUBE-SEP-… → DNAT
          … → KUBE-NODEPORTS, last, for addresses of this node
          POSTROUTING → KUBE-POSTROUTING → MASQUERADE of what KUBE-MARK-MASQ has marked
  filter  KUBE-SERVICES, KUBE-EXTERNAL-SERVICES: refusals; KUBE-PROXY-FIREWALL: what no KUBE-FW-…
          has let through; KUBE-NODEPORTS: open ports for health checks

A service's line in nat KUBE-SERVICES stays while it has no endpoints, so that endpoints that come
and go never touch a chain that grows with the number of services.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pykubelet.proxy.iptables import names
from pykubelet.proxy.iptables.names import CLUSTER, EXTERNAL, FIREWALL, LOCAL, MARK_MASQUERADE
from pykubelet.proxy.model import (
    Endpoint,
    Frontend,
    LocalTraffic,
    Refusal,
    ServicePort,
    Settings,
    family_of,
)

#: (table, shared chain, rule)
Line = tuple[str, str, str]

_REFUSALS = {
    Refusal.REJECT: ("has no endpoints", "REJECT"),
    Refusal.DROP: ("has no local endpoints", "DROP"),
}


@dataclass(slots=True)
class Rules:
    """`chains` are in nat: name → rules, without the leading `-A name`."""

    chains: dict[str, list[str]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)


def rules(ports: Iterable[ServicePort], settings: Settings, family: int) -> Rules:
    found = Rules()
    for port in ports:
        if port.family == family:
            _port(found, port, settings)
    return found


def _port(found: Rules, port: ServicePort, settings: Settings) -> None:
    externals = list(port.externals())
    uses_cluster = not port.internal_local or bool(externals)
    uses_local = port.internal_local or port.external_local
    cluster = names.of_service(CLUSTER, port) if uses_cluster else ""
    local = names.of_service(LOCAL, port) if uses_local else ""
    chain_of = {e: names.of_endpoint(port, e) for e in port.reachable()}

    internal = local if port.internal_local else cluster
    about = _comment(f"{port.title} cluster IP")
    to = _to(port.internal)
    found.lines.append(("nat", names.SERVICES, f"{about} {to} -j {internal}"))
    _refuse(found, names.SERVICES, port, port.internal, port.internal_refusal)

    for name, used, endpoints in (
        (cluster, uses_cluster, port.endpoints),
        (local, uses_local, port.local),
    ):
        if used:
            chain = found.chains[name] = []
            # KUBE-FORWARD lets marked packets pass: none may be marked that is to be refused.
            if name == internal and endpoints:
                chain += _off_cluster(settings, port, f"{about} {to}")
            chain += _choice(port, endpoints, [chain_of[e] for e in endpoints])
    for endpoint, name in chain_of.items():
        found.chains[name] = list(_endpoint(port, endpoint, name))

    if not externals:
        return
    external = names.of_service(EXTERNAL, port)
    firewall = names.of_service(FIREWALL, port)
    found.chains[external] = list(_external(port, settings, cluster, local))
    guarded = set(port.firewalled)
    for frontend in externals:
        kind = _kind(port, frontend)
        target = firewall if frontend in guarded else external
        chain_name = names.SERVICES if frontend.ip else names.NODE_PORTS
        line = f"{_comment(f'{port.title} {kind}')} {_to(frontend)} -j {target}"
        found.lines.append(("nat", chain_name, line.lstrip()))
        _refuse(found, names.EXTERNAL_SERVICES, port, frontend, port.external_refusal)
    if guarded:
        about = _comment(f"{port.title} loadbalancer IP")
        found.chains[firewall] = [f"{about} -s {n} -j {external}" for n in port.source_ranges]
        why = _comment(f"{port.title} traffic not accepted by {firewall}")
        found.lines += [
            ("filter", names.PROXY_FIREWALL, f"{why} {_to(f)} -j DROP") for f in guarded
        ]


def _kind(port: ServicePort, frontend: Frontend) -> str:
    if not frontend.ip:
        return "node port"
    return "external IP" if frontend.ip in port.external_ips else "loadbalancer IP"


def _external(port: ServicePort, settings: Settings, cluster: str, local: str) -> Iterator[str]:
    if not port.endpoints:
        return
    if not port.external_local:
        yield f"{_comment(f'masquerade traffic for {port.title} external destinations')} " + (
            f"-j {MARK_MASQUERADE}"
        )
        yield f"-j {cluster}"
        return
    pods = ours(settings.local_traffic, port.family)
    about = _comment(f"pod traffic for {port.title} external destinations")
    for match in pods:
        yield f"{about} {match} -j {cluster}"
    about = _comment(f"masquerade LOCAL traffic for {port.title} external destinations")
    yield f"{about} -m addrtype --src-type LOCAL -j {MARK_MASQUERADE}"
    about = _comment(f"route LOCAL traffic for {port.title} external destinations")
    yield f"{about} -m addrtype --src-type LOCAL -j {cluster}"
    if port.local:
        yield f"-j {local}"


def _off_cluster(settings: Settings, port: ServicePort, match: str) -> Iterator[str]:
    if settings.masquerade_all:
        yield f"{match} -j {MARK_MASQUERADE}"
        return
    found = ours(settings.local_traffic, port.family)
    if len(found) == 1:
        yield f"{match} ! {found[0]} -j {MARK_MASQUERADE}"
    elif found:  # a rule can't negate a list
        yield f"{match} -j {names.MARK_OFF_CLUSTER}"


def _choice(port: ServicePort, endpoints: tuple[Endpoint, ...], chains: list[str]) -> Iterator[str]:
    abouts = [_comment(f"{port.title} -> {names.address(e)}") for e in endpoints]
    if port.affinity_seconds:
        for about, chain in zip(abouts, chains, strict=True):
            seen = f"-m recent --name {chain} --rcheck --seconds {port.affinity_seconds} --reap"
            yield f"{about} {seen} -j {chain}"
    left = len(endpoints)
    for about, chain in zip(abouts, chains, strict=True):
        share = f" -m statistic --mode random --probability {1 / left:.10f}" if left > 1 else ""
        yield f"{about}{share} -j {chain}"
        left -= 1


def _endpoint(port: ServicePort, endpoint: Endpoint, chain: str) -> Iterator[str]:
    about = _comment(port.title)
    if endpoint.here:
        # Only a pod of this node can reach itself through this node.
        yield f"{about} -s {endpoint.ip} -j {MARK_MASQUERADE}"
    remember = f" -m recent --name {chain} --set" if port.affinity_seconds else ""
    to = f"-j DNAT --to-destination {names.address(endpoint)}"
    yield f"{about}{remember} -p {port.protocol} {to}"


def _refuse(
    found: Rules, chain: str, port: ServicePort, frontend: Frontend, refusal: Refusal
) -> None:
    if refusal is Refusal.NONE:
        return
    why, target = _REFUSALS[refusal]
    where = "" if frontend.ip else " -m addrtype --dst-type LOCAL"
    about = _comment(f"{port.title} {why}")
    found.lines.append(("filter", chain, f"{about}{where} {_to(frontend)} -j {target}"))


def _to(frontend: Frontend) -> str:
    protocol = f"-p {frontend.protocol} -m {frontend.protocol} --dport {frontend.port}"
    return f"-d {frontend.ip} {protocol}" if frontend.ip else protocol


def _comment(text: str) -> str:
    return f'-m comment --comment "{text}"'


def ours(local: LocalTraffic, family: int) -> list[str]:
    """Matches of this node's pods, one rule each; [] where they can't be told."""
    if local.interface:
        return [f"-i {local.interface}"]
    if local.interface_prefix:
        return [f"-i {local.interface_prefix}+"]
    return [f"-s {network}" for network in local.of(family)]


# -- what does not depend on services -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Jump:
    """Where one of our chains is entered from: `rule` is a line of a built-in chain."""

    table: str
    builtin: str
    rule: str


_NEW = "-m conntrack --ctstate NEW"
_PORTALS = _comment("kubernetes service portals")
_EXTERNAL = _comment("kubernetes externally-visible service portals")
_BALANCER = _comment("kubernetes load balancer firewall")

#: In the order in which they are to stand.
JUMPS = (
    Jump("nat", "PREROUTING", f"{_PORTALS} -j {names.SERVICES}"),
    Jump("nat", "OUTPUT", f"{_PORTALS} -j {names.SERVICES}"),
    Jump(
        "nat",
        "POSTROUTING",
        f"{_comment('kubernetes postrouting rules')} -j {names.POSTROUTING}",
    ),
    Jump("filter", "INPUT", f"{_NEW} {_BALANCER} -j {names.PROXY_FIREWALL}"),
    Jump(
        "filter",
        "INPUT",
        f"{_comment('kubernetes health check service ports')} -j {names.NODE_PORTS}",
    ),
    Jump("filter", "INPUT", f"{_NEW} {_EXTERNAL} -j {names.EXTERNAL_SERVICES}"),
    Jump("filter", "INPUT", f"-j {names.LOCALNET_FIREWALL}"),
    Jump("filter", "FORWARD", f"{_NEW} {_BALANCER} -j {names.PROXY_FIREWALL}"),
    Jump("filter", "FORWARD", f"{_comment('kubernetes forwarding rules')} -j {names.FORWARD}"),
    Jump("filter", "FORWARD", f"{_NEW} {_PORTALS} -j {names.SERVICES}"),
    Jump("filter", "FORWARD", f"{_NEW} {_EXTERNAL} -j {names.EXTERNAL_SERVICES}"),
    Jump("filter", "OUTPUT", f"{_NEW} {_BALANCER} -j {names.PROXY_FIREWALL}"),
    Jump("filter", "OUTPUT", f"{_NEW} {_PORTALS} -j {names.SERVICES}"),
    Jump("filter", "OUTPUT", f"{_NEW} {_EXTERNAL} -j {names.EXTERNAL_SERVICES}"),
)


def frame(settings: Settings, family: int) -> list[Line]:
    """The lines of the fixed chains that are always there; node ports come last in KUBE-SERVICES
    (`node_port_jumps`)."""
    mark = f"{settings.mark:#x}"
    found = [
        ("nat", MARK_MASQUERADE, f"-j MARK --or-mark {mark}"),
        ("nat", names.POSTROUTING, f"-m mark ! --mark {mark}/{mark} -j RETURN"),
        # Cleared, so that a packet that passes here twice (in a tunnel) is not hidden twice.
        ("nat", names.POSTROUTING, f"-j MARK --xor-mark {mark}"),
        ("nat", names.POSTROUTING, "-j MASQUERADE --random-fully"),
        ("filter", names.FORWARD, "-m conntrack --ctstate INVALID -j DROP"),
        ("filter", names.FORWARD, f"-m mark --mark {mark}/{mark} -j ACCEPT"),
        ("filter", names.FORWARD, "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
    ]
    pods = ours(settings.local_traffic, family)
    if len(pods) > 1:
        found += [("nat", names.MARK_OFF_CLUSTER, f"{match} -j RETURN") for match in pods]
        found.append(("nat", names.MARK_OFF_CLUSTER, f"-j {MARK_MASQUERADE}"))
    if settings.localhost_node_ports and family == 4:
        # route_localnet opens 127.0.0.0/8 to neighbours: only answers may come in by that door.
        known = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
        found.append(
            (
                "filter",
                names.LOCALNET_FIREWALL,
                f"! -s 127.0.0.0/8 -d 127.0.0.0/8 {known} -j DROP",
            )
        )
    return found


def node_port_jumps(settings: Settings, family: int) -> list[str]:
    """The end of nat KUBE-SERVICES."""
    about = _comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
    local = f"-m addrtype --dst-type LOCAL -j {names.NODE_PORTS}"
    if settings.node_port_networks:
        networks = [n for n in settings.node_port_networks if family_of(n) == family]
        return [f"{about} -d {network} {local}" for network in networks]
    if family == 4 and settings.localhost_node_ports:
        return [f"{about} {local}"]
    loopback = "127.0.0.0/8" if family == 4 else "::1/128"
    return [f"{about} ! -d {loopback} {local}"]


def health_check(port: int, title: str) -> Line:
    about = _comment(f"{title} health check node port")
    return ("filter", names.NODE_PORTS, f"{about} -p tcp -m tcp --dport {port} -j ACCEPT")
