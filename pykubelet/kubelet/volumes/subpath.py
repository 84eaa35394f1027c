"""subPath: one path within a volume, without letting the volume's content choose another.

Whoever writes into a volume may put links into it, and swap them at any moment. So the path is
walked by the kernel inside the volume (`mounts.open_beneath`), missing folders are made one by one
at descriptors, and what was found is bind-mounted by its descriptor to a place of the agent's own:
what the runtime is then told to mount can't be exchanged any more. Links that stay inside are fine.
What failed is logged in full, but a pod is told only that it failed: the detail could be about the
node's files. Source: CVE-2017-1002101, CVE-2021-25741; VolumeMount in the API reference.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

from pykubelet.kubelet.volumes import layout, mounts

log = logging.getLogger(__name__)


class Refused(Exception):
    """The path can't be used; the sentence is fit for the pod's owner."""


def check(path: str) -> None:
    """Raise Refused for a path that no volume could hold."""
    if path.startswith("/"):
        raise Refused(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise Refused(f"unable to provision SubPath `{path}`: must not contain '..'")
    if "\0" in path:
        raise Refused(f"unable to provision SubPath {path!r}: must not contain NUL")


def bind(volume: str, path: str, target: Path, *, shared: bool = False) -> None:
    """Make `path` within the folder `volume` appear at `target`, a path of the agent's own.

    Missing folders are made with the mode of the volume's top. An earlier bind of the same thing
    is kept, of another thing replaced. Mounts that appear below the source later are seen at
    `target`; mounts made at `target` reach the source only where `shared`.

    Raises Refused, or OSError where the path leads out (EXDEV) or can't be had.
    """
    check(path)
    source = _open(volume, path)
    try:
        found = os.fstat(source)
        if mounts.is_mount_point(target) and not os.path.samestat(found, os.lstat(target)):
            mounts.detach(target)
        if not mounts.is_mount_point(target):
            _make_target(target, folder=stat.S_ISDIR(found.st_mode))
            mounts.bind_descriptor(source, target)
        if not shared:
            mounts.set_propagation(target, mounts.MS_SLAVE)
    finally:
        os.close(source)


def read(volume: str, path: str, limit: int) -> bytes:
    """The content of the file at `path` within the folder `volume`.

    Raises OSError where it leads out, is no plain file (a pipe would block, a device might act), or
    is larger than `limit` bytes.
    """
    found = mounts.open_beneath(volume, path)
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a plain file", path)
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
        with open(f"/proc/self/fd/{found}", "rb") as file:
            return file.read(limit)
    finally:
        os.close(found)


def _open(volume: str, path: str) -> int:
    """A descriptor of what is at `path`, made as a folder if nothing is. Raises OSError."""
    top = os.open(volume, os.O_PATH | os.O_DIRECTORY)
    try:
        try:
            return mounts.open_beneath(top, path)
        except FileNotFoundError:
            _make_folders(top, path)
        return mounts.open_beneath(top, path)
    finally:
        os.close(top)


def _make_folders(top: int, path: str) -> None:
    mode = stat.S_IMODE(os.fstat(top).st_mode)
    items = [item for item in path.split("/") if item not in ("", ".")]
    here, rest = _deepest(top, items)
    try:
        for item in rest:
            try:
                os.mkdir(item, 0o700, dir_fd=here)
                made = True
            except FileExistsError:
                made = False  # somebody was faster
            below = os.open(item, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
            if made:
                os.fchmod(here, mode)  # as wide as the volume itself, whatever the umask
    finally:
        os.close(here)


def _deepest(top: int, items: list[str]) -> tuple[int, list[str]]:
    """The deepest folder of the path that there is, and the items that are missing below it."""
    for count in range(len(items) - 1, 0, -1):
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY
            return mounts.open_beneath(top, "/".join(items[:count]), flags), items[count:]
        except FileNotFoundError:
            continue
    return mounts.open_beneath(top, ".", os.O_RDONLY | os.O_DIRECTORY), items


def _make_target(target: Path, *, folder: bool) -> None:
    """Something of the right kind to mount on. What an earlier, different one left is replaced."""
    layout.make(target.parent)
    try:
        if folder != stat.S_ISDIR(target.lstat().st_mode):
            target.unlink() if folder else target.rmdir()
    except FileNotFoundError:
        pass
    if folder:
        target.mkdir(exist_ok=True, mode=0o750)
    else:
        target.touch(mode=0o640)


def explain(error: OSError, volume: str, path: str) -> None:
    """Log what really happened; pods are told less."""
    why = "it leads out of the volume" if error.errno == errno.EXDEV else str(error)
    log.warning("subPath %r of %s can't be used: %s", path, volume, why)
