"""Route-netlink requests as values: what to ask the kernel, not how to send it.

Each function builds one `Request` with pyroute2's message classes and touches nothing else, so
that a test compares bytes without root. Encoding is the dear part (50 to 150 µs), so requests that
are the same for one pod as for the next are remembered with their bytes. `netlink` sends them;
`links` and `bridge` know in which order. Numbers are those of rtnetlink(7) and netlink(7).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from pykubelet.network.codecs import ifaddrmsg, ifinfmsg, ndmsg, rtmsg

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400

IFF_UP, IFF_PROMISC = 0x1, 0x100
IFA_F_NODAD = 0x2
RT_TABLE_MAIN = 254
RTPROT_STATIC = 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTN_UNICAST = 1
RTM_F_FIB_MATCH = 0x2000
AF_BRIDGE = 7


@dataclass(frozen=True)
class Request:
    """One message. `forgives`: error numbers that mean the wish is already true."""

    kind: int
    flags: int
    codec: Any
    fields: dict[str, Any]
    attributes: tuple[tuple[str, Any], ...] = ()
    forgives: frozenset[int] = frozenset()
    what: str = ""

    def encode(self, sequence: int) -> bytes:
        encoded = self._encoded
        return encoded[:8] + sequence.to_bytes(4, sys.byteorder) + encoded[12:]

    @cached_property
    def _encoded(self) -> bytes:
        message = self.codec()
        for name, value in self.fields.items():
            message[name] = value
        header = message["header"]
        header["type"] = self.kind
        header["flags"] = self.flags
        message["attrs"] = list(self.attributes)
        message.encode()
        return bytes(message.data)


# -- links --------------------------------------------------------------------------------------


def create_veth(
    host: str,
    peer: str,
    *,
    peer_namespace: int,
    mtu: int,
    host_mac: str,
    peer_mac: str,
    master: int = 0,
) -> Request:
    """A veth pair whose peer is born in the namespace behind the descriptor `peer_namespace`.

    The host end comes up at once and, with `master`, as a port of that bridge. The peer can't:
    the kernel refuses to bring it up before it has its other half (ENOTCONN).
    """
    far_end = {
        "attrs": [
            ("IFLA_IFNAME", peer),
            ("IFLA_MTU", mtu),
            ("IFLA_ADDRESS", peer_mac),
            ("IFLA_NET_NS_FD", peer_namespace),
        ]
    }
    attributes: list[tuple[str, Any]] = [
        ("IFLA_IFNAME", host),
        ("IFLA_MTU", mtu),
        ("IFLA_ADDRESS", host_mac),
    ]
    if master:
        attributes.append(("IFLA_MASTER", master))
    info = [
        ("IFLA_INFO_KIND", "veth"),
        ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", far_end)]}),
    ]
    attributes.append(("IFLA_LINKINFO", {"attrs": info}))
    return Request(
        RTM_NEWLINK,
        NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
        ifinfmsg,
        {"flags": IFF_UP, "change": IFF_UP},
        tuple(attributes),
        what=f"create veth {host} with peer {peer}",
    )


def create_bridge(name: str, *, mac: str, mtu: int, netfilter: bool) -> Request:
    """A bridge with a fixed MAC: else it takes the lowest of its ports', which come and go, and
    every pod's ARP entry for the gateway goes stale. `netfilter` lets bridged packets through
    the IP hooks of this bridge alone, so that a reply from a pod beside the client is translated
    back; it needs br_netfilter."""
    data: list[tuple[str, Any]] = []
    if netfilter:
        data = [("IFLA_BR_NF_CALL_IPTABLES", 1), ("IFLA_BR_NF_CALL_IP6TABLES", 1)]
    info = [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", {"attrs": data})]
    return Request(
        RTM_NEWLINK,
        NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
        ifinfmsg,
        {},
        (
            ("IFLA_IFNAME", name),
            ("IFLA_MTU", mtu),
            ("IFLA_ADDRESS", mac),
            ("IFLA_LINKINFO", {"attrs": info}),
        ),
        forgives=frozenset({errno.EEXIST}),
        what=f"create bridge {name}",
    )


def set_port(name: str, *, hairpin: bool) -> Request:
    """Whether a bridge port sends frames back out of where they came in."""
    slave = {"attrs": [("IFLA_BRPORT_MODE", int(hairpin))]}
    info = [("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", slave)]
    return Request(
        RTM_NEWLINK,
        NLM_F_REQUEST | NLM_F_ACK,
        ifinfmsg,
        {},
        (("IFLA_IFNAME", name), ("IFLA_LINKINFO", {"attrs": info})),
        what=f"set hairpin of {name}",
    )


@lru_cache(maxsize=64)
def set_link(name: str, *, up: bool = True, promiscuous: bool = False, mtu: int = 0) -> Request:
    change = IFF_UP | (IFF_PROMISC if promiscuous else 0)
    attributes: list[tuple[str, Any]] = [("IFLA_IFNAME", name)]
    if mtu:
        attributes.append(("IFLA_MTU", mtu))
    return Request(
        RTM_NEWLINK,
        NLM_F_REQUEST | NLM_F_ACK,
        ifinfmsg,
        {"flags": change if up else 0, "change": change},
        tuple(attributes),
        what=f"set {name} {'up' if up else 'down'}",
    )


def delete_link(name: str) -> Request:
    return Request(
        RTM_DELLINK,
        NLM_F_REQUEST | NLM_F_ACK,
        ifinfmsg,
        {},
        (("IFLA_IFNAME", name),),
        forgives=frozenset({errno.ENODEV}),
        what=f"delete link {name}",
    )


def get_link(name: str) -> Request:
    return Request(
        RTM_GETLINK, NLM_F_REQUEST, ifinfmsg, {}, (("IFLA_IFNAME", name),), what=f"get link {name}"
    )


def list_links(*, master: int = 0) -> Request:
    attributes: tuple[tuple[str, Any], ...] = (("IFLA_MASTER", master),) if master else ()
    return Request(
        RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, ifinfmsg, {}, attributes, what="list links"
    )


# -- addresses ----------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def add_address(index: int, address: Interface) -> Request:
    """IPv6 without duplicate address detection: the lease is what makes the address unique, and
    a tentative address refuses connections for its first second."""
    return Request(
        RTM_NEWADDR,
        NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
        ifaddrmsg,
        _address_fields(index, address),
        _address_attributes(address),
        what=f"add address {address}",
    )


def delete_address(index: int, address: Interface) -> Request:
    return Request(
        RTM_DELADDR,
        NLM_F_REQUEST | NLM_F_ACK,
        ifaddrmsg,
        _address_fields(index, address),
        (("IFA_LOCAL", str(address.ip)), ("IFA_ADDRESS", str(address.ip))),
        forgives=frozenset({errno.EADDRNOTAVAIL}),
        what=f"delete address {address}",
    )


def _address_fields(index: int, address: Interface) -> dict[str, Any]:
    return {
        "family": family(address),
        "prefixlen": address.network.prefixlen,
        "index": index,
        "flags": IFA_F_NODAD if address.version == 6 else 0,
    }


def _address_attributes(address: Interface) -> tuple[tuple[str, Any], ...]:
    ip = str(address.ip)
    local: tuple[tuple[str, Any], ...] = (("IFA_LOCAL", ip), ("IFA_ADDRESS", ip))
    if address.version == 4 and address.network.prefixlen < 31:
        return (*local, ("IFA_BROADCAST", str(address.network.broadcast_address)))
    return local


def list_addresses(index: int = 0) -> Request:
    return Request(
        RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, ifaddrmsg, {"index": index}, what="list addresses"
    )


# -- routes and neighbours ----------------------------------------------------------------------


@lru_cache(maxsize=64)
def add_route(
    destination: Network,
    *,
    index: int,
    gateway: Address | None = None,
    mtu: int = 0,
    advmss: int = 0,
    priority: int = 0,
    table: int = 0,
    scope: int | None = None,
) -> Request:
    """Replaces an equal route. Without a gateway the destination is on the link."""
    attributes: list[tuple[str, Any]] = [("RTA_OIF", index)]
    if destination.prefixlen:
        attributes.append(("RTA_DST", str(destination.network_address)))
    if gateway is not None:
        attributes.append(("RTA_GATEWAY", str(gateway)))
    if priority:
        attributes.append(("RTA_PRIORITY", priority))
    if table > 255:
        attributes.append(("RTA_TABLE", table))
    metrics = [("RTAX_MTU", mtu)] if mtu else []
    metrics += [("RTAX_ADVMSS", advmss)] if advmss else []
    if metrics:
        attributes.append(("RTA_METRICS", {"attrs": metrics}))
    if scope is None:
        scope = RT_SCOPE_LINK if gateway is None and destination.version == 4 else 0
    return Request(
        RTM_NEWROUTE,
        NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
        rtmsg,
        {
            "family": family(destination),
            "dst_len": destination.prefixlen,
            "table": (table if table < 256 else 0) or RT_TABLE_MAIN,
            "proto": RTPROT_STATIC,
            "scope": scope,
            "type": RTN_UNICAST,
        },
        tuple(attributes),
        what=f"add route to {destination}",
    )


def delete_route(
    destination: Network, *, index: int = 0, gateway: Address | None = None
) -> Request:
    attributes: list[tuple[str, Any]] = []
    if index:
        attributes.append(("RTA_OIF", index))
    if destination.prefixlen:
        attributes.append(("RTA_DST", str(destination.network_address)))
    if gateway is not None:
        attributes.append(("RTA_GATEWAY", str(gateway)))
    return Request(
        RTM_DELROUTE,
        NLM_F_REQUEST | NLM_F_ACK,
        rtmsg,
        {
            "family": family(destination),
            "dst_len": destination.prefixlen,
            "table": RT_TABLE_MAIN,
            "scope": 255,
        },
        tuple(attributes),
        forgives=frozenset({errno.ESRCH}),
        what=f"delete route to {destination}",
    )


def list_routes(version: int, *, table: int = RT_TABLE_MAIN) -> Request:
    return Request(
        RTM_GETROUTE,
        NLM_F_REQUEST | NLM_F_DUMP,
        rtmsg,
        {"family": socket.AF_INET if version == 4 else socket.AF_INET6, "table": table},
        what="list routes",
    )


def route_to(address: Address) -> Request:
    """Which route, interface and source address a packet to `address` would take."""
    return Request(
        RTM_GETROUTE,
        NLM_F_REQUEST,
        rtmsg,
        {"family": family(address), "dst_len": address.max_prefixlen},
        (("RTA_DST", str(address)),),
        what=f"look up the route to {address}",
    )


def delete_neighbour(index: int, address: Address) -> Request:
    return Request(
        RTM_DELNEIGH,
        NLM_F_REQUEST | NLM_F_ACK,
        ndmsg,
        {"family": family(address), "ifindex": index},
        (("NDA_DST", str(address)),),
        forgives=frozenset({errno.ENOENT}),
        what=f"forget the neighbour {address}",
    )


def family(value: Interface | Network | Address) -> int:
    return socket.AF_INET if value.version == 4 else socket.AF_INET6


def encode_all(requests: Iterable[Request], first_sequence: int) -> list[bytes]:
    return [r.encode(first_sequence + n) for n, r in enumerate(requests)]
