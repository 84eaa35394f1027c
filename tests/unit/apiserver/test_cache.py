"""Objects as bytes, their changes, and who watches them."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from pykubelet.apiserver.cache import collection
from pykubelet.apiserver.cache.collection import Change, Collection, Watcher
from pykubelet.apiserver.cache.items import Item, encode, head_of, item, stamp

HEAD = head_of("ConfigMap", "v1")


def made(key: str, revision: int, **labels: str) -> Item:
    namespace, _, name = key.rpartition("/")
    obj = {"kind": "ConfigMap", "apiVersion": "v1",
           "metadata": {"labels": labels, "name": name, "namespace": namespace}}  # fmt: skip
    return item(key, encode(obj), revision, HEAD, None)


def test_the_version_is_put_where_it_belongs_whatever_the_object_says() -> None:
    tricky: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "data": {"resourceVersion": "", "x": '"resourceVersion":""'},
        "metadata": {
            "annotations": {"resourceVersion": ""},
            "resourceVersion": "old",
            "labels": {"resourceVersion": ""},
            "name": "a",
        },
    }
    stamped = orjson.loads(stamp(encode(tricky), 42))
    assert stamped == {**tricky, "metadata": {**tricky["metadata"], "resourceVersion": "42"}}


def test_an_item_gives_the_whole_object_back() -> None:
    one = made("ns/a", 7, x="y")
    assert one.tree()["metadata"] == {
        "name": "a", "namespace": "ns", "resourceVersion": "7", "labels": {"x": "y"}
    }  # fmt: skip
    assert one.labels == {"x": "y"}
    assert (one.namespace, one.name) == ("ns", "a")
    assert one.body == one.head + one.tail


def test_an_object_stored_under_another_head_gets_its_own() -> None:
    old = orjson.dumps({"apiVersion": "v1beta1", "kind": "ConfigMap", "metadata": {"name": "a",
                        "resourceVersion": ""}, "data": {"k": "v"}})  # fmt: skip
    one = item("a", old, 3, HEAD, None)
    assert one.tree() == {"kind": "ConfigMap", "apiVersion": "v1",
                          "metadata": {"name": "a", "resourceVersion": "3"},
                          "data": {"k": "v"}}  # fmt: skip


def test_items_come_in_order_and_by_namespace() -> None:
    kept = Collection()
    kept.load(iter([made("b/1", 1), made("a/2", 2), made("a-b/1", 3), made("a/1", 4)]), 4)
    assert [one.key for one in kept.items()] == ["a-b/1", "a/1", "a/2", "b/1"]
    assert [one.key for one in kept.items("a")] == ["a/1", "a/2"]
    kept.apply("a/1", 5, None)
    kept.apply("a/0", 6, made("a/0", 6))
    assert [one.key for one in kept.items("a")] == ["a/0", "a/2"]


def test_changes_are_kept_for_a_while(monkeypatch: Any) -> None:
    monkeypatch.setattr(collection, "KEPT_CHANGES", 3)
    kept = Collection()
    kept.load(iter([]), 10)
    for revision in range(11, 17):
        kept.apply("a/1", revision, made("a/1", revision))
    since = kept.since(13)
    assert since is not None
    assert [change.revision for change in since] == [14, 15, 16]
    assert kept.since(12) is None
    assert kept.oldest == 13


def test_a_change_is_encoded_once_for_all() -> None:
    change = Change(5, None, made("a/1", 5))
    assert change.frame("ADDED") is change.frame("ADDED")
    event = orjson.loads(change.frame("ADDED"))
    assert event["type"] == "ADDED"
    assert event["object"]["metadata"]["resourceVersion"] == "5"


def test_a_deletion_shows_the_last_state_with_its_own_version() -> None:
    event = orjson.loads(Change(9, made("a/1", 5), None).frame("DELETED"))
    assert event["object"]["metadata"]["resourceVersion"] == "9"


def test_a_watcher_wakes_for_a_change_or_when_it_is_time() -> None:
    async def scenario() -> None:
        watcher, loop = Watcher(), asyncio.get_running_loop()
        change = Change(1, None, made("a/1", 1))
        loop.call_soon(watcher.give, change)
        assert await watcher.take(loop.time() + 60) == [change]
        assert await watcher.take(loop.time() + 0.01) == []
        loop.call_soon(watcher.end)
        assert await watcher.take(loop.time() + 60) == []
        assert watcher.ended
        watcher.close()

    asyncio.run(scenario())


def test_a_watcher_that_falls_behind_is_ended(monkeypatch: Any) -> None:
    monkeypatch.setattr(collection, "_QUEUE_LIMIT", 2)

    async def scenario() -> None:
        watcher = Watcher()
        change = Change(1, None, made("a/1", 1))
        for _ in range(3):
            watcher.give(change)
        assert watcher.ended
        assert len(await watcher.take(0)) == 2

    asyncio.run(scenario())
