"""The embedded store: one SQLite file, one process that owns it, one thread that writes.

Writes queue up for the writer, which commits all that has queued in one transaction (group
commit): one fsync makes many acknowledgements durable, and a lone write waits for nobody. Each
write still has a revision of its own. WAL lets readers go on meanwhile; `synchronous=FULL` makes an
acknowledged write survive a power cut.

A value is kept once: in `live` while it is current, in `past` (with the revision that ended it)
after that, until a compaction. So a state as of revision R is what began at or before R and has not
ended by then, and the events after R are what began or ended after it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pykubelet.apiserver.storage.contract import (
    Batch,
    Compacted,
    Conflict,
    Event,
    Exists,
    Page,
    Record,
)
from pykubelet.errors import Unavailable

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS live (
  key TEXT PRIMARY KEY, revision INTEGER NOT NULL, created INTEGER NOT NULL, expires REAL,
  value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS past (
  ended INTEGER PRIMARY KEY, key TEXT NOT NULL, revision INTEGER NOT NULL,
  created INTEGER NOT NULL, deleted INTEGER NOT NULL, value BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS live_revision ON live (revision);
CREATE INDEX IF NOT EXISTS live_expires ON live (expires) WHERE expires IS NOT NULL;
CREATE INDEX IF NOT EXISTS past_key ON past (key, revision);
CREATE INDEX IF NOT EXISTS past_revision ON past (revision);
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO about VALUES ('format', 1), ('revision', 1), ('compacted', 0);
"""
_FIRST_AFTER = "\U0010ffff"  # sorts after every character that a key contains
_COMPACT_AT_ONCE = 500
_BATCH = 512
_EXPIRY_PERIOD = 30.0

_Write = Callable[["_Transaction"], Any]
_Queued = tuple[_Write, "asyncio.Future[Any] | None", asyncio.AbstractEventLoop | None]


