"""A pod's link: a veth pair from the bridge into the pod's namespace, and what is set up in there.

Two netlink datagrams make it: one on the node (the pair, its peer born inside the pod's namespace,
the bridge port), one inside the pod (up, addresses, routes). Taking it away is one message: either
end of a pair takes the other with it. `operations` decides, `messages` words the requests.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any

from pykubelet.errors import Failed
from pykubelet.network import messages
from pykubelet.network.config import NetworkConfig, Route
from pykubelet.network.footprint import read_sysctl, write_sysctl
from pykubelet.network.leases import Lease
from pykubelet.network.messages import Address
from pykubelet.network.namespaces import entered
from pykubelet.network.netlink import NetlinkError, RouteSocket

_LOOK_SECONDS = 0.0005  # between two looks whether a link is gone; it takes one or two
HOST_PREFIX = "pk"  # of the node's end of each pair, before twelve hexadecimal digits


def host_name(network: str, container: str, interface: str) -> str:
    """The node's end of an attachment's pair: the same for every retry of the same attachment."""
    text = f"{network}:{container}:{interface}".encode()
    return HOST_PREFIX + hashlib.sha256(text).hexdigest()[:12]


def pod_mac(address: Address) -> str:
    """Follows from the address, so that a neighbour's entry for it stays right when another pod
    gets the address. (Set by us at all, because udev renames and re-addresses what has none.)"""
    return _mac(address.packed[-4:])


def host_mac(name: str) -> str:
    return _mac(hashlib.sha256(name.encode()).digest()[:4], prefix="0e:58")


def _mac(tail: bytes, prefix: str = "0a:58") -> str:
    return f"{prefix}:" + ":".join(f"{byte:02x}" for byte in tail)


def attach(lease: Lease, config: NetworkConfig, namespace: int, master: int, mtu: int) -> None:
    """Make the pair and set up the pod's end. `namespace` is a descriptor, `master` the bridge's
    index. What an earlier attempt left of this pair is removed first."""
    name = lease.host_interface
    make = (
        messages.create_veth(
            name,
            lease.interface,
            peer_namespace=namespace,
            mtu=mtu,
            host_mac=host_mac(name),
            peer_mac=pod_mac(lease.ips[0].ip),
            master=master,
        ),
        messages.set_port(name, hairpin=config.hairpin),
    )
    with RouteSocket() as route:
        if exists(name):
            route.send(messages.delete_link(name))
        route.send(*make)
    with entered(namespace):
        _set_up_inside(lease, routes_of(lease, config))


def detach(name: str) -> None:
    """Remove the pair by its node end. Fine where it is gone. Raises NetlinkError.

    The kernel takes the pair out of sight at once, and then waits 10 to 20 ms for every processor
    to have forgotten it before it frees the memory and answers. Nobody else has to wait for that,
    so a thread does.
    """
    if not exists(name):
        return
    refused: list[NetlinkError] = []
    answered = threading.Event()

    def delete() -> None:
        try:
            with RouteSocket() as route:
                route.send(messages.delete_link(name))
        except NetlinkError as error:
            refused.append(error)
        finally:
            answered.set()

    threading.Thread(target=delete, name="cni-detach", daemon=True).start()
    while not answered.wait(_LOOK_SECONDS) and exists(name):
        pass
    if refused:
        raise refused[0]


def exists(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def routes_of(lease: Lease, config: NetworkConfig) -> tuple[Route, ...]:
    """The configured routes, then a default route per family through the range's gateway unless
    there is one. Gateways are filled in."""
    gateways = [ip_address(g) for g in lease.gateways]
    families = {address.version for address in lease.ips}
    routes = []
    for route in config.routes:
        if route.destination.version not in families:
            continue  # so that one list of routes serves single-stack and dual-stack ranges
        gateway = route.gateway
        if gateway is None and route.scope != messages.RT_SCOPE_LINK:
            gateway = next(g for g in gateways if g.version == route.destination.version)
        routes.append(replace(route, gateway=gateway))
    if config.default_gateway:
        for gateway in gateways:
            default = ip_network("0.0.0.0/0" if gateway.version == 4 else "::/0")
            if not any(r.destination == default and not r.table for r in routes):
                routes.append(Route(default, gateway))
    return tuple(routes)


def _set_up_inside(lease: Lease, routes: Sequence[Route]) -> None:
    has_v6 = any(a.version == 6 for a in lease.ips)
    if has_v6:
        _allow_ipv6(lease.interface)
    index = socket.if_nametoindex(lease.interface)
    requests = [messages.set_link(lease.interface)]
    requests += [messages.add_address(index, address) for address in lease.ips]
    requests += [
        messages.add_route(
            r.destination,
            index=index,
            gateway=r.gateway,
            mtu=r.mtu,
            advmss=r.advmss,
            priority=r.priority,
            table=r.table,
            scope=r.scope,
        )
        for r in routes
    ]
    with RouteSocket() as route:
        route.send(*requests)
    for address in lease.ips[1:] if has_v6 else ():
        if address.version == 6:
            _announce(index, address.ip, pod_mac(lease.ips[0].ip))


def _allow_ipv6(interface: str) -> None:
    """Runtimes may start a namespace with IPv6 off, and addresses are refused there."""
    name = f"ipv6/conf/{interface}/disable_ipv6"
    try:
        if read_sysctl(name) != "0":
            write_sysctl(name, "0")
    except OSError as error:
        raise Failed(f"can't enable IPv6 in the pod: {error}") from error


def _announce(index: int, address: Address, mac: str) -> None:
    """Tell the neighbours whose IPv6 address this is now, by an unsolicited advertisement (RFC
    4861, 7.2.6): in a dual-stack pod the MAC follows from the IPv4 address only. Best effort: they
    find out by themselves after some seconds."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            raw.bind((str(address), 0))
            override = 0x20000000
            option = b"\x02\x01" + bytes.fromhex(mac.replace(":", ""))
            packet = struct.pack("!BBHI", 136, 0, 0, override) + address.packed + option
            raw.sendto(packet, ("ff02::1", 0, 0, index))
    except OSError:
        return


