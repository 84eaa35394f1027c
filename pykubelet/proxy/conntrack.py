"""Forgets connections that lead to endpoints which are gone.

The kernel translates a UDP flow as it did its first packet, for as long as the flow lives: a client
that goes on sending (a resolver with a fixed port, say) would be led to a vanished pod for ever,
past any new rule. TCP needs none of this: it notices, and connects anew. `Watched` and its
decisions are pure.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pykubelet.proxy import nfnetlink
from pykubelet.proxy.nfnetlink import attribute, attributes
from pykubelet.proxy.plan import Change

log = logging.getLogger(__name__)

_GET, _DELETE = 0x101, 0x102
_NEW = 0x100
_ORIGINAL, _REPLY, _ID, _ZONE = 1, 2, 12, 18
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_SOURCES, _DESTINATIONS = (1, 3), (2, 4)
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_NESTED = 0x8000
_UDP = 17
_BATCH = 64

Address = tuple[str, int]


class Flow(NamedTuple):
    """A connection as the client sees it (`source`, `destination`) and as it is translated: who
    answers (`answers`), and to whom (`to`)."""

    source: Address
    destination: Address
    answers: Address
    to: Address

    @property
    def translated(self) -> bool:
        return (self.answers, self.to) != (self.destination, self.source)


@dataclass(slots=True)
class Watched:
    """UDP frontends (`ip` "" is any address) whose flows are to be looked at, and the endpoints
    that these may lead to."""

    allowed: dict[Address, set[Address]] = field(default_factory=dict)

    def is_stale(self, flow: Flow) -> bool:
        """It leads to an endpoint that the service no longer has; or it has been led nowhere, since
        there was no endpoint when it began, and now there is one."""
        _, port = flow.destination
        endpoints = self.allowed.get(flow.destination)
        if endpoints is None:
            endpoints = self.allowed.get(("", port))
            if endpoints is None:
                return False
        if flow.translated:
            # Masqueraded only: it never was for a service.
            led = flow.answers != flow.destination
            return led and flow.answers not in endpoints
        return bool(endpoints)


def watched(changes: Iterable[Change]) -> Watched:
    """The frontends of UDP ports that have lost an endpoint, or got their first."""
    found = Watched()
    for change in changes:
        now = {p.internal: p for p in change.new if p.protocol == "udp"}
        for old in change.old:
            if old.protocol != "udp":
                continue
            new = now.pop(old.internal, None)
            before = {(e.ip, e.port) for e in old.reachable()}
            after = {(e.ip, e.port) for e in new.reachable()} if new else set()
            if before - after or (after and not before):
                for frontend in {*old.frontends(), *(new.frontends() if new else ())}:
                    found.allowed[frontend.ip, frontend.port] = after
        for port in now.values():
            for frontend in port.frontends():
                endpoints = {(e.ip, e.port) for e in port.reachable()}
                found.allowed[frontend.ip, frontend.port] = endpoints
    return found


def forget(changes: Sequence[Change]) -> int:
    """Delete the stale flows; how many there were. Raises Failed."""
    wanted = watched(changes)
    if not wanted.allowed:
        return 0
    found = []
    for kind, body in nfnetlink.ask(_GET, nfnetlink.ANY, dump=True):
        if kind != _NEW:
            continue
        parts = dict(attributes(body))
        flow = _flow(parts)
        if flow is not None and wanted.is_stale(flow):
            found.append((nfnetlink.IP6 if ":" in flow.source[0] else nfnetlink.IP, parts))
    _delete(found)
    return len(found)


def _delete(those: list[tuple[int, dict[int, memoryview]]]) -> None:
    """Each by its tuple and its number, so that a flow that has begun anew meanwhile is spared. One
    that is gone already is no error: no answer is asked for."""
    if not those:
        return
    texts = []
    for family, parts in those:
        asked = attribute(_NESTED | _ORIGINAL, parts[_ORIGINAL])
        for kind in (_ID, _ZONE):
            if kind in parts:
                asked += attribute(kind, parts[kind])
        texts.append(nfnetlink.message(_DELETE, family, asked))
    with nfnetlink.connect() as connection:
        for start in range(0, len(texts), _BATCH):
            connection.send(b"".join(texts[start : start + _BATCH]))


def _flow(parts: dict[int, memoryview]) -> Flow | None:
    original = _tuple(parts.get(_ORIGINAL))
    reply = _tuple(parts.get(_REPLY)) if original else None
    if original is None or reply is None:
        return None
    return Flow(original[0], original[1], reply[0], reply[1])


def _tuple(view: memoryview | None) -> tuple[Address, Address] | None:
    """(source, destination); None for what is not UDP."""
    parts = dict(attributes(view)) if view is not None else {}
    if _TUPLE_IP not in parts or _TUPLE_PROTOCOL not in parts:
        return None
    protocol = dict(attributes(parts[_TUPLE_PROTOCOL]))
    if protocol.get(_NUMBER, b"")[:1] != bytes([_UDP]):
        return None
    ips = dict(attributes(parts[_TUPLE_IP]))
    source = _ip(next(ips[n] for n in _SOURCES if n in ips))
    destination = _ip(next(ips[n] for n in _DESTINATIONS if n in ips))
    ports = (int.from_bytes(protocol[n], "big") for n in (_SOURCE_PORT, _DESTINATION_PORT))
    source_port, destination_port = ports
    return (source, source_port), (destination, destination_port)


def _ip(packed: memoryview) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
