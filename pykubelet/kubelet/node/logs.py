"""The containers' log files: where they are, how they are rotated, the links to them.

The runtime writes them in the CRI format; their place, their size and their end are the agent's
work. `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<attempt>.log` is what the runtime is told,
`/var/log/containers/<pod>_<namespace>_<container>-<id>.log` is a link that log collectors read.
A look costs one stat a file, and happens at most every `containerLogMonitorInterval`.
Rotation: the file is renamed with a timestamp, the runtime opens a new one, older ones are
compressed and the oldest removed.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pykubelet.errors import PykubeletError

log = logging.getLogger(__name__)

Json = dict[str, Any]

POD_LOGS = "/var/log/pods"
LINKS = "/var/log/containers"

_TIMESTAMP = "%Y%m%d-%H%M%S"
_COMPRESSED, _UNFINISHED = ".gz", ".tmp"


def pod_folder(pod: Json, root: str = POD_LOGS) -> str:
    """The folder of a pod's logs: CRI's log_directory."""
    metadata = pod["metadata"]
    return f"{root}/{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"


def container_file(container: str, attempt: int) -> str:
    """Below the pod's folder: CRI's log_path."""
    return f"{container}/{attempt}.log"


def link_name(pod: Json, container: str, id: str) -> str:
    """As log collectors take it apart. Cut where it would not fit a file name, as upstream does."""
    metadata = pod["metadata"]
    suffix = f"-{id}.log"
    stem = f"{metadata['name']}_{metadata['namespace']}_{container}"
    return stem[: 255 - len(suffix)] + suffix


def make_link(pod: Json, container: str, id: str, log_file: str, links: str = LINKS) -> None:
    """Link to a container's log. The log may not be there yet. Failing only costs the link."""
    try:
        os.makedirs(links, mode=0o755, exist_ok=True)
        link = os.path.join(links, link_name(pod, container, id))
        if os.path.islink(link):
            if os.readlink(link) == log_file:
                return
            os.unlink(link)
        os.symlink(log_file, link)
    except OSError as error:
        log.warning("no link to the log of container %s: %s", id, error)


def remove_dead_links(alive: Iterable[str], links: str = LINKS) -> int:
    """Remove links that lead nowhere, but for containers in `alive` (ids): between the two steps
    of a rotation a live one's log is missing for a moment. How many were removed."""
    keep = frozenset(alive)
    removed = 0
    try:
        names = os.listdir(links)
    except FileNotFoundError:
        return 0
    for name in names:
        link = os.path.join(links, name)
        id = name.removesuffix(".log").rpartition("-")[2]
        if not os.path.islink(link) or os.path.exists(link) or id in keep:
            continue
        try:
            os.unlink(link)
            removed += 1
        except FileNotFoundError:
            continue
    return removed


class Rotation:
    """Keeps running containers' logs within `max_size` bytes and `max_files` files.

    `reopen(id)` is the runtime's ReopenContainerLog. `rotate` belongs on a thread of its own: it
    may compress.
    """

    def __init__(
        self,
        reopen: Callable[[str], None],
        max_size: int = 10 * 2**20,
        max_files: int = 5,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reopen = reopen
        self.max_size = max_size
        self.max_files = max_files
        self._now = now

    def rotate(self, logs: Mapping[str, str]) -> list[str]:
        """Rotate those of the running containers' logs (id → path) that are too big; their ids.

        One that fails is logged, is as it was, and doesn't keep the others.
        """
        done: list[str] = []
        for id, path in logs.items():
            try:
                if os.stat(path).st_size < self.max_size:
                    continue
                self._rotate(id, path)
                done.append(id)
            except FileNotFoundError:
                continue  # not begun, or removed meanwhile
            except (OSError, PykubeletError) as error:
                log.warning("the log of container %s can't be rotated: %s", id, error)
        return done

    def _rotate(self, id: str, path: str) -> None:
        older = self._tidy(path)
        # Two of the files are the one being written and the one that just was.
        surplus = len(older) - (self.max_files - 2)
        for name in older[: max(surplus, 0)]:
            os.unlink(name)
        for name in older[max(surplus, 0) :]:
            if not name.endswith(_COMPRESSED):
                _compress(name)
        rotated = self._free_name(path)
        os.rename(path, rotated)
        try:
            self._reopen(id)
        except PykubeletError:
            os.rename(rotated, path)  # the runtime writes into it still
            raise

    def _free_name(self, path: str) -> str:
        stamp = self._now().strftime(_TIMESTAMP)
        rotated, number = f"{path}.{stamp}", 0
        while os.path.exists(rotated) or os.path.exists(rotated + _COMPRESSED):
            number += 1  # twice within a second
            rotated = f"{path}.{stamp}-{number}"
        return rotated

    def _tidy(self, path: str) -> list[str]:
        """Earlier rotations of this log, oldest first. What an interrupted compression left behind
        is removed: an unfinished copy, or the original beside its finished copy."""
        folder, name = os.path.split(path)
        found: set[str] = set()
        for entry in os.listdir(folder):
            if not entry.startswith(f"{name}."):
                continue
            if entry.endswith(_UNFINISHED):
                os.unlink(os.path.join(folder, entry))
            else:
                found.add(os.path.join(folder, entry))
        for entry in [e for e in found if e + _COMPRESSED in found]:
            os.unlink(entry)
            found.discard(entry)
        return sorted(found, key=lambda entry: entry.removesuffix(_COMPRESSED))


def _compress(name: str) -> None:
    """Into name.gz, at no moment without a whole copy."""
    unfinished = name + _UNFINISHED
    with open(name, "rb") as source, gzip.open(unfinished, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    os.chmod(unfinished, os.stat(name).st_mode & 0o777)
    os.rename(unfinished, name + _COMPRESSED)
    os.unlink(name)


def size_of(folder: str | Path) -> int:
    """Bytes on disk of all logs below a pod's or container's folder."""
    total = 0
    for parent, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.lstat(os.path.join(parent, file)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
