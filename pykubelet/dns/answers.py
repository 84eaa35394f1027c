"""From a question to an answer: what the zone knows, aliases followed, negatives with a SOA. Pure.

Neighbours: `zone` knows the names, `wire` the bytes; `server` asks here first and forwards what is
not ours.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from pykubelet.dns.zone import Record, Zone

NOERROR, NXDOMAIN, REFUSED = "NOERROR", "NXDOMAIN", "REFUSED"


@dataclass(frozen=True, slots=True)
class Answer:
    """Records by section. `follow` is an outside name that the answer ends in: to be looked up."""

    rcode: str = NOERROR
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = field(default=())
    follow: str = ""


def answer(zone: Zone, name: str, kind: str) -> Answer | None:
    """For a lower-case name without its last dot; None where the question is not ours."""
    if kind == "PTR" and (address := _address(name)):
        found = zone.point(address)
        return Answer(answer=tuple(found)) if found else None
    if not zone.covers(name):
        return None
    records = zone.look_up(name, kind)
    if records is None:
        return Answer(NXDOMAIN, authority=(zone.soa(),))
    if not records:
        return Answer(authority=(zone.soa(),))
    alias = records[0]
    if alias.kind == "CNAME" and kind not in ("CNAME", "ANY"):
        return _through(zone, alias, kind)
    return Answer(answer=tuple(records), additional=_glue(zone, records))


def _through(zone: Zone, alias: Record, kind: str) -> Answer:
    target = alias.data.rstrip(".").lower()
    if not zone.covers(target):
        return Answer(answer=(alias,), follow=target)
    found = zone.look_up(target, kind) or []
    # An alias of an alias could lead in circles: one step inside the zone is enough.
    return Answer(answer=(alias, *(r for r in found if r.kind != "CNAME")))


def _glue(zone: Zone, records: list[Record]) -> tuple[Record, ...]:
    """The addresses of SRV targets, so that the client need not ask again."""
    found: dict[Record, None] = {}
    for record in records:
        if record.kind == "SRV":
            target = record.data.split()[-1].rstrip(".")
            for kind in ("A", "AAAA"):
                found |= dict.fromkeys(zone.look_up(target, kind) or ())
    return tuple(found)


def _address(reverse: str) -> str:
    """The address that an in-addr.arpa or ip6.arpa name stands for, or nothing."""
    try:
        if reverse.endswith(".in-addr.arpa"):
            parts = reverse.removesuffix(".in-addr.arpa").split(".")
            return str(ipaddress.IPv4Address(".".join(reversed(parts))))
        if reverse.endswith(".ip6.arpa"):
            digits = "".join(reversed(reverse.removesuffix(".ip6.arpa").split(".")))
            return str(ipaddress.IPv6Address(int(digits, 16))) if len(digits) == 32 else ""
    except ValueError:
        return ""
    return ""
