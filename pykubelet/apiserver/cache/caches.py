"""Keeps every collection in step with the store.

One task follows the store's events and hands each to its collection. A reader who must see a
certain revision waits here until it has arrived: a writer for its own write, and everybody, where
several servers share a store, for what the others have written.
"""

from __future__ import annotations

import asyncio
import heapq
import logging

import orjson

from pykubelet.apiserver.cache.collection import Collection
from pykubelet.apiserver.cache.items import FieldsOf, Item, encode, head_of, item
from pykubelet.apiserver.resources import conversions
from pykubelet.apiserver.resources.registry import Resource
from pykubelet.apiserver.storage.contract import Compacted, Event, Record, Store
from pykubelet.errors import Failed, TimedOut

log = logging.getLogger(__name__)

ROOT = "/registry/"
_PAGE = 2000


class _Shelf:
    """One version of what is in a folder of the store: its collection, and how records become
    items."""

    def __init__(self, resource: Resource, fields_of: FieldsOf | None) -> None:
        self.prefix = resource.prefix()
        self.collection = Collection()
        self._resource = resource
        self._head = head_of(resource.kind, resource.group_version)
        self._fields_of = fields_of
        self.waiting: list[Event] | None = None
        """Events that have come while it is being read."""

    def take(self, event: Event) -> None:
        key = event.record.key[len(self.prefix) :]
        after = None if event.deleted else self.item(event.record)
        self.collection.apply(key, event.revision, after)

    def item(self, record: Record) -> Item:
        key, value, resource = record.key[len(self.prefix) :], record.value, self._resource
        if resource.stored_as:
            tree = orjson.loads(value)
            value = encode(conversions.shown(resource.stored_as, resource.group_version, tree))
        return item(key, value, record.revision, self._head, self._fields_of)


class Caches:
    """The collections of all resources."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self._folders: dict[str, list[_Shelf]] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0
        self._task: asyncio.Task[None] | None = None
        self.revision = 0

    def add(self, resource: Resource, fields_of: FieldsOf | None = None) -> None:
        """Keep a resource. To be done before `start`, or be followed by `reload`."""
        key = resource.folder, resource.group_version
        if key not in self._shelves:
            self._shelves[key] = shelf = _Shelf(resource, fields_of)
            self._folders.setdefault(resource.folder, []).append(shelf)

    async def add_later(self, resource: Resource, fields_of: FieldsOf | None = None) -> None:
        """Keep a resource from now on; returns when it has been read."""
        self.add(resource, fields_of)
        shelf = self._shelf(resource)
        shelf.waiting = []
        revision = await self._store.revision()
        items = await self._read(shelf, revision)
        shelf.collection.load(iter(items), revision)
        waiting, shelf.waiting = shelf.waiting, None
        for event in waiting or ():
            if event.revision > revision:
                shelf.take(event)

    def remove(self, resource: Resource) -> None:
        """Keep a resource no longer. Its watches end."""
        shelf = self._shelves.pop((resource.folder, resource.group_version), None)
        if shelf is None:
            return
        self._folders[resource.folder].remove(shelf)
        for watcher in shelf.collection.watchers:
            watcher.end()

    def of(self, resource: Resource) -> Collection:
        return self._shelf(resource).collection

    def item(self, resource: Resource, record: Record) -> Item:
        """A record, perhaps an old one, as an item."""
        return self._shelf(resource).item(record)

    async def start(self) -> None:
        """Read everything, then follow. Returns when everything has been read."""
        await self._load()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for shelf in self._shelves.values():
            for watcher in shelf.collection.watchers:
                watcher.end()

    async def reach(self, revision: int, timeout: float = 3.0) -> None:
        """Wait until everything up to a revision is here. TimedOut."""
        if self.revision >= revision:
            return
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (revision, self._count, arrived))
        try:
            await asyncio.wait_for(arrived, timeout)
        except TimeoutError:
            raise TimedOut(f"revision {revision} has not arrived") from None

    async def catch_up(self) -> None:
        """Wait until what the store has now is here."""
        await self.reach(await self._store.revision())

    async def _load(self) -> None:
        revision = await self._store.revision()
        for shelf in list(self._shelves.values()):
            shelf.collection.load(iter(await self._read(shelf, revision)), revision)
        self._advance(revision)

    async def _read(self, shelf: _Shelf, revision: int) -> list[Item]:
        found: list[Item] = []
        after = ""
        while True:
            page = await self._store.page(shelf.prefix, _PAGE, after, revision)
            found += map(shelf.item, page.records)
            after = page.after
            if not after:
                return found

    async def _follow(self) -> None:
        while True:
            try:
                async for batch in self._store.watch(ROOT, self.revision):
                    for event in batch.events:
                        self._take(event)
                    self._advance(batch.revision)
            except Compacted:
                log.warning("the store has forgotten what followed %d; reading anew", self.revision)
                for shelf in self._shelves.values():
                    for watcher in shelf.collection.watchers:
                        watcher.end()
                await self._load()
            except Failed as error:
                log.warning("the store's events are interrupted: %s", error)
                await asyncio.sleep(0.5)

    def _take(self, event: Event) -> None:
        record = event.record
        for shelf in self._shelves_of(record.key):
            if shelf.waiting is not None:
                shelf.waiting.append(event)
            else:
                shelf.take(event)

    def _shelf(self, resource: Resource) -> _Shelf:
        return self._shelves[resource.folder, resource.group_version]

    def _shelves_of(self, key: str) -> list[_Shelf]:
        parts = key.split("/", 4)
        return self._folders.get(parts[2]) or self._folders.get("/".join(parts[2:4])) or []

    def _advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        while self._waiting and self._waiting[0][0] <= self.revision:
            _, _, arrived = heapq.heappop(self._waiting)
            if not arrived.done():
                arrived.set_result(None)