class SqliteStore:
    """See `contract.Store`. Made by `open`; used from one event loop."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path = path
        self._lock = lock
        self._writes: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-read")
        self._local = threading.local()
        self._watchers: set[_Watcher] = set()
        self._closed = False
        connection = _connect(path)
        about = dict(connection.execute("SELECT name, value FROM about"))
        self._revision = about["revision"]
        self._compacted = about["compacted"]
        self._writer = threading.Thread(
            target=self._write_all, args=(connection,), name="store-write", daemon=True
        )
        self._writer.start()

    @classmethod
    def open(cls, path: Path) -> SqliteStore:
        """Open or make the file. Unavailable if another process owns it or it is damaged."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = own(path)
        try:
            _prepare(path)
            return cls(path, lock)
        except BaseException:
            os.close(lock)
            raise

    # -- writing ---------------------------------------------------------------------------------

    async def create(self, key: str, value: bytes, ttl: float = 0) -> Record:
        return await self._write(lambda t: t.create(key, value, ttl))

    async def update(self, key: str, value: bytes, expected: int, ttl: float = 0) -> Record:
        return await self._write(lambda t: t.update(key, value, expected, ttl))

    async def delete(self, key: str, expected: int) -> Event:
        return await self._write(lambda t: t.delete(key, expected))

    async def compact(self, revision: int) -> None:
        revision = min(revision, self._revision)
        await self._write(lambda t: t.forget_before(revision))
        self._compacted = max(self._compacted, revision)
        while await self._write(lambda t: t.sweep(revision)):
            pass  # in small steps, so that other writes get their turn in between

    async def _write(self, write: Callable[[_Transaction], T]) -> T:
        if self._closed:
            raise Unavailable("the store is closed")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._writes.put((write, done, loop))
        return await done

    def _write_all(self, connection: sqlite3.Connection) -> None:
        """The writer's whole life: take what has queued, commit it together, tell everybody."""
        next_expiry = time.monotonic() + _EXPIRY_PERIOD
        ended = False
        while not ended:
            batch: list[_Queued] = []
            try:
                wait = max(0.0, next_expiry - time.monotonic())
                item = self._writes.get(timeout=wait)
                while item is not None and len(batch) < _BATCH:
                    batch.append(item)
                    item = self._writes.get_nowait()
                if item is None:
                    ended = True
                else:
                    batch.append(item)
            except queue.Empty:
                pass
            if time.monotonic() >= next_expiry:
                next_expiry = time.monotonic() + _EXPIRY_PERIOD
                batch.append((_Transaction.expire, None, None))
            if batch:
                self._commit(connection, batch)
        connection.execute("PRAGMA optimize")
        connection.close()

    def _commit(self, connection: sqlite3.Connection, batch: list[_Queued]) -> None:
        transaction = _Transaction(connection, self._revision)
        results: list[tuple[asyncio.Future[Any] | None, Any, BaseException | None]] = []
        loops = {loop for _, _, loop in batch if loop is not None}
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write, done, _ in batch:
                try:
                    results.append((done, write(transaction), None))
                except (Exists, Conflict) as refusal:
                    results.append((done, None, refusal))
            transaction.finish()
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            trouble = _trouble(self._path, error)
            results = [(done, None, trouble) for _, done, _ in batch]
            transaction.events = []
        else:
            self._revision = transaction.revision
        for loop in loops or {watcher.loop for watcher in self._watchers}:
            try:
                loop.call_soon_threadsafe(self._tell, results, transaction.events)
            except RuntimeError:
                pass  # the loop has ended; nobody waits any more

    def _tell(
        self,
        results: list[tuple[asyncio.Future[Any] | None, Any, BaseException | None]],
        events: Sequence[Event],
    ) -> None:
        if events:
            for watcher in list(self._watchers):
                watcher.give(events)
        for done, result, error in results:
            if done is None or done.done():
                continue
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)

    # -- reading ---------------------------------------------------------------------------------

    async def get(self, key: str, at: int = 0) -> Record | None:
        return await self._read(lambda db: self._get(db, key, at))

    async def page(self, prefix: str, limit: int = 0, after: str = "", at: int = 0) -> Page:
        return await self._read(lambda db: self._page(db, prefix, limit, after, at))

    async def count(self, prefix: str) -> int:
        def counted(db: sqlite3.Connection) -> int:
            sql = "SELECT count(*) FROM live WHERE key >= ? AND key < ?"
            return int(db.execute(sql, (prefix, prefix + _FIRST_AFTER)).fetchone()[0])

        return await self._read(counted)

    async def revision(self) -> int:
        return self._revision

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = _connect(self._path)
            try:
                connection.execute("BEGIN")
                try:
                    return read(connection)
                finally:
                    connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise _trouble(self._path, error) from error

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    def _get(self, db: sqlite3.Connection, key: str, at: int) -> Record | None:
        self._check_kept(db, at)
        found = db.execute(
            "SELECT key, value, revision, created FROM live WHERE key = ?", (key,)
        ).fetchone()
        if at and (found is None or found[2] > at):
            found = db.execute(
                "SELECT key, value, revision, created FROM past "
                "WHERE key = ? AND revision <= ? AND ended > ? LIMIT 1",
                (key, at, at),
            ).fetchone()
        return Record(*found) if found else None

    def _page(self, db: sqlite3.Connection, prefix: str, limit: int, after: str, at: int) -> Page:
        now = _about(db, "revision")
        self._check_kept(db, at)
        revision = at or now
        low = after + "\0" if after else prefix
        bounds: tuple[Any, ...] = (low, prefix + _FIRST_AFTER)
        columns = "key, value, revision, created"
        source = f"SELECT {columns} FROM live WHERE key >= ? AND key < ?"
        if at and at < now:
            source += (
                f" AND revision <= ? UNION ALL SELECT {columns} FROM past"
                " WHERE key >= ? AND key < ? AND revision <= ? AND ended > ?"
            )
            bounds = (*bounds, at, *bounds, at, at)
        sql = f"SELECT {columns} FROM ({source}) ORDER BY key"
        if not limit:
            return Page([Record(*row) for row in db.execute(sql, bounds)], revision)
        rows = db.execute(f"{sql} LIMIT ?", (*bounds, limit + 1)).fetchall()
        records = [Record(*row) for row in rows[:limit]]
        if len(rows) <= limit:
            return Page(records, revision)
        total = db.execute(f"SELECT count(*) FROM ({source})", bounds).fetchone()[0]
        return Page(records, revision, records[-1].key, total - limit)

    def _check_kept(self, db: sqlite3.Connection, at: int) -> None:
        compacted = _about(db, "compacted")
        if at and at < compacted:
            raise Compacted(at, compacted)

    # -- watching --------------------------------------------------------------------------------

    async def watch(self, prefix: str, after: int) -> AsyncIterator[Batch]:
        watcher = _Watcher(prefix, asyncio.get_running_loop())
        self._watchers.add(watcher)
        try:
            reached = after
            missed = await self._read(lambda db: self._events(db, prefix, after))
            if missed:
                reached = missed[-1].revision
                yield Batch(missed, reached)
            while True:
                fresh = [event for event in await watcher.take() if event.revision > reached]
                if fresh:
                    reached = fresh[-1].revision
                    yield Batch(fresh, reached)
        finally:
            self._watchers.discard(watcher)

    def _events(self, db: sqlite3.Connection, prefix: str, after: int) -> list[Event]:
        self._check_kept(db, max(after, 1))
        found: list[Event] = []
        bounds = (after, prefix, prefix + _FIRST_AFTER)
        for table in ("live", "past"):
            sql = (
                f"SELECT key, value, revision, created FROM {table}"
                " WHERE revision > ? AND key >= ? AND key < ?"
            )
            found += [Event(record := Record(*row), record.revision)
                      for row in db.execute(sql, bounds)]  # fmt: skip
        sql = (
            "SELECT ended, key, value, revision, created FROM past"
            " WHERE ended > ? AND key >= ? AND key < ? AND deleted"
        )
        found += [Event(Record(*row[1:]), row[0], True) for row in db.execute(sql, bounds)]
        return sorted(found, key=lambda event: event.revision)

    # -- the end ---------------------------------------------------------------------------------

    async def backup(self, target: Path) -> None:
        """Copy the whole store, consistent, while it is in use."""

        def copy(db: sqlite3.Connection) -> None:
            with sqlite3.connect(target) as out:
                db.backup(out)

        await self._read(copy)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._writes.put(None)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._writer.join)
        self._readers.shutdown()
        for watcher in self._watchers:
            watcher.end()
        os.close(self._lock)


