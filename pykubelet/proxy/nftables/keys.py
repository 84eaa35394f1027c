"""Names and expressions of the nftables table, written down once for all its parts.

Everything about a service lives in maps that all services share. A service is found by
`destination address . protocol . port`; a node port, which is open at many addresses, by
`protocol . port` in maps of its own. Names end in the family, 4 or 6, and those of node ports begin
with `node-`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pykubelet.proxy.model import Frontend

TABLE = "pykubelet-proxy"
FAMILIES = (4, 6)
PROTOCOLS = ("tcp", "udp", "sctp")

#: Verdict maps by frontend: where a packet goes; where one from this node's pods or the node itself
#: goes under a Local policy, and where all others do; who is turned away; whose clients are
#: remembered.
VERDICTS = ("services", "inside", "outside", "refused", "learning")
#: Endpoints by frontend and slot: all, and those of this node for a Local policy.
SLOTS = ("endpoints", "local")


@dataclass(frozen=True, slots=True)
class Keyed:
    """One family of addresses, and one kind of frontend in it."""

    family: int
    node: bool

    @property
    def ip(self) -> str:
        return "ip" if self.family == 4 else "ip6"

    @property
    def address_type(self) -> str:
        return f"ipv{self.family}_addr"

    @property
    def expression(self) -> str:
        """What of a packet is looked up."""
        ports = "meta l4proto . th dport"
        return ports if self.node else f"{self.ip} daddr . {ports}"

    @property
    def sample(self) -> str:
        """An expression of the same types, to declare a map by."""
        return self.expression.replace("th dport", "tcp dport")

    @property
    def original(self) -> str:
        """The same of a packet that is translated already. Only after a match of the protocol does
        nft know what kind of number `proto-dst` is."""
        ports = "meta l4proto . ct original proto-dst"
        return ports if self.node else f"ct original {self.ip} daddr . {ports}"

    @property
    def type(self) -> str:
        ports = "inet_proto . inet_service"
        return ports if self.node else f"{self.address_type} . {ports}"

    def name(self, what: str) -> str:
        return f"node-{what}{self.family}" if self.node else f"{what}{self.family}"


ALL = tuple(Keyed(family, node) for family in FAMILIES for node in (False, True))


def of(frontend: Frontend) -> Keyed:
    return Keyed(frontend.family, not frontend.ip)


def key(frontend: Frontend) -> str:
    if frontend.ip:
        return f"{frontend.ip} . {frontend.protocol} . {frontend.port}"
    return f"{frontend.protocol} . {frontend.port}"
