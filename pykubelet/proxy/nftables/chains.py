"""Chains that are made when the first service needs them. Pure.

How a packet is led to an endpoint depends on few things: who is masqueraded, whether the client is
remembered, and how many endpoints there are to choose among. Services that agree in these share a
chain, so there are as many chains as different endpoint counts, not as services.
"""

from __future__ import annotations

from dataclasses import dataclass

from pykubelet.proxy.model import LocalTraffic, Settings
from pykubelet.proxy.nftables.keys import Keyed

MASQUERADE = "jump mark-for-masquerade"


@dataclass(frozen=True, slots=True)
class Pick:
    """Leads to one of `count` endpoints at random. `who` is masqueraded: "all", "off-cluster"
    (whoever is no pod, where that can be told), or "none"."""

    keyed: Keyed
    who: str
    count: int
    sticky: bool = False
    slots: str = "endpoints"

    @property
    def name(self) -> str:
        words = ["pick" if self.slots == "endpoints" else f"pick-{self.slots}"]
        words += [self.who] if self.who != "none" else []
        words += ["sticky"] if self.sticky else []
        return self.keyed.name("-".join([*words, str(self.count)]) + "-ip")

    def rules(self, settings: Settings) -> list[str]:
        keyed = self.keyed
        found = []
        if self.who == "all" or (self.who == "off-cluster" and settings.masquerade_all):
            found.append(MASQUERADE)
        elif self.who == "off-cluster":
            match = elsewhere(settings.local_traffic, keyed.family)
            found += [f"{match} {MASQUERADE}"] if match else []
        if self.sticky:
            remembered = f"{keyed.ip} saddr . {keyed.expression} map @{keyed.name('affinity')}"
            found.append(f"dnat {keyed.ip} to {remembered}")
        # Always by the map, even where there is but one: the endpoint is then one element, too.
        choice = f"numgen random mod {self.count} map @{keyed.name(self.slots)}"
        found.append(f"dnat {keyed.ip} to {keyed.expression} . {choice}")
        return found


@dataclass(frozen=True, slots=True)
class Learn:
    """Remembers which endpoint a client was led to, for some seconds from its latest connection."""

    keyed: Keyed
    protocol: str
    seconds: int

    @property
    def name(self) -> str:
        return self.keyed.name(f"learn-{self.protocol}-{self.seconds}s-ip")

    def rules(self, _: Settings) -> list[str]:
        ip = self.keyed.ip
        client = f"{ip} saddr . {self.keyed.original} timeout {self.seconds}s"
        element = f"{client} : {ip} daddr . th dport"
        map_ = self.keyed.name("affinity")
        return [f"meta l4proto {self.protocol} update @{map_} {{ {element} }}"]


Shared = Pick | Learn


def text(chain: Shared, settings: Settings) -> str:
    """To stand within the table's braces."""
    rules = "".join(f"    {rule}\n" for rule in chain.rules(settings))
    return f"  chain {chain.name} {{\n{rules}  }}\n"


def ours(local: LocalTraffic, family: int) -> str:
    """Matches traffic of this node's pods; "" where it can't be told."""
    if local.interface:
        return f'iifname "{local.interface}"'
    if local.interface_prefix:
        return f'iifname "{local.interface_prefix}*"'
    ip = "ip" if family == 4 else "ip6"
    networks = local.of(family)
    return f"{ip} saddr {{ {', '.join(networks)} }}" if networks else ""


def elsewhere(local: LocalTraffic, family: int) -> str:
    """Matches all other traffic; "" where it can't be told."""
    if local.interface:
        return f'iifname != "{local.interface}"'
    if local.interface_prefix:
        return f'iifname != "{local.interface_prefix}*"'
    ip = "ip" if family == 4 else "ip6"
    networks = local.of(family)
    return f"{ip} saddr != {{ {', '.join(networks)} }}" if networks else ""
