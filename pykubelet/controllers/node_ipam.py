"""Node IPAM: each node gets a range of pod addresses out of the cluster's, once and for good.

`options["cluster_cidrs"]` are the cluster's ranges (one a family), `options["node_mask"]` the
length of a node's, 24 for IPv4 and 64 for IPv6 where it is not given.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from pykubelet.client.resources import NODES
from pykubelet.controllers.base import Context, Controller

Json = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MASKS = {4: 24, 6: 64}


def free_range(cluster: Network, mask: int, taken: Iterable[Network]) -> Network | None:
    """The first range of this length that touches none of those taken, or None. Pure."""
    used = sorted(
        (n for n in taken if n.version == cluster.version), key=lambda n: int(n.network_address)
    )
    size = 1 << (cluster.max_prefixlen - mask)
    start = int(cluster.network_address)
    end = start + cluster.num_addresses
    for network in used:
        first, last = int(network.network_address), int(network.broadcast_address)
        if first < start + size and last >= start:
            start += (last - start) // size * size + size
    if start + size > end:
        return None
    kind = ipaddress.IPv4Network if cluster.version == 4 else ipaddress.IPv6Network
    return kind((start, mask))


class NodeIpamController(Controller):
    name = "node-ipam-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        ranges = context.options.get("cluster_cidrs") or ()
        self._clusters = [ipaddress.ip_network(cidr) for cidr in ranges]
        self._masks = _MASKS | dict(context.options.get("node_masks") or {})
        self._nodes = self.watch(NODES)
        self._given: dict[str, tuple[Network, ...]] = {}

    def turn(self, key: str) -> float | None:
        node = self._nodes.get(key)
        if node is None:
            self._given.pop(key, None)
            return None
        if (node.get("spec") or {}).get("podCIDR") or not self._clusters:
            return None
        ranges = self._given.get(key) or self._choose()
        if ranges is None:
            self.events.record(
                node, "Warning", "CIDRNotAvailable", f"Node {key} status is now: CIDRNotAvailable"
            )
            return 30.0
        self._given[key] = ranges
        cidrs = [str(r) for r in ranges]
        self.api.patch(NODES, key, {"spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}})
        return None

    def _choose(self) -> tuple[Network, ...] | None:
        taken: list[Network] = [r for ranges in self._given.values() for r in ranges]
        for node in self._nodes.all():
            spec = node.get("spec") or {}
            taken += [ipaddress.ip_network(c) for c in spec.get("podCIDRs") or ()]
        chosen = []
        for cluster in self._clusters:
            found = free_range(cluster, self._masks[cluster.version], taken)
            if found is None:
                return None
            chosen.append(found)
        return tuple(chosen)
