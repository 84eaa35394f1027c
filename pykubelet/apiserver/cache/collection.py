"""All objects of one resource, and what happened to them of late.

Lives on the event loop; changed only by `apply`, with events in the order of their revisions.
Readers get items, which never change; watchers get `Change`s, each shared by all of them, so that
an event is encoded once however many watch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from pykubelet.apiserver.cache.items import Item

KEPT_CHANGES = 2000
_QUEUE_LIMIT = 10_000


class Change:
    """One event: what an item became (None: it is gone), and what it was (None: it is new)."""

    __slots__ = ("_frames", "after", "before", "revision")

    def __init__(self, revision: int, before: Item | None, after: Item | None) -> None:
        self.revision = revision
        self.before = before
        self.after = after
        self._frames: dict[str, bytes] = {}

    def frame(self, kind: str) -> bytes:
        """The event as a line of a JSON watch: `kind` is ADDED, MODIFIED or DELETED."""
        made = self._frames.get(kind)
        if made is None:
            made = self._frames[kind] = _frame(kind, self)
        return made


def _frame(kind: str, change: Change) -> bytes:
    item = change.after or change.before
    assert item is not None
    tail = item.tail
    if item.revision != change.revision:
        # A deletion shows the last state, with the revision of the deletion.
        old, new = b'"resourceVersion":"%d"' % item.revision, b'"resourceVersion":"%d"'
        tail = tail.replace(old, new % change.revision, 1)
    return b'{"type":"%b","object":%b%b}\n' % (kind.encode(), item.head, tail)


class Watcher:
    """One watch's queue. A watcher that falls too far behind is ended.

    Whoever waits is woken by what comes or by a timer; the timer stays as long as the moment that
    it is set for stays the same, so that an event costs no timer of its own.
    """

    __slots__ = ("_changes", "_loop", "_timer", "_until", "_waiting", "ended")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changes: list[Change] = []
        self._waiting: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self.ended = False

    def give(self, change: Change) -> None:
        if len(self._changes) >= _QUEUE_LIMIT:
            self.ended = True
        else:
            self._changes.append(change)
        self._wake()

    def end(self) -> None:
        self.ended = True
        self._wake()

    def close(self) -> None:
        """Nobody will ask again."""
        if self._timer is not None:
            self._timer.cancel()

    async def take(self, until: float) -> list[Change]:
        """What has come since the last time; nothing if nothing has come until that moment (of the
        event loop's clock)."""
        if not self._changes and not self.ended:
            if self._timer is None or self._until != until:
                self.close()
                self._until = until
                self._timer = self._loop.call_at(until, self._ring)
            self._waiting = self._loop.create_future()
            await self._waiting
        taken, self._changes = self._changes, []
        return taken

    def _ring(self) -> None:
        self._timer = None
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Collection:
    """The items of a resource by their key."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._order: list[str] | None = None
        self._changes: deque[Change] = deque()
        self._oldest = 0
        self.watchers: set[Watcher] = set()

    def load(self, items: Iterator[Item], revision: int) -> None:
        """Start from a list as of a revision."""
        self._items = {item.key: item for item in items}
        self._order = None
        self._changes.clear()
        self._oldest = revision

    def apply(self, key: str, revision: int, after: Item | None) -> None:
        """What a write did."""
        before = self._items.get(key)
        if after is None:
            if before is None:
                return
            del self._items[key]
            self._order = None
        else:
            self._items[key] = after
            if before is None:
                self._order = None
        change = Change(revision, before, after)
        self._changes.append(change)
        if len(self._changes) > KEPT_CHANGES:
            self._oldest = self._changes.popleft().revision
        for watcher in self.watchers:
            watcher.give(change)

    def get(self, key: str) -> Item | None:
        return self._items.get(key)

    def __len__(self) -> int:
        return len(self._items)

    def items(self, namespace: str = "") -> Iterator[Item]:
        """All, or those of a namespace, in the order of keys."""
        if self._order is None:
            self._order = sorted(self._items)
        if namespace:
            from bisect import bisect_left

            low = bisect_left(self._order, f"{namespace}/")
            high = bisect_left(self._order, f"{namespace}0")  # "0" follows "/"
            return (self._items[key] for key in self._order[low:high])
        return (self._items[key] for key in self._order)

    def since(self, revision: int) -> list[Change] | None:
        """The changes after a revision; None where they aren't all kept any more."""
        if revision < self._oldest:
            return None
        return [change for change in self._changes if change.revision > revision]

    @property
    def oldest(self) -> int:
        """The oldest revision that `since` can start from."""
        return self._oldest
