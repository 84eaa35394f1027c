"""Clients that the kernel remembers, read back: to forget those of a vanished endpoint, and to keep
the others when the table is written anew. `parse` and `line` are pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pykubelet.errors import Failed
from pykubelet.proxy.nftables.keys import ALL, TABLE
from pykubelet.proxy.programs import run


@dataclass(frozen=True, slots=True)
class Remembered:
    """`frontend` and `endpoint` as nft writes them: `10.96.0.1 . tcp . 80`, `10.244.1.2 . 8080`."""

    map: str
    client: str
    frontend: str
    endpoint: str
    timeout: int
    expires: int

    @property
    def key(self) -> str:
        return f"{self.client} . {self.frontend}"


def remembered(maps: Iterable[str] = ()) -> list[Remembered]:
    """All of these maps, or of every one there is; [] where there is no table."""
    found = []
    for name in maps or [keyed.name("affinity") for keyed in ALL]:
        try:
            text = run(["nft", "-j", "-n", "list", "map", "inet", TABLE, name])
        except Failed:
            continue
        found += parse(name, json.loads(text))
    return found


def parse(name: str, document: dict[str, Any]) -> list[Remembered]:
    """What nft's JSON says of one map."""
    found = []
    for entry in document.get("nftables", ()):
        for key, value in (entry.get("map") or {}).get("elem") or ():
            element = key["elem"]
            client, *frontend = map(str, element["val"]["concat"])
            found.append(
                Remembered(
                    name,
                    client,
                    " . ".join(_named(frontend)),
                    " . ".join(map(str, value["concat"])),
                    int(element.get("timeout", 0)),
                    int(element.get("expires", 0)),
                )
            )
    return found


_PROTOCOLS = {"6": "tcp", "17": "udp", "132": "sctp"}


def _named(frontend: list[str]) -> list[str]:
    """The protocol, last but one, by its name."""
    frontend[-2] = _PROTOCOLS.get(frontend[-2], frontend[-2])
    return frontend


def restoring(those: Iterable[Remembered]) -> str:
    """Lines that put them back, with the time that they had left."""
    return "".join(
        f"add element inet {TABLE} {one.map} "
        f"{{ {one.key} timeout {one.timeout}s expires {max(one.expires, 1)}s : {one.endpoint} }}\n"
        for one in those
        if one.timeout
    )


def forget(those: Iterable[Remembered]) -> None:
    """One that has run out in the meantime is no error, and keeps none of the others alive."""
    for one in those:
        try:
            run(["nft", "delete", "element", "inet", TABLE, one.map, f"{{ {one.key} }}"])
        except Failed:
            continue
