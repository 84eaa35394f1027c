"""The files of an image to be: a tree in memory that names sources; `layouts` writes it out.

Nothing of the host's ownership or times is taken over: all belongs to root and is as old as the
epoch, so that the same files make the same image, bit by bit, on any machine.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pykubelet.bootstrap.images.elf import Libraries
from pykubelet.errors import Invalid

_MOST_LINKS = 40  # as the kernel: path_resolution(7)


@dataclass(frozen=True, slots=True)
class Folder:
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class File:
    source: Path | bytes
    mode: int = 0o644

    def size(self) -> int:
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    def read(self) -> bytes:
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


@dataclass(frozen=True, slots=True)
class Link:
    target: str  # as the symbolic link says it, absolute or relative


Entry = Folder | File | Link


class Tree:
    """Paths are absolute within the image; the leading slash may be left out. A later entry
    replaces an earlier one; parent folders are made as needed."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        """(path, entry), each folder before what is in it."""
        return iter(sorted(self._entries.items(), key=lambda item: item[0].split("/")))

    def __len__(self) -> int:
        return len(self._entries)

    # -- adding ------------------------------------------------------------------------------------

    def add_file(self, path: str, source: Path | bytes, mode: int | None = None) -> None:
        """`mode` is by default 0755 for what is executable on the host, else 0644."""
        if mode is None:
            executable = isinstance(source, Path) and source.stat().st_mode & 0o111
            mode = 0o755 if executable else 0o644
        self._put(path, File(source, mode))

    def add_folder(self, path: str, mode: int = 0o755) -> None:
        self._put(path, Folder(mode))

    def add_link(self, path: str, target: str) -> None:
        self._put(path, Link(target))

    def add_host_path(self, source: Path, path: str) -> None:
        """A file, or a folder with all below it; links stay links. What an image can't carry
        (devices, sockets, pipes) raises Invalid."""
        mode = source.lstat().st_mode
        if stat.S_ISLNK(mode):
            self.add_link(path, os.readlink(source))
        elif stat.S_ISREG(mode):
            self.add_file(path, source, stat.S_IMODE(mode))
        elif stat.S_ISDIR(mode):
            if posixpath.normpath(path) != "/":
                self.add_folder(path, stat.S_IMODE(mode))
            for child in sorted(source.iterdir()):
                self.add_host_path(child, posixpath.join(path, child.name))
        else:
            raise Invalid("only files, folders and links can go into an image", where=str(source))

    def add_libraries(self, libraries: Libraries | None = None) -> list[str]:
        """The shared libraries that the programs in the tree need, where they aren't in it yet.
        Returns the paths added. Raises Invalid naming a library that can't be found."""
        libraries = libraries or Libraries()
        added = []
        for _, entry in list(self):
            if not (isinstance(entry, File) and isinstance(entry.source, Path)):
                continue
            if not entry.mode & 0o111:
                continue
            for library in libraries.of(entry.source):
                if self.find(library.destination) is None:
                    self.add_file(library.destination, library.source, 0o755)
                    added.append(library.destination)
        return added

    def _put(self, path: str, entry: Entry) -> None:
        parent, name = posixpath.split(posixpath.normpath("/" + path.lstrip("/")))
        parent = self._follow(parent)
        missing = parent
        while missing != "/" and missing not in self._entries:
            self._entries[missing] = Folder()
            missing = posixpath.dirname(missing)
        if not name:
            raise Invalid("an image's root is always a folder", where=path)
        self._entries[posixpath.join(parent, name)] = entry

    # -- looking -----------------------------------------------------------------------------------

    def find(self, path: str) -> Entry | None:
        """What is at `path`, links followed, as a process in the container would find it."""
        return self._entries.get(self._follow(path))

    def _follow(self, path: str) -> str:
        """`path` with all links in it resolved; parts that don't exist stay as they are."""
        waiting = [part for part in reversed(path.split("/")) if part]
        done = "/"
        links = 0
        while waiting:
            part = waiting.pop()
            if part in (".", ".."):
                done = done if part == "." else posixpath.dirname(done)
                continue
            step = posixpath.join(done, part)
            entry = self._entries.get(step)
            if not isinstance(entry, Link):
                done = step
                continue
            links += 1
            if links > _MOST_LINKS:
                raise Invalid("too many symbolic links", where=path)
            if entry.target.startswith("/"):
                done = "/"
            waiting += [p for p in reversed(entry.target.split("/")) if p]
        return done
