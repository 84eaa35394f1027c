"""The words of the proxy: what a backend is told to make true.

A `ServicePort` is one port of one Service in one address family, with everything decided: which
addresses it answers on, to which endpoints it leads, who is masqueraded or turned away. `services`
makes them from API objects, `plan` keeps them all and tells what changed, the backends write them
as packet rules. Values only; lists are tuples, addresses and networks are in canonical text.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Endpoint(NamedTuple):
    ip: str
    port: int
    #: Whether it may be on this node: it is, or the slice does not say where it is.
    here: bool = False


class Frontend(NamedTuple):
    """Where traffic for a service arrives. `ip` "": a node port, at whatever address of the node
    is open to node ports."""

    family: int
    ip: str
    protocol: str
    port: int


class Refusal(enum.Enum):
    """What becomes of a packet for which there is no endpoint."""

    NONE = ""
    REJECT = "reject"
    #: There are endpoints, only none on this node, and the policy is Local: a load balancer that
    #: still sends here must see a timeout, not a refusal.
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """`protocol` is lower case. `endpoints` are those that any traffic may be led to, `local` those
    for traffic under a Local policy; both in the order of their slots (`plan.settled`)."""

    namespace: str
    name: str
    port_name: str
    created: str
    family: int
    protocol: str
    port: int
    cluster_ip: str
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    affinity_seconds: int = 0
    internal_local: bool = False
    external_local: bool = False
    endpoints: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    #: Whether there is a usable endpoint anywhere in the cluster.
    served: bool = False

    @property
    def title(self) -> str:
        """`namespace/name:port`, as upstream writes it; no colon where the port has no name."""
        port = f":{self.port_name}" if self.port_name else ""
        return f"{self.namespace}/{self.name}{port}"

    @property
    def internal(self) -> Frontend:
        return Frontend(self.family, self.cluster_ip, self.protocol, self.port)

    def externals(self) -> Iterator[Frontend]:
        for ip in (*self.external_ips, *self.balancer_ips):
            yield Frontend(self.family, ip, self.protocol, self.port)
        if self.node_port:
            yield Frontend(self.family, "", self.protocol, self.node_port)

    def frontends(self) -> Iterator[Frontend]:
        yield self.internal
        yield from self.externals()

    @property
    def firewalled(self) -> tuple[Frontend, ...]:
        """Where only `source_ranges` may come from. Nowhere while there is no endpoint at all: then
        everybody is refused alike, as upstream does it."""
        if not (self.source_ranges and (self.endpoints or self.local)):
            return ()
        return tuple(
            Frontend(self.family, ip, self.protocol, self.port) for ip in self.balancer_ips
        )

    @property
    def internal_endpoints(self) -> tuple[Endpoint, ...]:
        return self.local if self.internal_local else self.endpoints

    @property
    def external_endpoints(self) -> tuple[Endpoint, ...]:
        return self.local if self.external_local else self.endpoints

    @property
    def internal_refusal(self) -> Refusal:
        return self._refusal(self.internal_endpoints)

    @property
    def external_refusal(self) -> Refusal:
        """Of traffic from outside. Under the Local policy the node and its pods are still led to
        `endpoints`."""
        return self._refusal(self.external_endpoints)

    def _refusal(self, endpoints: tuple[Endpoint, ...]) -> Refusal:
        if endpoints:
            return Refusal.NONE
        return Refusal.DROP if self.served else Refusal.REJECT

    def reachable(self) -> tuple[Endpoint, ...]:
        """Every endpoint that some traffic may be led to, each once."""
        return tuple(dict.fromkeys((*self.endpoints, *self.local)))


@dataclass(frozen=True, slots=True)
class LocalTraffic:
    """How traffic of this node's pods is told from other traffic (`detectLocalMode`): by source
    network, by the interface it comes in on, or by the beginning of that interface's name. All
    empty: it can't be told, and nothing is treated as coming from elsewhere."""

    networks: tuple[str, ...] = ()
    interface: str = ""
    interface_prefix: str = ""

    def known(self, family: int) -> bool:
        return bool(self.interface or self.interface_prefix or self.of(family))

    def of(self, family: int) -> tuple[str, ...]:
        return tuple(n for n in self.networks if family_of(n) == family)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the rules depend on of the node they are for."""

    name: str
    zone: str = ""
    addresses: tuple[str, ...] = ()
    pod_cidrs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """What all services have in common. `node_port_networks` empty: node ports are open at every
    address of the node but its loopback ones, those only with `localhost_node_ports` (IPv4, and
    only iptables can)."""

    local_traffic: LocalTraffic = LocalTraffic()
    masquerade_all: bool = False
    masquerade_bit: int = 14
    node_port_networks: tuple[str, ...] = ()
    localhost_node_ports: bool = False

    @property
    def mark(self) -> int:
        return 1 << self.masquerade_bit


def family_of(address_or_network: str) -> int:
    return 6 if ":" in address_or_network else 4


def is_within(address: str, networks: tuple[str, ...]) -> bool:
    found = ipaddress.ip_address(address)
    return any(found in ipaddress.ip_network(n, strict=False) for n in networks)
