"""watch: what there is, if asked for, then every change, and bookmarks in between.

Source: API concepts, "Efficient detection of changes", "Watch bookmarks", "Streaming lists".
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import orjson

from pykubelet.apiserver import presenting, selection, status
from pykubelet.apiserver.cache.collection import Change, Collection, Watcher
from pykubelet.apiserver.calls import Call, integer
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.selection import Predicate
from pykubelet.errors import TimedOut

_BOOKMARKS_EVERY = 60.0
_MIN_TIMEOUT = 1800
_INITIAL_END = "k8s.io/initial-events-end"


async def watch(call: Call) -> Response:
    written = call.option("resourceVersion")
    wanted = integer(written, "resourceVersion")
    initial = call.option("sendInitialEvents").lower()
    _check(call, initial)
    caches = call.parts.caches
    try:
        if not written and not initial:
            await caches.catch_up()
        elif wanted:
            await caches.reach(wanted)
    except TimedOut:
        raise status.too_large_version(wanted, caches.revision) from None
    collection = caches.of(call.resource)
    selected = selection.of(call)
    show = presenting.events(call)
    timeout = integer(call.option("timeoutSeconds"), "timeoutSeconds") or random.randint(
        _MIN_TIMEOUT, 2 * _MIN_TIMEOUT
    )
    start: list[bytes] = []
    if initial == "true" or (wanted == 0 and initial != "false"):
        start = [show.initial(item) for item in collection.items() if selected(item)]
        if initial == "true":
            start.append(show.bookmark(caches.revision, {_INITIAL_END: "true"}))
    else:
        changes = collection.since(wanted)
        if changes is None:
            message = f"too old resource version: {wanted} ({collection.oldest})"
            return Response(body=_refused(message), content_type=show.content_type)
        start = [frame for change in changes if (frame := _frame(change, selected, show))]
    # Nothing is awaited between looking at the collection and standing in its queue.
    watcher = Watcher()
    collection.watchers.add(watcher)
    return Response(
        body=_events(call, collection, watcher, start, selected, show, timeout),
        content_type=show.content_type,
    )


async def _events(
    call: Call,
    collection: Collection,
    watcher: Watcher,
    start: list[bytes],
    selected: Predicate,
    show: presenting.Events,
    timeout: float,
) -> AsyncIterator[bytes]:
    bookmarks = call.option("allowWatchBookmarks").lower() in ("true", "1")
    caches, loop = call.parts.caches, asyncio.get_running_loop()
    ends = loop.time() + timeout
    # Not all at once, where many watches were started together.
    next_bookmark = loop.time() + _BOOKMARKS_EVERY * random.uniform(0.8, 1) if bookmarks else ends
    try:
        if start:
            yield b"".join(start)
        while not watcher.ended and loop.time() < ends:
            changes = await watcher.take(min(ends, next_bookmark))
            frames = [frame for change in changes if (frame := _frame(change, selected, show))]
            if frames:
                yield b"".join(frames)
            if bookmarks and loop.time() >= next_bookmark:
                next_bookmark = loop.time() + _BOOKMARKS_EVERY
                yield show.bookmark(caches.revision, {})
    finally:
        watcher.close()
        collection.watchers.discard(watcher)


def _frame(change: Change, selected: Predicate, show: presenting.Events) -> bytes:
    """How a change looks to a watch with a selector: what comes into view is added, what goes out
    of it deleted. Nothing if it was and is out of view."""
    if selected is selection.everything:
        kind = "DELETED" if change.after is None else "MODIFIED" if change.before else "ADDED"
        return show.change(kind, change)
    was = change.before is not None and selected(change.before)
    now = change.after is not None and selected(change.after)
    if now:
        return show.change("MODIFIED" if was else "ADDED", change)
    return show.change("DELETED", change) if was else b""


async def _refused(message: str) -> AsyncIterator[bytes]:
    """A watch that can't start is told so in an event."""
    yield orjson.dumps({"type": "ERROR", "object": status.expired(message).status()}) + b"\n"


def _check(call: Call, initial: str) -> None:
    if not initial:
        return
    match = call.option("resourceVersionMatch")
    if match != "NotOlderThan":
        raise status.Refusal(
            422,
            "Invalid",
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )
