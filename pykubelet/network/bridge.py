"""The bridge that pods hang on, and the node's settings that make it a router.

`ensure` is sent before every attachment instead of being checked: requests that are true already
cost the kernel nothing, and an address that somebody has flushed is back with the next pod.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Sequence

from pykubelet.errors import Failed
from pykubelet.network import addresses, ipam, links, messages
from pykubelet.network.config import NetworkConfig
from pykubelet.network.footprint import Footprint, read_sysctl, write_sysctl
from pykubelet.network.netlink import NetlinkError, RouteSocket

log = logging.getLogger(__name__)

_NETFILTER = "/proc/sys/net/bridge"
DEFAULT_MTU = 1500


def ensure(config: NetworkConfig, mtu: int, footprint: Footprint) -> int:
    """The bridge is there, up, has the gateway addresses, and the node forwards. Its index.
    Raises Failed."""
    gateways = [r.interface(r.gateway) for r in _gateway_ranges(config)]
    try:
        index = socket.if_nametoindex(config.bridge)
    except OSError:
        index = _create(config, mtu, footprint)
    requests = [messages.set_link(config.bridge, promiscuous=config.promiscuous)]
    requests += [messages.add_address(index, address) for address in gateways]
    try:
        with RouteSocket() as route:
            route.send(*requests)
    except NetlinkError as error:
        raise _explained(error, config.bridge) from error
    if config.gateway:
        _forward({g.version for g in gateways}, footprint)
    return index


def _gateway_ranges(config: NetworkConfig) -> list[ipam.Range]:
    """One range per gateway address."""
    if not config.gateway:
        return []
    ranges = [r for members in config.range_sets for r in members]
    return list({r.interface(r.gateway): r for r in ranges}.values())


def _create(config: NetworkConfig, mtu: int, footprint: Footprint) -> int:
    footprint.note_bridge(config.bridge)
    mac_source = config.range_sets[0][0].gateway
    with RouteSocket() as route:
        route.send(
            messages.create_bridge(
                config.bridge,
                mac=links.pod_mac(mac_source),
                mtu=mtu,
                netfilter=os.path.isdir(_NETFILTER),
            )
        )
    _quiet_ipv6(config.bridge, config)
    return socket.if_nametoindex(config.bridge)


def _quiet_ipv6(bridge: str, config: NetworkConfig) -> None:
    """Before it comes up. A pod must not hand the node a route by router advertisement. Nobody else
    has this MAC, and until the bridge's link-local address were through with the detection of
    duplicates no packet could be forwarded to a pod. And a range of IPv6 needs IPv6 on the bridge,
    whatever the default for new interfaces is."""
    base = f"ipv6/conf/{bridge}"
    try:
        write_sysctl(f"{base}/accept_ra", "0")
        write_sysctl(f"{base}/accept_dad", "0")
        if any(n.version == 6 for n in config.subnets):
            write_sysctl(f"{base}/disable_ipv6", "0")
    except OSError as error:
        if error.errno != errno.ENOENT:  # a kernel without IPv6
            raise Failed(f"can't set {base}: {error.strerror}") from error


def _forward(versions: set[int], footprint: Footprint) -> None:
    try:
        if 4 in versions:
            footprint.set_sysctl("ipv4/ip_forward", "1")
        if 6 in versions and read_sysctl("ipv6/conf/all/forwarding") != "1":
            _keep_router_advertisements(footprint)
            footprint.set_sysctl("ipv6/conf/all/forwarding", "1")
    except OSError as error:
        raise Failed(f"can't enable packet forwarding: {error}") from error


def _keep_router_advertisements(footprint: Footprint) -> None:
    """A forwarding node ignores router advertisements unless told otherwise (accept_ra 2), and one
    that got its own default route by them would drop off the network."""
    for entry in os.scandir("/proc/sys/net/ipv6/conf"):
        if entry.name not in ("all", "default", "lo"):
            name = f"ipv6/conf/{entry.name}/accept_ra"
            if read_sysctl(name) == "1" and read_sysctl(f"ipv6/conf/{entry.name}/autoconf") == "1":
                footprint.set_sysctl(name, "2")


def allow_localhost(bridge: str) -> None:
    """Let programs of the node reach pods by host ports of 127.0.0.1. (Goes with the bridge.)"""
    try:
        write_sysctl(f"ipv4/conf/{bridge}/route_localnet", "1")
    except OSError as error:
        raise Failed(f"can't set route_localnet on {bridge}: {error.strerror}") from error


def outward_mtu() -> int:
    """That of the interface which leads out of the node: a pod that sends larger packets than the
    node can is a pod whose large answers get lost."""
    outward = addresses.default_route_interface()
    link = links.find(outward) if outward else None
    return link.mtu if link and link.mtu else DEFAULT_MTU


def remove(bridge: str, prefix: str = links.HOST_PREFIX) -> None:
    """The bridge and the pairs of ours on it. A bridge with a stranger's port on it stays."""
    ports = links.ports_of(bridge)
    strangers = [p for p in ports if not p.startswith(prefix)]
    for port in ports:
        if port not in strangers:
            links.detach(port)
    if strangers:
        log.warning("bridge %s stays: it holds %s", bridge, ", ".join(strangers))
        return
    with RouteSocket() as route:
        try:
            route.send(messages.delete_link(bridge))
        except NetlinkError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise


def missing_addresses(index: int, config: NetworkConfig) -> Sequence[str]:
    """Gateway addresses that the bridge ought to have and has not."""
    wanted = [str(r.interface(r.gateway)) for r in _gateway_ranges(config)]
    present = links.addresses_of(index)
    return [address for address in wanted if address not in present]


def _explained(error: NetlinkError, bridge: str) -> Failed:
    if error.errno == errno.EOPNOTSUPP:
        return Failed(f"{bridge} can't serve as the bridge: {error}")
    return Failed(str(error))
