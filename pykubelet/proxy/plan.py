"""All service ports of the node, and the difference that a change makes. Pure state, no I/O.

Three things are decided here that no single service can decide for itself. Two services may claim
one address (an external IP, say): the older one has it until it gives it up. An endpoint keeps its
slot for as long as it is there, so that one endpoint more or less is a change of one or two
elements in a map, however many there are. And what is unchanged is told to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pykubelet.proxy.model import Endpoint, Frontend, ServicePort

Ports = tuple[ServicePort, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """Of one service, by its key `namespace/name`: what was programmed, and what is to be."""

    key: str
    old: Ports
    new: Ports


class Plan:
    """`update` takes wanted ports of services in, and gives the changes that follow, which may
    reach services that were not named: whoever inherits an address."""

    def __init__(self) -> None:
        self._wanted: dict[str, Ports] = {}
        self._granted: dict[str, Ports] = {}
        self._owners: dict[Frontend, str] = {}
        self._contested: dict[Frontend, set[str]] = {}

    def __len__(self) -> int:
        return len(self._granted)

    @property
    def ports(self) -> Mapping[str, Ports]:
        """What is to be programmed now, by service."""
        return self._granted

    def update(self, wanted: Mapping[str, Ports]) -> list[Change]:
        """`()` for a service that is gone."""
        touched = dict.fromkeys(wanted)
        for key, new in wanted.items():
            old = self._wanted.pop(key, ())
            if new:
                self._wanted[key] = new
            before = {f for port in old for f in port.frontends()}
            after = {f for port in new for f in port.frontends()}
            same = before & after
            if old and new and old[0].created != new[0].created:
                same = set()  # another service under the old name: it goes to the end of the queue
            for frontend in before - same:
                touched.update(dict.fromkeys(self._release(frontend, key)))
            for frontend in after - same:
                touched.update(dict.fromkeys(self._claim(frontend, key)))
        return list(self._changes(touched))

    def _claim(self, frontend: Frontend, key: str) -> Iterable[str]:
        owner = self._owners.setdefault(frontend, key)
        if owner == key:
            return ()
        rivals = self._contested.setdefault(frontend, {owner})
        rivals.add(key)
        return self._settle(frontend, rivals)

    def _release(self, frontend: Frontend, key: str) -> Iterable[str]:
        rivals = self._contested.get(frontend)
        if rivals is None:
            if self._owners.get(frontend) == key:
                del self._owners[frontend]
            return ()
        rivals.discard(key)
        heirs = self._settle(frontend, rivals)
        if len(rivals) == 1:
            del self._contested[frontend]
        return heirs

    def _settle(self, frontend: Frontend, rivals: set[str]) -> Iterable[str]:
        """Those whose rules change by it."""
        before = self._owners[frontend]
        now = min(rivals, key=self._seniority)
        self._owners[frontend] = now
        if before == now:
            return ()
        return [key for key in (before, now) if key in self._wanted]

    def _seniority(self, key: str) -> tuple[str, str]:
        return (self._wanted[key][0].created, key)

    def _changes(self, keys: Iterable[str]) -> Iterator[Change]:
        for key in keys:
            old = self._granted.get(key, ())
            new = settle(old, self._grant(key))
            if old == new:
                continue
            if new:
                self._granted[key] = new
            else:
                self._granted.pop(key, None)
            yield Change(key, old, new)

    def _grant(self, key: str) -> Ports:
        wanted = self._wanted.get(key, ())
        if not self._contested:
            return wanted
        return tuple(
            port if all(self._owners[f] == key for f in port.frontends()) else self._less(port, key)
            for port in wanted
            if self._owners[port.internal] == key
        )

    def _less(self, port: ServicePort, key: str) -> ServicePort:
        def mine(ip: str, number: int) -> bool:
            return self._owners[Frontend(port.family, ip, port.protocol, number)] == key

        return replace(
            port,
            node_port=port.node_port if port.node_port and mine("", port.node_port) else 0,
            external_ips=tuple(ip for ip in port.external_ips if mine(ip, port.port)),
            balancer_ips=tuple(ip for ip in port.balancer_ips if mine(ip, port.port)),
        )


def settle(old: Ports, new: Ports) -> Ports:
    """`new` with its endpoints in the slots that they had in `old`."""
    if not old or old == new:
        return new
    before = {(p.port_name, p.protocol, p.family): p for p in old}
    made = []
    for port in new:
        known = before.get((port.port_name, port.protocol, port.family))
        if known is not None:
            endpoints = settled(known.endpoints, port.endpoints)
            local = settled(known.local, port.local)
            if (endpoints, local) != (port.endpoints, port.local):
                port = replace(port, endpoints=endpoints, local=local)
        made.append(port)
    return tuple(made)


def settled(old: Sequence[Endpoint], new: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The endpoints of `new`, those that stay in their old places as far as these exist; new ones
    and those from beyond the end fill the holes."""
    if not old:
        return tuple(new)
    wanted = {(e.ip, e.port): e for e in new}
    places: list[Endpoint | None] = [wanted.pop((e.ip, e.port), None) for e in old[: len(new)]]
    places += [None] * (len(new) - len(places))
    rest = iter(wanted.values())
    return tuple(place or next(rest) for place in places)
