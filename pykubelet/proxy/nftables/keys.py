"""Names and expressions of the nftables table, written down once for all its parts.

Everything about a service lives in maps that all services share. Where a packet goes is found by
`destination address . protocol . port`; for a node port, which is open at many addresses, by
`protocol . port` in maps of its own. Names end in the family, 4 or 6, and those of node ports begin
with `node-`. Maps whose values are endpoints are one for each protocol: nft 1.0 can only declare a
map with ports among its values by an expression such as `tcp dport`, and holds every rule that uses
the map to that protocol.
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
#: Endpoints by frontend and slot, for each protocol: all; those of this node for a Local policy.
SLOTS = ("endpoints", "local")
#: Where clients were led to, by client and frontend: the address and the port of the endpoint.
REMEMBERED = ("affinity", "affinity-port")


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

    def of_protocol(self, protocol: str) -> str:
        """The same where the protocol is known."""
        port = f"{protocol} dport"
        return port if self.node else f"{self.ip} daddr . {port}"

    @property
    def original(self) -> str:
        """The same of a packet that is translated already. Only after a match of the protocol does
        nft know what kind of number `proto-dst` is."""
        ports = "meta l4proto . ct original proto-dst"
        return ports if self.node else f"ct original {self.ip} daddr . {ports}"

    def client(self, *, translated: bool) -> str:
        """A client of a frontend, of a packet on its way in or translated already."""
        port = "ct original proto-dst" if translated else "th dport"
        address = f"ct original {self.ip} daddr" if translated else f"{self.ip} daddr"
        if self.family == 4:
            parts = ["ip saddr", address, port]
        else:
            parts = [_hash("ip6 saddr", 1), f"{_hash(address, 1)} . {_hash(address, 2)}", port]
        return " . ".join(parts[::2] if self.node else parts)

    def client_sample(self, protocol: str) -> str:
        """An expression of the same types, to declare a map by."""
        number = "numgen random mod 2"
        address = "ip daddr" if self.family == 4 else f"{number} . {number}"
        parts = ["ip saddr" if self.family == 4 else number, address, f"{protocol} dport"]
        return " . ".join(parts[::2] if self.node else parts)

    @property
    def type(self) -> str:
        ports = "inet_proto . inet_service"
        return ports if self.node else f"{self.address_type} . {ports}"

    def name(self, what: str) -> str:
        return f"node-{what}{self.family}" if self.node else f"{what}{self.family}"

    def endpoints(self, what: str, protocol: str) -> str:
        """Name of a map to endpoints."""
        return self.name(f"{what}-{protocol}")


ALL = tuple(Keyed(family, node) for family in FAMILIES for node in (False, True))


def _hash(expression: str, seed: int) -> str:
    """32 bits in place of an IPv6 address: nft 1.0 has registers for no more than 16 bytes of key
    in a rule that remembers something. Two clients of one hash share an endpoint, which is no harm;
    a service's address is hashed twice, so that no two are ever taken for each other."""
    return f"jhash {expression} mod 4294967295 seed {seed:#x}"


def of(frontend: Frontend) -> Keyed:
    return Keyed(frontend.family, not frontend.ip)


def key(frontend: Frontend) -> str:
    if frontend.ip:
        return f"{frontend.ip} . {frontend.protocol} . {frontend.port}"
    return f"{frontend.protocol} . {frontend.port}"


def key_of_protocol(frontend: Frontend) -> str:
    return f"{frontend.ip} . {frontend.port}" if frontend.ip else str(frontend.port)