class _Transaction:
    """The writes of one commit, one after the other."""

    def __init__(self, db: sqlite3.Connection, revision: int) -> None:
        self._db = db
        self.revision = revision
        self.events: list[Event] = []

    def create(self, key: str, value: bytes, ttl: float) -> Record:
        if self._current(key) is not None:
            raise Exists(f"{key} exists")
        self.revision += 1
        record = Record(key, value, self.revision, self.revision)
        self._db.execute(
            "INSERT INTO live (key, revision, created, expires, value) VALUES (?, ?, ?, ?, ?)",
            (key, self.revision, self.revision, _expiry(ttl), value),
        )
        self.events.append(Event(record, self.revision))
        return record

    def update(self, key: str, value: bytes, expected: int, ttl: float) -> Record:
        current = self._current(key)
        if current is None or current.revision != expected:
            raise Conflict(key, current)
        self._retire(current, deleted=False)
        record = Record(key, value, self.revision, current.created)
        self._db.execute(
            "UPDATE live SET revision = ?, expires = ?, value = ? WHERE key = ?",
            (self.revision, _expiry(ttl), value, key),
        )
        self.events.append(Event(record, self.revision))
        return record

    def delete(self, key: str, expected: int) -> Event:
        current = self._current(key)
        if current is None or current.revision != expected:
            raise Conflict(key, current)
        self._retire(current, deleted=True)
        self._db.execute("DELETE FROM live WHERE key = ?", (key,))
        event = Event(current, self.revision, deleted=True)
        self.events.append(event)
        return event

    def expire(self) -> None:
        """Remove what has outlived its time to live."""
        rows = self._db.execute(
            "SELECT key, revision FROM live WHERE expires < ? LIMIT 1000", (time.time(),)
        ).fetchall()
        for key, revision in rows:
            self.delete(key, revision)

    def forget_before(self, revision: int) -> None:
        self._db.execute(
            "UPDATE about SET value = max(value, ?) WHERE name = 'compacted'", (revision,)
        )

    def sweep(self, revision: int) -> int:
        """Remove some of what ended by `revision`; how many rows."""
        return self._db.execute(
            "DELETE FROM past WHERE ended IN (SELECT ended FROM past WHERE ended <= ? LIMIT ?)",
            (revision, _COMPACT_AT_ONCE),
        ).rowcount

    def finish(self) -> None:
        if self.events:
            self._db.execute("UPDATE about SET value = ? WHERE name = 'revision'", (self.revision,))

    def _current(self, key: str) -> Record | None:
        row = self._db.execute(
            "SELECT key, value, revision, created FROM live WHERE key = ?", (key,)
        ).fetchone()
        return Record(*row) if row else None

    def _retire(self, record: Record, deleted: bool) -> None:
        self.revision += 1
        self._db.execute(
            "INSERT INTO past (ended, key, revision, created, deleted, value)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (self.revision, record.key, record.revision, record.created, deleted, record.value),
        )


class _Watcher:
    """Events on their way to one watch. Lives on the event loop only."""

    def __init__(self, prefix: str, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._prefix = prefix
        self._events: list[Event] = []
        self._some = asyncio.Event()
        self._ended = False

    def give(self, events: Sequence[Event]) -> None:
        mine = [event for event in events if event.record.key.startswith(self._prefix)]
        if mine:
            self._events += mine
            self._some.set()

    def end(self) -> None:
        self._ended = True
        self._some.set()

    async def take(self) -> list[Event]:
        await self._some.wait()
        if self._ended:
            raise Unavailable("the store is closed")
        self._some.clear()
        taken, self._events = self._events, []
        return taken


def _expiry(ttl: float) -> float | None:
    return time.time() + ttl if ttl else None


def _about(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()[0])


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -4000")
    return connection


def own(path: Path) -> int:
    """Take the lock that makes this process the only one. It goes with the process."""
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise Unavailable(
            f"{path} is in use by another process: stop that one, or give this one a folder of its "
            "own"
        ) from None
    return lock


def _prepare(path: Path) -> None:
    """Make what isn't there yet, and look whether the rest is sound."""
    try:
        connection = _connect(path)
        try:
            os.chmod(path, 0o600)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _trouble(path, error) from error


def _trouble(path: Path, error: sqlite3.Error) -> Unavailable:
    text = str(error)
    if "full" in text:
        return Unavailable(f"no space left for {path}: nothing was written; free some, then retry")
    if isinstance(error, sqlite3.OperationalError) and "malformed" not in text:
        return Unavailable(f"{path}: {text}")
    return Unavailable(
        f"{path} is damaged ({text}): move it away and restore a backup, or start empty"
    )
