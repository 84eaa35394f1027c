"""Answers kept for as long as they may be, and no more of them than fit. Pure but for its dict.

Keyed by a query's bytes after the ID, so that a hit costs no parsing at all: the stored answer with
the new ID in front. What is ours changes with the zone's serial, what was forwarded with time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: bytes
    until: float
    serial: int


class Cache:
    """`size` entries at most; the ones not asked for longest go first."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._kept: OrderedDict[tuple[bytes, bool], _Kept] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get(self, query: bytes, tcp: bool, serial: int, now: float) -> bytes | None:
        key = (query[2:], tcp)
        kept = self._kept.get(key)
        if kept is None or now >= kept.until or kept.serial not in (serial, FOREIGN):
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return query[:2] + kept.answer[2:]

    def put(self, query: bytes, tcp: bool, answer: bytes, until: float, serial: int) -> None:
        """`serial` FOREIGN: not of our zone."""
        if len(query) > 512:
            return
        self._kept[query[2:], tcp] = _Kept(answer, until, serial)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)


FOREIGN = -1