# -- looking ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """A link as it is. `master` 0: none."""

    name: str
    index: int
    mac: str
    mtu: int
    master: int
    up: bool
    kind: str


def find(name: str) -> Seen | None:
    """The link of that name in the calling thread's namespace."""
    with RouteSocket() as route:
        try:
            return _seen(route.ask(messages.get_link(name))[0])
        except NetlinkError:
            return None


def ports_of(bridge: str) -> list[str]:
    """Names of the links on that bridge."""
    try:
        index = socket.if_nametoindex(bridge)
    except OSError:
        return []
    with RouteSocket() as route:
        links = [_seen(link) for link in route.ask(messages.list_links(master=index))]
    return [link.name for link in links if link.master == index]


def _seen(link: Any) -> Seen:
    info = link.get_attr("IFLA_LINKINFO")
    return Seen(
        name=link.get_attr("IFLA_IFNAME"),
        index=link["index"],
        mac=link.get_attr("IFLA_ADDRESS") or "",
        mtu=link.get_attr("IFLA_MTU") or 0,
        master=link.get_attr("IFLA_MASTER") or 0,
        up=bool(link["flags"] & messages.IFF_UP),
        kind=(info.get_attr("IFLA_INFO_KIND") if info else "") or "",
    )


def addresses_of(index: int) -> set[str]:
    """`ip/prefix` of the link with that index."""
    with RouteSocket() as route:
        found = route.ask(messages.list_addresses(index))
    return {
        f"{a.get_attr('IFA_LOCAL') or a.get_attr('IFA_ADDRESS')}/{a['prefixlen']}"
        for a in found
        if a["index"] == index
    }


def destinations_of(index: int) -> set[str]:
    """Destinations of the main table's routes through the link with that index."""
    found = set()
    with RouteSocket() as route:
        for version, default in ((4, "0.0.0.0"), (6, "::")):
            for entry in route.ask(messages.list_routes(version)):
                if entry.get_attr("RTA_OIF") == index:
                    found.add(f"{entry.get_attr('RTA_DST') or default}/{entry['dst_len']}")
    return found


def raise_loopback(namespace: int) -> None:
    """Bring `lo` up inside; the kernel gives it its addresses."""
    with entered(namespace), RouteSocket() as route:
        route.send(messages.set_link("lo"))
