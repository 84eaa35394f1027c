"""The daemons' log files: appended to by the daemons themselves, turned over here.

A daemon writes to its file, not to a pipe of ours, so it outlives the supervisor. The price is
that a full file is copied and then emptied, like logrotate's copytruncate: lines written between
the two moments are lost, which a pause of milliseconds every 10 MB is worth.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LARGEST = 10 << 20
KEPT = 3


def open_for_append(path: Path) -> int:
    """A file descriptor that a child may inherit as its output."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def turn_over(path: Path, largest: int = LARGEST, kept: int = KEPT) -> bool:
    """Where `path` has outgrown `largest` bytes, keep it as `path.1` (older ones move up, the
    oldest goes) and empty it. Whether it did."""
    if not path.exists() or path.stat().st_size <= largest:
        return False
    for number in range(kept, 1, -1):
        older = path.with_name(f"{path.name}.{number - 1}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True
