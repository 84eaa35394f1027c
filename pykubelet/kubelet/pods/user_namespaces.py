"""Which host IDs the users of a pod with `hostUsers: false` are (KEP-127).

Each such pod gets a range of IDs of its own above the host's, 65536 or as many as configured. The
range is written into the pod's folder before its sandbox is made, so that a restarted agent gives
it to nobody else; it is free again when the folder is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from pykubelet.errors import Failed

#: IDs of one pod, unless the node is told otherwise, and what every range starts at a multiple of.
LENGTH = 65536
#: Where IDs end; the very last is no ID (user_namespaces(7)), so the range with it stays unused.
END = 2**32

_FILE = "userns"

Range = tuple[int, int]
"""The first host ID, and how many there are."""


def lowest_free(taken: Iterable[Range], length: int = LENGTH) -> Range | None:
    """The lowest range of that length that overlaps none, or None. The host's own IDs are those
    below LENGTH."""
    first = LENGTH
    for begin, count in sorted(taken):
        if first + length <= begin:
            break
        first = max(first, -(-(begin + count) // LENGTH) * LENGTH)
    return (first, length) if first + length < END else None


def id_mappings(range_: Range | None) -> tuple[dict[str, int], ...]:
    """CRI's IDMappings for a pod's range (first host ID, length); none without a namespace."""
    if range_ is None:
        return ()
    return ({"container_id": 0, "host_id": range_[0], "length": range_[1]},)


class UserNamespaces:
    """`pods` is the folder that holds one folder for each pod, `length` the IDs of each new pod, a
    multiple of LENGTH."""

    def __init__(self, pods: Path, length: int = LENGTH) -> None:
        self._pods = pods
        self._length = length
        self._lock = threading.Lock()

    def range_of(self, uid: str) -> Range:
        """This pod's range; the same for as long as it exists."""
        with self._lock:
            mine = self._read(self._pods / uid / _FILE)
            if mine is None:
                taken = [r for f in self._pods.glob(f"*/{_FILE}") if (r := self._read(f))]
                mine = lowest_free(taken, self._length)
                if mine is None:
                    raise Failed("no range of host IDs is left for a user namespace")
                self._write(self._pods / uid / _FILE, mine)
            return mine

    def _read(self, file: Path) -> Range | None:
        try:
            first, length = map(int, file.read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        return first, length

    def _write(self, file: Path, mine: Range) -> None:
        part = file.with_suffix(".part")
        part.write_text(f"{mine[0]} {mine[1]}")
        part.rename(file)
