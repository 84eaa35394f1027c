"""Which endpoints a service port leads to: EndpointSlices in, chosen endpoints out. Pure.

A ready endpoint is taken; where none is ready, those that end but still serve are better than none
(KEP-1669). Topology narrows the choice to this node's or this zone's share, but only if every
endpoint says whose share it is and ours is not empty (KEP-2433, KEP-3015); it is ignored for
traffic under a Local policy, which takes what is on this node.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.proxy.model import Endpoint, NodeFacts

Json = Mapping[str, Any]
#: (port's name, protocol in lower case, family)
PortKey = tuple[str, str, int]

_FAMILIES = {"IPv4": 4, "IPv6": 6}
_SOCKET_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint as its slice tells of it, for this node."""

    ip: str
    port: int
    local: bool
    ready: bool
    serving: bool
    terminating: bool
    placed: bool
    nodes: frozenset[str]
    zones: frozenset[str]


@dataclass(frozen=True, slots=True)
class Choice:
    """`cluster` for traffic that may leave the node, `local` for traffic that must not; `served`
    whether there is a usable endpoint anywhere."""

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    served: bool = False


def canonical(ip: str, family: int) -> str:
    """The address as the kernel writes it; "" for what is no address of the family."""
    try:
        return socket.inet_ntop(
            _SOCKET_FAMILIES[family], socket.inet_pton(_SOCKET_FAMILIES[family], ip)
        )
    except OSError:
        return ""


def candidates(slices: Iterable[Json], node: NodeFacts) -> dict[PortKey, list[Candidate]]:
    """All endpoints of one service by port, each address and port once: where two slices tell of
    the same one, that which places it on this node is believed. Sorted by address."""
    found: dict[PortKey, dict[tuple[str, int], Candidate]] = {}
    for slice_ in slices:
        family = _FAMILIES.get(slice_.get("addressType", ""))
        if family is None:
            continue  # FQDN: nothing that a packet could be sent to
        for port in slice_.get("ports") or ():
            number = port.get("port")
            if not number:
                continue
            key = (port.get("name") or "", (port.get("protocol") or "TCP").lower(), family)
            those = found.setdefault(key, {})
            for endpoint in slice_.get("endpoints") or ():
                candidate = _candidate(endpoint, number, family, node)
                if candidate is None:
                    continue
                where = (candidate.ip, candidate.port)
                if candidate.local or where not in those:
                    those[where] = candidate
    return {key: [those[where] for where in sorted(those)] for key, those in found.items()}


def _candidate(endpoint: Json, port: int, family: int, node: NodeFacts) -> Candidate | None:
    addresses = endpoint.get("addresses") or ("",)
    ip = canonical(addresses[0], family)  # upstream: the addresses are fungible, the first is taken
    if not ip:
        return None
    conditions = endpoint.get("conditions") or {}
    hints = endpoint.get("hints") or {}
    where = endpoint.get("nodeName") or ""
    # What a condition leaves unsaid is to be taken as ready, serving and not terminating.
    return Candidate(
        ip,
        port,
        local=where == node.name,
        ready=conditions.get("ready") is not False,
        serving=conditions.get("serving") is not False,
        terminating=conditions.get("terminating") is True,
        placed=bool(where),
        nodes=_names(hints.get("forNodes")),
        zones=_names(hints.get("forZones")),
    )


_NOBODY: frozenset[str] = frozenset()


def _names(hints: Iterable[Json] | None) -> frozenset[str]:
    return frozenset(hint.get("name", "") for hint in hints) if hints else _NOBODY


def choose(
    those: Iterable[Candidate], node: NodeFacts, *, uses_cluster: bool, uses_local: bool
) -> Choice:
    """`uses_cluster`, `uses_local`: whether any traffic of the service port takes either choice."""
    all_ = list(those)
    cluster: list[Candidate] = []
    local: list[Candidate] = []
    if uses_cluster:
        wanted = _topology([c for c in all_ if c.ready], node)
        cluster = _ready_or_serving(all_, wanted)
    if uses_local:
        local = _ready_or_serving([c for c in all_ if c.local], _anywhere)
    served = bool(cluster or local) or any(c.ready or (c.serving and c.terminating) for c in all_)
    return Choice(_endpoints(cluster), _endpoints(local), served)


def _ready_or_serving(
    those: list[Candidate], wanted: Callable[[Candidate], bool]
) -> list[Candidate]:
    ready = [c for c in those if c.ready and wanted(c)]
    return ready or [c for c in those if c.serving and c.terminating]


def _endpoints(those: list[Candidate]) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(c.ip, c.port, c.local or not c.placed) for c in those)


def _topology(ready: list[Candidate], node: NodeFacts) -> Callable[[Candidate], bool]:
    if all(c.nodes for c in ready) and any(node.name in c.nodes for c in ready):
        return lambda c: node.name in c.nodes
    if all(c.zones for c in ready) and any(node.zone in c.zones for c in ready):
        return lambda c: node.zone in c.zones
    return _anywhere


def _anywhere(_: Candidate) -> bool:
    return True
