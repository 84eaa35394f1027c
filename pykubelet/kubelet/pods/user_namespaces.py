"""Which host IDs the users of a pod with `hostUsers: false` are (KEP-127).

Each such pod gets a range of 65536 IDs of its own above the host's. The range is written into the
pod's folder before its sandbox is made, so that a restarted agent gives it to nobody else; it is
free again when the folder is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from pykubelet.errors import Failed

#: IDs of one pod, and what every range starts at a multiple of.
LENGTH = 65536
#: Ranges that fit below 2^32; the first belongs to the host.
RANGES = 65535

_FILE = "userns"


def lowest_free(taken: Iterable[int]) -> int | None:
    """The lowest range number from 1 on that is not taken, or None."""
    used = set(taken)
    return next((n for n in range(1, RANGES) if n not in used), None)


def id_mappings(range_: tuple[int, int] | None) -> tuple[dict[str, int], ...]:
    """CRI's IDMappings for a pod's range (first host ID, length); none without a namespace."""
    if range_ is None:
        return ()
    return ({"container_id": 0, "host_id": range_[0], "length": range_[1]},)


class UserNamespaces:
    """`pods` is the folder that holds one folder for each pod."""

    def __init__(self, pods: Path) -> None:
        self._pods = pods
        self._lock = threading.Lock()

    def range_of(self, uid: str) -> tuple[int, int]:
        """(first host ID, length) for this pod; the same for as long as it exists."""
        with self._lock:
            mine = self._read(self._pods / uid / _FILE)
            if mine is None:
                taken = [n for f in self._pods.glob(f"*/{_FILE}") if (n := self._read(f))]
                mine = lowest_free(taken)
                if mine is None:
                    raise Failed("no range of host IDs is left for a user namespace")
                self._write(self._pods / uid / _FILE, mine)
            return mine * LENGTH, LENGTH

    def _read(self, file: Path) -> int | None:
        try:
            return int(file.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _write(self, file: Path, number: int) -> None:
        part = file.with_suffix(".part")
        part.write_text(str(number))
        part.rename(file)
