"""Looks after the embedded store from outside the server: backup, restore, check.

A backup is taken while the server runs: SQLite copies a consistent state page by page and writers
go on. A restore needs the server to be stopped, and keeps what was there beside the new file.
"""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from pykubelet.apiserver.storage.sqlite import own
from pykubelet.errors import Invalid, NotFound, Unavailable

_BESIDE = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a store holds."""

    revision: int
    records: int
    size: int
    """Bytes, of the file and what is beside it."""


def check(path: Path) -> Facts:
    """Whether a store is sound, all of it; what it holds. Unavailable if it is damaged."""
    connection = _read(path)
    try:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
        if found != ["ok"]:
            raise Unavailable(f"{path} is damaged: {'; '.join(found)}; restore a backup")
        about = dict(connection.execute("SELECT name, value FROM about"))
        (records,) = connection.execute("SELECT count(*) FROM live").fetchone()
    except sqlite3.Error as error:
        raise Unavailable(f"{path} is damaged: {error}; restore a backup") from error
    finally:
        connection.close()
    size = sum(beside.stat().st_size for beside in _files(path) if beside.exists())
    return Facts(about["revision"], records, size)


def backup(path: Path, target: Path) -> Facts:
    """Copy a store, which may be in use, to a new file that only its owner can read."""
    if target.exists():
        raise Invalid("there is a file already", where=str(target), remedy="choose another name")
    source = _read(path)
    part = target.with_name(f".{target.name}.part")
    try:
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.close(handle)
        with sqlite3.connect(part) as out:
            source.backup(out, pages=1000)
        out.execute("PRAGMA journal_mode = DELETE")
        out.close()
        facts = check(part)
        os.replace(part, target)
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"{target} can't be written: {error}") from error
    finally:
        source.close()
        part.unlink(missing_ok=True)
    return facts


def restore(source: Path, path: Path) -> Path | None:
    """Put a backup in the place of a store; where the old one has gone, if there was one.

    Clients notice by the revisions, which go back: restart everything that watches.
    """
    check(source)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = own(path)
    try:
        kept = None
        if path.exists():
            kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%S')}")
            for old, ending in zip(_files(path), _BESIDE, strict=True):
                if old.exists():
                    os.replace(old, f"{kept}{ending}")
        backup(source, path)
    finally:
        os.close(lock)
    return kept


def _read(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise NotFound(f"there is no store at {path}")
    try:
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    except sqlite3.Error as error:
        raise Unavailable(f"{path} can't be read: {error}") from error


def _files(path: Path) -> list[Path]:
    return [Path(f"{path}{ending}") for ending in _BESIDE]
