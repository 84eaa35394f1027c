"""The storage contract, kept by each engine alike."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pykubelet.apiserver.storage.contract import (
    Batch,
    Compacted,
    Conflict,
    Event,
    Exists,
    Page,
    Record,
    Store,
)
from pykubelet.apiserver.storage.etcd import EtcdStore
from pykubelet.apiserver.storage.sqlite import SqliteStore
from pykubelet.errors import Unavailable

Scenario = Callable[[Store], Awaitable[None]]


@pytest.fixture(params=["sqlite", "etcd"])
def play(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a scenario against each engine, under a prefix of the test's own."""
    prefix = f"/{tmp_path.name}"

    def opened() -> Store:
        if request.param == "etcd":
            return EtcdStore([request.getfixturevalue("etcd")])
        return SqliteStore.open(tmp_path / "store.db")

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            store = opened()
            try:
                await asyncio.wait_for(scenario(Below(store, prefix)), 30)
            finally:
                await store.close()

        asyncio.run(main())

    return run


class Below:
    """A store whose keys are all below a prefix, so that tests can share an etcd."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self.revision = store.revision
        self.compact = store.compact
        self.close = store.close

    async def create(self, key: str, value: bytes, ttl: float = 0) -> Record:
        return self._record(await self._store.create(self._prefix + key, value, ttl))

    async def update(self, key: str, value: bytes, expected: int, ttl: float = 0) -> Record:
        try:
            return self._record(await self._store.update(self._prefix + key, value, expected, ttl))
        except Conflict as conflict:
            current = conflict.current
            raise Conflict(key, self._record(current) if current else None) from None

    async def delete(self, key: str, expected: int) -> Event:
        event = await self._store.delete(self._prefix + key, expected)
        return self._event(event)

    async def get(self, key: str, at: int = 0) -> Record | None:
        found = await self._store.get(self._prefix + key, at)
        return self._record(found) if found else None

    async def page(self, prefix: str, limit: int = 0, after: str = "", at: int = 0) -> Page:
        start = self._prefix + after if after else ""
        page = await self._store.page(self._prefix + prefix, limit, start, at)
        records = [self._record(one) for one in page.records]
        return replace(page, records=records, after=page.after.removeprefix(self._prefix))

    async def count(self, prefix: str) -> int:
        return await self._store.count(self._prefix + prefix)

    async def watch(self, prefix: str, after: int) -> AsyncIterator[Batch]:
        async for batch in self._store.watch(self._prefix + prefix, after):
            yield Batch([self._event(one) for one in batch.events], batch.revision)

    def _record(self, record: Record) -> Record:
        # What an update created is not told by every engine.
        return replace(record, key=record.key.removeprefix(self._prefix), created=0)

    def _event(self, event: Event) -> Event:
        return replace(event, record=self._record(event.record))


async def take(batches: AsyncIterator[Batch], count: int) -> list[Event]:
    taken: list[Event] = []
    async for batch in batches:
        taken += batch.events
        if len(taken) >= count:
            break
    return taken


def test_create_get_update_delete(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        made = await store.create("/a/1", b"one")
        assert made.value == b"one"
        assert await store.get("/a/1") == made
        changed = await store.update("/a/1", b"two", made.revision)
        assert changed.revision == made.revision + 1
        gone = await store.delete("/a/1", changed.revision)
        assert gone.deleted
        assert gone.record.value == b"two"
        assert gone.revision == changed.revision + 1
        assert await store.get("/a/1") is None
        assert await store.revision() == gone.revision

    play(scenario)


def test_a_write_that_expects_another_state_is_refused(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        made = await store.create("/a", b"1")
        with pytest.raises(Exists):
            await store.create("/a", b"2")
        with pytest.raises(Conflict) as conflict:
            await store.update("/a", b"2", made.revision + 7)
        assert conflict.value.current == made
        with pytest.raises(Conflict) as conflict:
            await store.delete("/b", 3)
        assert conflict.value.current is None
        assert await store.revision() == made.revision

    play(scenario)


def test_many_writers_of_one_record_take_turns(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        await store.create("/n", b"0")

        async def add() -> None:
            while True:
                record = await store.get("/n")
                assert record
                try:
                    await store.update("/n", str(int(record.value) + 1).encode(), record.revision)
                except Conflict:
                    continue
                return

        await asyncio.gather(*(add() for _ in range(20)))
        final = await store.get("/n")
        assert final
        assert final.value == b"20"

    play(scenario)


def test_lists_come_in_pages_of_one_moment(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        for n in range(7):
            await store.create(f"/p/{n}", str(n).encode())
        await store.create("/pq", b"")
        first = await store.page("/p/", limit=3)
        assert [r.value for r in first.records] == [b"0", b"1", b"2"]
        assert first.remaining == 4
        record = await store.get("/p/4")
        assert record
        await store.update("/p/4", b"new", record.revision)
        record = await store.get("/p/5")
        assert record
        await store.delete("/p/5", record.revision)
        await store.create("/p/9", b"9")
        rest = await store.page("/p/", limit=10, after=first.after, at=first.revision)
        assert [r.value for r in rest.records] == [b"3", b"4", b"5", b"6"]
        assert not rest.after
        assert rest.revision == first.revision
        now = await store.page("/p/")
        assert [r.value for r in now.records] == [b"0", b"1", b"2", b"3", b"new", b"6", b"9"]
        assert await store.count("/p/") == 7
        old = await store.get("/p/4", at=first.revision)
        assert old
        assert old.value == b"4"

    play(scenario)


def test_a_watch_misses_nothing_and_repeats_nothing(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        start = await store.revision()
        before = await store.create("/w/a", b"1")
        await store.create("/other", b"")
        watched = asyncio.create_task(take(store.watch("/w/", start), 5))
        changed = await store.update("/w/a", b"2", before.revision)
        await store.create("/w/b", b"b")
        await store.update("/w/a", b"3", changed.revision)
        record = await store.get("/w/b")
        assert record
        await store.delete("/w/b", record.revision)
        events = await watched
        assert [(e.record.key, e.record.value, e.deleted) for e in events] == [
            ("/w/a", b"1", False), ("/w/a", b"2", False), ("/w/b", b"b", False),
            ("/w/a", b"3", False), ("/w/b", b"b", True),
        ]  # fmt: skip
        assert [e.revision for e in events] == sorted({e.revision for e in events})
        again = await take(store.watch("/w/", start), 5)
        assert again == events
        assert await take(store.watch("/w/", events[2].revision), 2) == events[3:]

    play(scenario)


def test_what_is_compacted_is_refused_and_the_rest_stays(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        record = await store.create("/c", b"0")
        first = record.revision
        for n in range(1, 10):
            record = await store.update("/c", str(n).encode(), record.revision)
        await store.compact(record.revision - 2)
        with pytest.raises(Compacted):
            await store.get("/c", at=first)
        with pytest.raises(Compacted):
            await take(store.watch("/c", first), 1)
        with pytest.raises(Compacted):
            await store.page("/c", at=first)
        kept = await store.get("/c", at=record.revision - 1)
        assert kept
        assert kept.value == b"8"
        assert await store.get("/c") == record

    play(scenario)


def test_a_watch_says_how_far_it_has_come(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        start = await store.revision()
        made = await store.create("/a", b"1")

        async def come_to(revision: int) -> None:
            async for batch in store.watch("/", start):
                if batch.revision >= revision:
                    return

        watching = asyncio.create_task(come_to(made.revision))
        while not watching.done():
            await store.revision()
            await asyncio.sleep(0.01)
        await watching

    play(scenario)


def test_acknowledged_writes_survive_a_kill(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from pykubelet.apiserver.storage.sqlite import SqliteStore\n"
        "async def main():\n"
        "    store = SqliteStore.open(Path(sys.argv[1]))\n"
        "    async def write(who):\n"
        "        n = 0\n"
        "        while True:\n"
        "            record = await store.create(f'/k/{who}/{n:06}', b'x' * 500)\n"
        "            sys.stdout.write(f'{record.key} {record.revision}\\n')\n"
        "            sys.stdout.flush()\n"
        "            n += 1\n"
        "    await asyncio.gather(*(write(w) for w in range(10)))\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "store.db"
    acknowledged: dict[str, int] = {}
    for _ in range(3):
        path.unlink(missing_ok=True)
        for extra in ("-wal", "-shm"):
            Path(f"{path}{extra}").unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        acknowledged = {}
        for line in process.stdout:
            if len(acknowledged) == 500:
                os.kill(process.pid, signal.SIGKILL)
            if line.endswith("\n"):
                key, revision = line.split()
                acknowledged[key] = int(revision)
        process.wait()

        asyncio.run(_all_there(path, acknowledged))


async def _all_there(path: Path, acknowledged: dict[str, int]) -> None:
    store = SqliteStore.open(path)
    found = {r.key: r.revision for r in (await store.page("/k/")).records}
    assert acknowledged.items() <= found.items()
    assert await store.revision() >= max(found.values())
    await store.close()


def test_a_file_has_one_owner(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore.open(tmp_path / "s.db")
        with pytest.raises(Unavailable, match="in use by another process"):
            SqliteStore.open(tmp_path / "s.db")
        await store.close()
        await SqliteStore.open(tmp_path / "s.db").close()

    asyncio.run(main())


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"SQLite format 3\0" + b"\x55" * 8000)
    with pytest.raises(Unavailable, match="damaged"):
        SqliteStore.open(path)


def test_a_backup_is_a_store(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore.open(tmp_path / "s.db")
        record = await store.create("/a", b"1")
        await store.backup(tmp_path / "copy.db")
        await store.close()
        copy = SqliteStore.open(tmp_path / "copy.db")
        assert await copy.get("/a") == record
        await copy.close()

    asyncio.run(main())


def test_records_outlive_a_restart_with_their_revisions(tmp_path: Path) -> None:
    async def main() -> None:
        store = SqliteStore.open(tmp_path / "s.db")
        record = await store.create("/a", b"1")
        await store.close()
        store = SqliteStore.open(tmp_path / "s.db")
        assert await store.get("/a") == record
        assert (await store.update("/a", b"2", record.revision)).revision == record.revision + 1
        await store.close()

    asyncio.run(main())
