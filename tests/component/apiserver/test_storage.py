"""The storage contract, kept by each engine alike."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from pykubelet.apiserver.storage.contract import Compacted, Conflict, Event, Exists, Store
from pykubelet.apiserver.storage.sqlite import SqliteStore
from pykubelet.errors import Unavailable

Scenario = Callable[[Store], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Scenario], None]:
    """Runs a scenario against a fresh store."""

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            store = SqliteStore.open(tmp_path / "store.db")
            try:
                await asyncio.wait_for(scenario(store), 30)
            finally:
                await store.close()

        asyncio.run(main())

    return run


async def take(events: AsyncIterator[Sequence[Event]], count: int) -> list[Event]:
    taken: list[Event] = []
    async for batch in events:
        taken += batch
        if len(taken) >= count:
            break
    return taken


def test_create_get_update_delete(play: Callable[[Scenario], None]) -> None:
    async def scenario(store: Store) -> None:
        made = await store.create("/a/1", b"one")
        assert (made.value, made.revision) == (b"one", made.created)
        assert await store.get("/a/1") == made
        changed = await store.update("/a/1", b"two", made.revision)
        assert changed.revision == made.revision + 1
        assert changed.created == made.created
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
