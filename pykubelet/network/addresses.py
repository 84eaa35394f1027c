"""Which addresses this node has, and which of them a peer sees: by the kernel's own routing.

A node's address is the one that its route to the others leaves by, not the first of the first
interface (in Vagrant that is 10.0.2.15 on every machine). Asked by netlink; no packet is sent.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from pykubelet.errors import Failed, NotFound
from pykubelet.network import messages
from pykubelet.network.messages import Address
from pykubelet.network.netlink import NetlinkError, RouteSocket

_RT_SCOPE_UNIVERSE = 0
_IFA_F_UNUSABLE = 0x08 | 0x20 | 0x40  # failed or unfinished detection of duplicates; deprecated


@dataclass(frozen=True)
class HostAddress:
    """`prefix` is the length of the network part."""

    interface: str
    ip: Address
    prefix: int


def default_route_interface(version: int = 0) -> str:
    """The interface of the default route with the lowest metric; "" where there is none. IPv4's
    before IPv6's unless `version` names one."""
    names = dict(socket.if_nameindex())
    with RouteSocket() as route:
        for family in (version,) if version else (4, 6):
            defaults = [
                (entry.get_attr("RTA_PRIORITY") or 0, _output(entry))
                for entry in route.ask(messages.list_routes(family))
                if entry["dst_len"] == 0 and entry["type"] == messages.RTN_UNICAST
            ]
            for _, index in sorted(defaults):
                if index in names:
                    return names[index]
    return ""


def _output(entry: Any) -> int:
    index = entry.get_attr("RTA_OIF")
    if index:
        return int(index)
    hops = entry.get_attr("RTA_MULTIPATH") or []
    return int(hops[0]["oif"]) if hops else 0


def address_for_route_to(host: str) -> Address:
    """The source address that a connection to `host` (an address or a name) would have. Raises
    NotFound for an unknown name, Failed where no route leads there."""
    with RouteSocket() as route:
        error: Exception | None = None
        for address in _resolve(host):
            try:
                answer = route.ask(messages.route_to(address))[0]
            except NetlinkError as refused:
                error = refused
                continue
            source = answer.get_attr("RTA_PREFSRC")
            if source:
                return ip_address(source)
    raise Failed(f"no route leads from this node to {host}" + (f": {error}" if error else ""))


def _resolve(host: str) -> list[Address]:
    try:
        return [ip_address(host)]
    except ValueError:
        pass  # a name
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotFound(f"can't resolve {host}: {error.strerror}") from error
    return list(dict.fromkeys(ip_address(str(info[4][0]).partition("%")[0]) for info in found))


def host_addresses() -> list[HostAddress]:
    """Usable addresses of global scope on interfaces that are up, loopback left out."""
    with RouteSocket() as route:
        links = {
            link["index"]: link.get_attr("IFLA_IFNAME")
            for link in route.ask(messages.list_links())
            if link["flags"] & messages.IFF_UP and not link["flags"] & 0x8
        }
        found = []
        for entry in route.ask(messages.list_addresses()):
            flags = entry.get_attr("IFA_FLAGS") or entry["flags"]
            if entry["scope"] != _RT_SCOPE_UNIVERSE or flags & _IFA_F_UNUSABLE:
                continue
            name = links.get(entry["index"])
            ip = entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS")
            if name and ip:
                found.append(HostAddress(name, ip_address(ip), entry["prefixlen"]))
    return found
