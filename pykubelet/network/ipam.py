"""Which address a pod gets. Pure: what is taken, and where the search begins, come in as arguments.

The configuration's shape and its words (`ranges`, `rangeStart`, `gateway`) are those of CNI's
host-local plugin, so that people's files carry over: a list of range sets, each of which gives a
pod one address from the first of its ranges that has one left. Addresses are handed out in turn,
not lowest first, so that a freed one rests before it is used again. `leases` remembers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.network.messages import Address, Interface, Network


class Exhausted(Exception):
    """No range of a set has a free address."""

    def __init__(self, range_set: RangeSet) -> None:
        self.range_set = range_set
        names = ", ".join(str(r.subnet) for r in range_set)
        super().__init__(f"no free address in {names}")


@dataclass(frozen=True)
class Range:
    """Both ends inclusive. The gateway is never handed out."""

    subnet: Network
    start: Address
    end: Address
    gateway: Address

    def __contains__(self, address: object) -> bool:
        return (
            isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address)
            and address.version == self.subnet.version
            and int(self.start) <= int(address) <= int(self.end)
        )

    @property
    def size(self) -> int:
        """How many addresses it can hand out."""
        inside = self.gateway in self
        return int(self.end) - int(self.start) + 1 - inside

    def interface(self, address: Address) -> Interface:
        return ipaddress.ip_interface(f"{address}/{self.subnet.prefixlen}")


RangeSet = tuple[Range, ...]


@dataclass(frozen=True)
class Allocation:
    """`address` with its subnet's prefix length, and the gateway of its range."""

    address: Interface
    gateway: Address


# -- reading the configuration ------------------------------------------------------------------


def parse_range_sets(ipam: dict[str, Any], where: str = "ipam") -> tuple[RangeSet, ...]:
    """From `ranges` (list of lists of `{subnet, rangeStart?, rangeEnd?, gateway?}`), or from a
    single range written straight into `ipam`. Raises Invalid."""
    sets: list[RangeSet] = []
    if ipam.get("subnet"):
        sets.append((parse_range(ipam, where),))
    ranges = ipam.get("ranges") or []
    if not isinstance(ranges, list):
        raise Invalid("not a list of range sets", where=f"{where}.ranges", found=repr(ranges))
    for i, members in enumerate(ranges):
        here = f"{where}.ranges[{i}]"
        if not isinstance(members, list) or not members:
            raise Invalid("not a list of ranges", where=here, found=repr(members))
        parsed = tuple(parse_range(m, f"{here}[{k}]") for k, m in enumerate(members))
        if len({r.subnet.version for r in parsed}) > 1:
            raise Invalid(
                "IPv4 and IPv6 in one range set", where=here, remedy="give each family its own set"
            )
        sets.append(parsed)
    if not sets:
        raise Invalid("no address range", where=where, expected="`ranges` or `subnet`")
    _refuse_overlaps([r for members in sets for r in members], where)
    return tuple(sets)


def parse_range(raw: Any, where: str) -> Range:
    if not isinstance(raw, dict):
        raise Invalid("not a range", where=where, expected="an object", found=repr(raw))
    try:
        subnet = ipaddress.ip_network(str(raw.get("subnet", "")), strict=True)
    except ValueError as error:
        raise Invalid(str(error), where=f"{where}.subnet") from None
    if subnet.max_prefixlen - subnet.prefixlen < 2:
        raise Invalid(
            "too small to hold a gateway and a pod",
            where=f"{where}.subnet",
            expected=f"at most /{subnet.max_prefixlen - 2}",
            found=str(subnet),
        )
    first = subnet.network_address + 1
    last = subnet.broadcast_address - (1 if subnet.version == 4 else 0)
    start = _inside(raw, "rangeStart", subnet, first, where)
    end = _inside(raw, "rangeEnd", subnet, last, where)
    gateway = _inside(raw, "gateway", subnet, first, where)
    if int(start) > int(end):
        raise Invalid("ends before it starts", where=where, found=f"{start} to {end}")
    return Range(subnet, max(start, first, key=int), min(end, last, key=int), gateway)


def _inside(
    raw: dict[str, Any], field: str, subnet: Network, default: Address, where: str
) -> Address:
    text = raw.get(field)
    if not text:
        return default
    try:
        address = ipaddress.ip_address(str(text))
    except ValueError as error:
        raise Invalid(str(error), where=f"{where}.{field}") from None
    if address not in subnet:
        raise Invalid("outside of the subnet", where=f"{where}.{field}",
                      expected=f"an address of {subnet}", found=str(text))  # fmt: skip
    return address


def _refuse_overlaps(ranges: Sequence[Range], where: str) -> None:
    for i, one in enumerate(ranges):
        for other in ranges[i + 1 :]:
            if one.start in other or other.start in one:
                raise Invalid("ranges overlap", where=where, found=f"{one.subnet}, {other.subnet}")


# -- choosing -----------------------------------------------------------------------------------


def allocate(
    range_sets: Sequence[RangeSet],
    taken: Collection[Address],
    *,
    after: Collection[Address] = (),
    wanted: Collection[Address] = (),
) -> tuple[Allocation, ...]:
    """One address per range set. `after`: the addresses handed out last, the search goes on behind
    them. `wanted`: addresses that must be the ones. Raises Exhausted, or Invalid where a wanted
    address is taken, reserved or of no range."""
    chosen = []
    left = set(wanted)
    for members in range_sets:
        mine = [a for a in left if any(a in r for r in members)]
        if mine:
            left.discard(mine[0])
            chosen.append(_exactly(mine[0], members, taken))
        else:
            chosen.append(_next_free(members, taken, after))
    if left:
        names = ", ".join(map(str, sorted(left, key=str)))
        raise Invalid("requested address is of no range", where="ips", found=names)
    return tuple(chosen)


def _exactly(address: Address, members: RangeSet, taken: Collection[Address]) -> Allocation:
    member = next(r for r in members if address in r)
    if address == member.gateway:
        raise Invalid("requested address is the gateway's", where="ips", found=str(address))
    if address in taken:
        raise Invalid("requested address is in use", where="ips", found=str(address))
    return Allocation(member.interface(address), member.gateway)


def _next_free(
    members: RangeSet, taken: Collection[Address], after: Collection[Address]
) -> Allocation:
    """Looks first behind the address handed out last, in its own range, then everywhere from the
    start. Only taken addresses are walked over, never a whole IPv6 subnet."""
    numbers = {(a.version, int(a)) for a in taken}
    last = next((a for a in after if any(a in r for r in members)), None)
    order: list[tuple[Range, int, int]] = [(r, int(r.start), int(r.end)) for r in members]
    if last is not None:
        i = next(n for n, r in enumerate(members) if last in r)
        begin = (members[i], int(last) + 1, int(members[i].end))
        rest = (members[i], int(members[i].start), int(last))
        order = [begin, *order[i + 1 :], *order[:i], rest]
    for member, start, end in order:
        version, gateway = member.subnet.version, int(member.gateway)
        number = start
        while number <= end and (number == gateway or (version, number) in numbers):
            number += 1
        if number <= end:
            address = type(member.start)(number)
            return Allocation(member.interface(address), member.gateway)
    raise Exhausted(members)
