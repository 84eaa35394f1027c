"""Chains that are made when the first service needs them. Pure.

How a packet is led to an endpoint depends on few things: who is masqueraded, whether the client is
remembered, and how many endpoints there are to choose among. Services that agree in these share a
chain, so there are as many chains as different endpoint counts, not as services.
"""

from __future__ import annotations

from dataclasses import dataclass

from pykubelet.proxy.model import LocalTraffic, Settings
from pykubelet.proxy.nftables.keys import REMEMBERED, Keyed

MASQUERADE = "jump mark-for-masquerade"


@dataclass(frozen=True, slots=True)
class Pick:
    """Leads to one of `count` endpoints at random. `who` is masqueraded: "all", "off-cluster"
    (whoever is no pod, where that can be told), or "none"."""

    keyed: Keyed
    protocol: str
    who: str
    count: int
    sticky: bool = False
    slots: str = "endpoints"

    @property
    def name(self) -> str:
        words = ["pick" if self.slots == "endpoints" else f"pick-{self.slots}"]
        words += [self.who] if self.who != "none" else []
        words += ["sticky"] if self.sticky else []
        words.append(self.protocol)
        return self.keyed.name("-".join([*words, str(self.count)]) + "-ip")

    def rules(self, settings: Settings) -> list[str]:
        keyed = self.keyed
        found = []
        if self.who == "all" or (self.who == "off-cluster" and settings.masquerade_all):
            found.append(MASQUERADE)
        elif self.who == "off-cluster":
            match = elsewhere(settings.local_traffic, keyed.family)
            found += [f"{match} {MASQUERADE}"] if match else []
        key = keyed.of_protocol(self.protocol)
        if self.sticky:
            client = keyed.client(translated=False).replace("th dport", f"{self.protocol} dport")
            ip, port = (keyed.endpoints(what, self.protocol) for what in REMEMBERED)
            found.append(f"dnat {keyed.ip} to {client} map @{ip} : {client} map @{port}")
        endpoints = keyed.endpoints(self.slots, self.protocol)
        # A packet that is on its way through while the number of endpoints shrinks may ask for a
        # slot that is just gone. The first is there as long as there is any.
        for count in dict.fromkeys((self.count, 1)):
            choice = f"numgen random mod {count}"
            found.append(f"dnat {keyed.ip} to {key} . {choice} map @{endpoints}")
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
        client = f"{self.keyed.client(translated=True)} timeout {self.seconds}s"
        values = (f"{self.keyed.ip} daddr", f"{self.protocol} dport")
        return [
            f"meta l4proto {self.protocol} "
            f"update @{self.keyed.endpoints(what, self.protocol)} {{ {client} : {value} }}"
            for what, value in zip(REMEMBERED, values, strict=True)
        ]


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
