"""What a Node object says that the rules depend on, and the settings that follow. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pykubelet.proxy.config.configuration import Configuration
from pykubelet.proxy.endpoints import canonical
from pykubelet.proxy.model import LocalTraffic, NodeFacts, Settings, family_of

Json = Mapping[str, Any]

ZONE_LABEL = "topology.kubernetes.io/zone"
#: The cluster autoscaler is about to remove a node with this taint.
DOOMED_TAINT = "ToBeDeletedByClusterAutoscaler"
PRIMARY = "primary"


def facts(name: str, node: Json | None) -> NodeFacts:
    """With `node` None, all that is known is the name."""
    if node is None:
        return NodeFacts(name)
    spec, status = node.get("spec") or {}, node.get("status") or {}
    addresses = (
        canonical(address["address"], family_of(address["address"]))
        for address in status.get("addresses") or ()
        if address.get("type") in ("InternalIP", "ExternalIP")
    )
    cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return NodeFacts(
        name,
        zone=(node["metadata"].get("labels") or {}).get(ZONE_LABEL, ""),
        addresses=tuple(dict.fromkeys(address for address in addresses if address)),
        pod_cidrs=tuple(cidrs),
    )


def is_eligible(node: Json | None) -> bool:
    """Whether a load balancer should still send here: not once the node is about to go."""
    if node is None:
        return True
    taints = (node.get("spec") or {}).get("taints") or ()
    doomed = any(taint.get("key") == DOOMED_TAINT for taint in taints)
    return not doomed and not node["metadata"].get("deletionTimestamp")


def settings(config: Configuration, node: NodeFacts) -> Settings:
    of_mode = config.nftables if config.mode == "nftables" else config.iptables
    return Settings(
        local_traffic=_local_traffic(config, node),
        masquerade_all=of_mode.masquerade_all,
        masquerade_bit=of_mode.masquerade_bit,
        node_port_networks=_node_port_networks(config, node),
        localhost_node_ports=config.iptables.localhost_node_ports and config.mode == "iptables",
    )


def with_mode(config: Configuration, mode: str) -> Configuration:
    """The configuration once it is known which backend the host has got."""
    return replace(config, mode=mode)


def _local_traffic(config: Configuration, node: NodeFacts) -> LocalTraffic:
    if config.detect_local_mode == "BridgeInterface":
        return LocalTraffic(interface=config.bridge_interface)
    if config.detect_local_mode == "InterfaceNamePrefix":
        return LocalTraffic(interface_prefix=config.interface_name_prefix)
    if config.detect_local_mode == "NodeCIDR":
        return LocalTraffic(networks=_networks(node.pod_cidrs))
    return LocalTraffic(networks=_networks(config.cluster_cidr))


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(text, strict=False)) for text in texts)


def _node_port_networks(config: Configuration, node: NodeFacts) -> tuple[str, ...]:
    """Until the node's addresses are known, "primary" is open nowhere."""
    if config.node_port_addresses != (PRIMARY,):
        return _networks(config.node_port_addresses)
    first = {family_of(address): address for address in reversed(node.addresses)}
    return _networks(tuple(first[family] for family in sorted(first))) or ("0.0.0.0/32", "::/128")
