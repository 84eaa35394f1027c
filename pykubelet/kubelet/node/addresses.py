"""Which addresses the node calls its own.

The node's IP is the one that others in the cluster reach it by: what the user said; else the source
address of the route to the API server (in Vagrant every machine's default route is the same NAT
network, so the default route is the wrong guess); else that of the default route; else the first
address of a real interface. Neither a cluster nor a default route is needed to have one.
`choose` is pure; `Host` looks.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]

#: Addresses of the documentation ranges: nothing is ever sent there, so only a default route leads
#: to them.
_ANYWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}

#: Interfaces that containers, virtual machines and tunnels make on the host.
_MADE_HERE = ("lo", "veth", "cni", "docker", "br-", "virbr", "flannel", "cali", "kube", "vxlan")


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that is up, with its global addresses in the host's order."""

    name: str
    addresses: tuple[str, ...]


class View(Protocol):
    def towards(self, destination: str) -> str | None:
        """Our address on packets to `destination`; None if no route leads there."""

    def interfaces(self) -> Sequence[Interface]:
        """Those that are up."""


class Host:
    """The host itself.

    The node looks every few seconds, so the kernel is asked for a route by connecting a datagram
    socket: it sends nothing, and costs 20 µs. Interfaces are listed only where there is no route.
    """

    def towards(self, destination: str) -> str | None:
        family = socket.AF_INET6 if ":" in destination else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((destination, 9))
                return str(probe.getsockname()[0])
        except OSError:
            return None

    def interfaces(self) -> Sequence[Interface]:
        from pykubelet.network.addresses import host_addresses

        found: dict[str, list[str]] = {}
        for address in host_addresses():
            found.setdefault(address.interface, []).append(str(address.ip))
        return [Interface(name, tuple(addresses)) for name, addresses in found.items()]


def choose(
    view: View,
    *,
    node_ips: Iterable[str] = (),
    hostname: str = "",
    server: str | None = None,
) -> tuple[str, ...]:
    """The node's IPs, the main one first; at most one of each family. Empty if there is none.

    `node_ips` are --node-ip's: addresses, or 0.0.0.0 or :: for "this family, you choose". `server`
    is the API server's address, if the node has one.
    """
    wanted = [ipaddress.ip_address(text) for text in node_ips]
    fixed = [str(ip) for ip in wanted if not ip.is_unspecified]
    if fixed:
        return tuple(fixed)
    try:
        return (str(ipaddress.ip_address(hostname)),)
    except ValueError:
        pass  # a name, as usual
    families = [ip.version for ip in wanted] or [4, 6]
    for family in families:
        found = _of_family(view, family, server)
        if found:
            return (found,)
    return ()


def node_addresses(ips: Iterable[str], hostname: str) -> list[Json]:
    """v1.NodeAddress of each."""
    found = [{"type": "InternalIP", "address": ip} for ip in ips]
    return [*found, {"type": "Hostname", "address": hostname}]


def _of_family(view: View, family: int, server: str | None) -> str | None:
    destinations = [_ANYWHERE[family]]
    if server and (6 if ":" in server else 4) == family:
        destinations.insert(0, server)
    for destination in destinations:
        address = view.towards(destination)
        if address and _usable(address):
            return address
    interfaces = view.interfaces()
    real = [i for i in interfaces if not i.name.startswith(_MADE_HERE)]
    for interface in real or interfaces:
        for address in interface.addresses:
            if ipaddress.ip_address(address).version == family and _usable(address):
                return address
    return None


def _usable(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False  # a hardware address
    return not (ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast)
