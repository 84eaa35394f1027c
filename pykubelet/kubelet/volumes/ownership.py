"""fsGroup: giving a volume's files to a group that all containers of the pod are in.

Files become readable and writable for the group (readable only, on a read-only volume), folders
also keep new files in it by their setgid bit. Children come before their folders and the top comes
last, so that a top that looks right means that all below it was done: that is what the policy
OnRootMismatch goes by. Links are never followed: the volume may be in use by hostile containers.
Source: KEP-695, PodSecurityContext in the API reference.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pykubelet.kubelet.volumes import mounts

_WRITABLE = 0o660
_READABLE = 0o440
_SEARCHABLE = 0o110


def give_to_group(
    folder: Path, group: int | None, *, read_only: bool = False, policy: str = "Always"
) -> None:
    """Apply `group` to `folder` and all below it; nothing for None. Raises OSError."""
    if group is None:
        return
    bits = _READABLE if read_only else _WRITABLE
    top = folder.stat()
    if policy == "OnRootMismatch" and _fits(top, group, bits):
        return
    below = [""]
    for path in below:  # grows while it is walked: a folder comes before what lies in it
        below.extend(_give_files(folder, path, group, bits))
    for path in reversed(below):
        with _Folder(folder, path) as descriptor:
            _give(f"/proc/self/fd/{descriptor}", os.fstat(descriptor), group, bits)


def give_folder(folder: Path, group: int | None) -> None:
    """The same for `folder` alone, whatever is in it."""
    if group is not None:
        with _Folder(folder, "") as descriptor:
            _give(f"/proc/self/fd/{descriptor}", os.fstat(descriptor), group, _WRITABLE)


def _fits(found: os.stat_result, group: int, bits: int) -> bool:
    wanted = bits | (_SEARCHABLE | stat.S_ISGID if stat.S_ISDIR(found.st_mode) else 0)
    return found.st_gid == group and found.st_mode & wanted == wanted


class _Folder:
    """The folder at `path` below `top`, opened without following a link anywhere."""

    def __init__(self, top: Path, path: str) -> None:
        self.top, self.path, self.descriptor = top, path, -1

    def __enter__(self) -> int:
        if self.path:
            self.descriptor = mounts.open_beneath(
                self.top,
                self.path,
                os.O_RDONLY | os.O_DIRECTORY,
                resolve=mounts.RESOLVE_NO_SYMLINKS,
            )
        else:
            self.descriptor = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY)
        return self.descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def _give_files(top: Path, path: str, group: int, bits: int) -> list[str]:
    """Everything in one folder that is not a folder; the folders' paths are returned."""
    folders: list[str] = []
    try:
        opened = _Folder(top, path)
        descriptor = opened.__enter__()
    except (FileNotFoundError, NotADirectoryError):
        return folders  # gone meanwhile
    try:
        for name in os.listdir(descriptor):
            try:
                inode = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=descriptor)
            except FileNotFoundError:
                continue
            try:
                found = os.fstat(inode)
                if stat.S_ISDIR(found.st_mode):
                    folders.append(f"{path}/{name}" if path else name)
                elif stat.S_ISLNK(found.st_mode):
                    os.chown(name, -1, group, dir_fd=descriptor, follow_symlinks=False)
                else:
                    _give(f"/proc/self/fd/{inode}", found, group, bits)
            finally:
                os.close(inode)
    finally:
        os.close(descriptor)
    return folders


def _give(path: str, found: os.stat_result, group: int, bits: int) -> None:
    """`path` leads to the very inode that `found` describes, whatever its name is by now."""
    if _fits(found, group, bits):
        return
    if stat.S_ISDIR(found.st_mode):
        bits |= _SEARCHABLE | stat.S_ISGID
    os.chown(path, -1, group)  # may clear setuid and setgid, so the mode comes after it
    os.chmod(path, stat.S_IMODE(found.st_mode) | bits)
