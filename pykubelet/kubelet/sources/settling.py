"""When is a file in the manifest folder worth reading? Pure.

Editors write, rename, link and leave backups about; a copy may take seconds. The rules: names that
no person means as a manifest are ignored; a file that was closed after writing or moved into place
is whole and read at once; one that was only seen to appear or to grow is read when it has not
changed for a second.
"""

from __future__ import annotations

import fnmatch

#: Seconds without a change after which a file that nobody closed counts as whole.
SETTLED_AFTER = 1.0

_IGNORED = (".*", "*~", "#*#", "*.swp", "*.swo", "*.swx", "*.bak", "*.orig", "*.rej", "*.tmp",
            "*.dpkg-*", "*.rpmnew", "*.rpmsave", "*.part", "4913")  # fmt: skip


def is_ignored(name: str) -> bool:
    """Dot files, editors' backup and swap files, and what package managers leave behind."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _IGNORED)


class Settling:
    """Which files to read, and when. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def whole(self, path: str, now: float) -> None:
        """The writer has closed it, or it was moved here, or it is gone."""
        self._due[path] = now

    def changing(self, path: str, now: float) -> None:
        """It appeared or grew, and may go on doing so."""
        self._due[path] = now + SETTLED_AFTER

    def take(self, now: float) -> list[str]:
        """The files that are due, once each."""
        due = sorted(path for path, at in self._due.items() if at <= now)
        for path in due:
            del self._due[path]
        return due

    def when(self, path: str) -> float | None:
        """When this file is going to be read, or None where nothing is known to have changed."""
        return self._due.get(path)

    def next(self) -> float | None:
        return min(self._due.values(), default=None)
