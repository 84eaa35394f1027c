"""Masquerading as packet rules: pods leave the node under the node's address. Pure.

Spared are destinations that know the way back to a pod, or that are translated anyway: the pod
ranges of this node, and the networks that the configuration names (`clusterCIDRs`, the whole
cluster's pods; `serviceCIDRs`). Like `portmap`, one table or chain of our own, always written
whole.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from pykubelet.network.messages import Network

TABLE = "pykubelet-masquerade"
CHAIN = "PYKUBELET-MASQUERADE"
JUMPS = (("nat", "POSTROUTING", f"-j {CHAIN}"),)
CHAINS = {"nat": (CHAIN,)}
_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}


@dataclass(frozen=True)
class Masquerade:
    """Of one network: who is hidden, and towards whom not."""

    sources: tuple[Network, ...]
    spared: tuple[Network, ...] = ()

    def of(self, version: int) -> tuple[list[str], list[str]]:
        """(sources, spared destinations) of one family, nested ones merged."""
        sources = [n for n in self.sources if n.version == version]
        spared = [n for n in (*self.sources, *self.spared) if n.version == version]
        spared.append(ipaddress.ip_network(_MULTICAST[version]))
        return _merged(sources), _merged(spared)


def _merged(networks: Iterable[Network]) -> list[str]:
    return [str(n) for n in ipaddress.collapse_addresses(networks)]  # type: ignore[type-var]


def nft(wanted: Iterable[Masquerade]) -> str:
    """A whole transaction for `nft -f -`. With nothing to hide it only takes the table away."""
    lines = []
    for one in wanted:
        for version, family in ((4, "ip"), (6, "ip6")):
            sources, spared = one.of(version)
            if sources:
                match = f"{family} saddr {{ {', '.join(sources)} }}"
                match += f" {family} daddr != {{ {', '.join(spared)} }}"
                lines.append(f"    {match} masquerade fully-random\n")
    clear = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"
    if not lines:
        return clear
    return f"""{clear}table inet {TABLE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
{"".join(lines)}  }}
}}
"""


def iptables(wanted: Iterable[Masquerade], version: int) -> dict[str, list[str]]:
    """The content of our chain, as `-A` lines; {} where there is nothing to hide."""
    lines = []
    for one in wanted:
        sources, spared = one.of(version)
        for source in sources:
            lines += [f"-A {CHAIN} -s {source} -d {network} -j RETURN" for network in spared]
            lines.append(f"-A {CHAIN} -s {source} -j MASQUERADE --random-fully")
    return {"nat": lines} if lines else {}
