"""Clients that the kernel remembers, read back: to forget those of a vanished endpoint, and to keep
the others when the table is written anew. All but `remembered` and `forget` is pure.

Each client stands in two maps, one with the endpoint's address and one with its port, because nft
1.0 can't remember both in one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pykubelet.errors import Failed
from pykubelet.proxy.model import Endpoint, Frontend
from pykubelet.proxy.nftables.keys import (
    ALL,
    PROTOCOLS,
    REMEMBERED,
    TABLE,
    Keyed,
    key_of_protocol,
    of,
)
from pykubelet.proxy.programs import run

#: (family and kind of frontend, protocol)
Place = tuple[Keyed, str]


@dataclass(frozen=True, slots=True)
class Remembered:
    """`key` as nft writes it, client and frontend; `frontend` alone as `keys.key_of_protocol` does,
    "" where the key has only its hash. `timeout` and `expires`: seconds in all, and left."""

    place: Place
    key: str
    frontend: str
    endpoint: tuple[str, int]
    timeout: int
    expires: int


class Targets:
    """Endpoints by frontend, to look clients up in."""

    def __init__(self) -> None:
        self._found: dict[tuple[Place, str], set[tuple[str, int]]] = {}

    def add(self, frontend: Frontend, endpoints: Iterable[Endpoint | tuple[str, int]]) -> None:
        place = (of(frontend), frontend.protocol)
        those = {(endpoint[0], endpoint[1]) for endpoint in endpoints}
        for name in (key_of_protocol(frontend), ""):
            self._found.setdefault((place, name), set()).update(those)

    def __contains__(self, client: Remembered) -> bool:
        return client.endpoint in self._found.get((client.place, client.frontend), ())

    def __bool__(self) -> bool:
        return any(self._found.values())

    @property
    def places(self) -> set[Place]:
        return {place for place, _ in self._found}


def remembered(places: Iterable[Place] = ()) -> list[Remembered]:
    """Of these places, or of all; [] where there is no table."""
    found: list[Remembered] = []
    for place in places or [(keyed, protocol) for keyed in ALL for protocol in PROTOCOLS]:
        keyed, protocol = place
        try:
            ips, ports = (
                json.loads(
                    run(["nft", "-j", "-n", "list", "map", "inet", TABLE,
                         keyed.endpoints(what, protocol)])
                )
                for what in REMEMBERED
            )  # fmt: skip
        except Failed:
            continue
        found += joined(place, ips, ports)
    return found


def joined(place: Place, ips: dict[str, Any], ports: dict[str, Any]) -> Iterator[Remembered]:
    """What nft's JSON says of the two maps."""
    port_of = {" . ".join(key): int(value) for key, value, _, _ in _elements(ports)}
    for key, ip, timeout, expires in _elements(ips):
        text = " . ".join(key)
        if text in port_of:
            frontend = " . ".join(key[1:]) if place[0].node or place[0].family == 4 else ""
            yield Remembered(place, text, frontend, (ip, port_of[text]), timeout, expires)


def _elements(document: dict[str, Any]) -> Iterator[tuple[list[str], str, int, int]]:
    """(key, value, timeout, expires)"""
    for entry in document.get("nftables", ()):
        for key, value in (entry.get("map") or {}).get("elem") or ():
            element = key["elem"]
            parts = list(map(str, element["val"]["concat"]))
            yield parts, str(value), int(element.get("timeout", 0)), int(element.get("expires", 0))


def restoring(those: Iterable[Remembered]) -> str:
    """Lines that put them back, with the time that they had left."""
    return "".join(
        f"add element inet {TABLE} {one.place[0].endpoints(what, one.place[1])} "
        f"{{ {one.key} timeout {one.timeout}s expires {max(one.expires, 1)}s : {value} }}\n"
        for one in those
        if one.timeout
        for what, value in zip(REMEMBERED, one.endpoint, strict=True)
    )


def forget(those: Iterable[Remembered]) -> None:
    """One that has run out in the meantime is no error, and keeps none of the others alive."""
    for one in those:
        for what in REMEMBERED:
            name = one.place[0].endpoints(what, one.place[1])
            try:
                run(["nft", "delete", "element", "inet", TABLE, name, f"{{ {one.key} }}"])
            except Failed:
                continue
