"""What the API server asks of a store: etcd's semantics, in a dozen methods.

Keys are paths (`/registry/pods/default/web`), values are bytes that the store doesn't look into.
There is one revision for the whole store; every write that succeeds gets the next one, and a
record's `revision` is that of its last write. A write that expects another revision than the one
there is refused, and told what is there. Old states can be read, and events replayed, back to the
last compaction.

`sqlite` is the embedded engine, `etcd` the one for several API servers. Above this, only the
API server's cache reads and writes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pykubelet.errors import Failed


@dataclass(frozen=True, slots=True)
class Record:
    """A key's state at some revision. `created` is the revision that created it, 0 where the
    engine doesn't tell it."""

    key: str
    value: bytes
    revision: int
    created: int


@dataclass(frozen=True, slots=True)
class Event:
    """What one write did: `record` is the new state or, where `deleted`, the last one, with the
    revision of the deletion in `revision`."""

    record: Record
    revision: int
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that a watch hands over at once, in order; with them the watch has told everything
    up to `revision`. It may hold none, and only say how far it has come."""

    events: Sequence[Event]
    revision: int


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, in the order of keys. `after` continues it, empty at the end; `remaining`
    counts what comes after. All as of `revision`."""

    records: Sequence[Record]
    revision: int
    after: str = ""
    remaining: int = 0


class Exists(Failed):
    """The key to be created is there already."""


class Conflict(Failed):
    """The record isn't at the revision that the write expected. `current` is None if it's gone."""

    def __init__(self, key: str, current: Record | None) -> None:
        super().__init__(f"{key} has changed" if current else f"{key} is gone")
        self.current = current


class Compacted(Failed):
    """That far back nothing is kept. `oldest` is the oldest revision that can still be read."""

    def __init__(self, wanted: int, oldest: int) -> None:
        super().__init__(f"revision {wanted} has been compacted; the oldest kept is {oldest}")
        self.oldest = oldest


class Store(Protocol):
    """Every method may raise Unavailable, with a remedy in its text where there is one."""

    async def create(self, key: str, value: bytes, ttl: float = 0) -> Record:
        """Write a new record; it disappears after `ttl` seconds unless that is 0. Exists."""

    async def update(self, key: str, value: bytes, expected: int, ttl: float = 0) -> Record:
        """Replace the record that is at revision `expected`. Conflict."""

    async def delete(self, key: str, expected: int) -> Event:
        """Remove the record that is at revision `expected`. Conflict."""

    async def get(self, key: str, at: int = 0) -> Record | None:
        """The record as of revision `at` (0: now). Compacted."""

    async def page(self, prefix: str, limit: int = 0, after: str = "", at: int = 0) -> Page:
        """Records whose key starts with `prefix`, those after the key `after` first. Compacted."""

    async def count(self, prefix: str) -> int:
        """How many records there are under `prefix` now."""

    def watch(self, prefix: str, after: int) -> AsyncIterator[Batch]:
        """Everything that happened under `prefix` after that revision, and what happens from now
        on, in batches, in order, without gaps. Raises Compacted when iterated too late."""

    async def revision(self) -> int:
        """The revision of the last write."""

    async def compact(self, revision: int) -> None:
        """Forget states that ended at or before `revision`. Writers don't wait for it."""

    async def close(self) -> None:
        """Finish what is under way and let go of everything."""
