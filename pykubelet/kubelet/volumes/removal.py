"""Taking a pod's folder away, whatever its containers have left in it, and nothing else.

Two dangers decide how: a bind mount below the folder leads to somebody else's files, and what a
container made may be nested deeper than any recursion goes. So mounts go first, cut off from where
they came from; then files are removed by descriptors that refuse to cross a mount or follow a link,
and folders are flattened: what is not empty has its folders moved up to the top before it goes, so
the walk is never deeper than two. A crash in between leaves less to do.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pykubelet.kubelet.volumes import mounts


def remove(folder: Path) -> None:
    """Unmount everything at and below `folder`, then remove it with its content. Idempotent.

    Raises OSError where something can't be removed (an immutable file, a mount made meanwhile).
    """
    unmount_below(folder)
    try:
        parent = os.open(folder.parent, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        _remove_at(parent, folder.name)
    finally:
        os.close(parent)


def unmount_below(folder: Path) -> None:
    """Take away every mount at and below `folder`, the lowest first taking those above with it."""
    # Several may be stacked on one point, each hiding the one before it.
    before = None
    while (points := _outermost(folder)) and points != before:
        before = points
        for point in points:
            mounts.detach(point)


def _outermost(folder: Path) -> list[str]:
    found: list[str] = []
    for mount in sorted(mounts.mounts_below(folder), key=lambda m: m.point):
        if not (found and (mount.point == found[-1] or mount.point.startswith(f"{found[-1]}/"))):
            found.append(mount.point)
    return found


def _remove_at(parent: int, name: str) -> None:
    if _unlinked(parent, name):
        return
    with _opened(parent, name) as top:
        flattened = 0
        while entries := os.listdir(top):
            for entry in entries:
                if _unlinked(top, entry):
                    continue
                with _opened(top, entry) as below:
                    for inner in os.listdir(below):
                        if _unlinked(below, inner):
                            continue
                        flattened += 1
                        _move_up(below, inner, top, f".removing-{os.getpid()}-{flattened}")
    os.rmdir(name, dir_fd=parent)


def _unlinked(parent: int, name: str) -> bool:
    """Remove a file, a link or an empty folder; False for a folder with something in it."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except (IsADirectoryError, PermissionError) as error:
        # POSIX lets unlink say EPERM for a folder.
        if isinstance(error, PermissionError) and not _is_folder(parent, name):
            raise
    else:
        return True
    try:
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _is_folder(parent: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _move_up(parent: int, name: str, top: int, new: str) -> None:
    """A leftover of an earlier try may hold the new name: then another one is found."""
    suffix = 0
    while True:
        try:
            os.rename(name, f"{new}-{suffix}", src_dir_fd=parent, dst_dir_fd=top)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            suffix += 1
        else:
            return


@contextmanager
def _opened(parent: int, name: str) -> Iterator[int]:
    """The folder `name` in `parent`, itself: no link, no mount point (OSError with EXDEV)."""
    descriptor = mounts.open_beneath(
        parent,
        name,
        os.O_RDONLY | os.O_DIRECTORY,
        resolve=mounts.RESOLVE_NO_XDEV | mounts.RESOLVE_NO_SYMLINKS,
    )
    try:
        yield descriptor
    finally:
        os.close(descriptor)
