"""The kernel's mount calls, and what it says about mounts: the only module here with ctypes in it.

Mounts are made with mount(2) and taken away with umount2(2); `open_beneath` is openat2(2), which
alone can walk a path that a container controls without ever leaving the folder it starts in. All
errors are OSError, with the path that was meant. Nothing is shelled out for.
Source: mount(2), umount2(2), openat2(2), mount_namespaces(7), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

#: The same number on every architecture: openat2 came after the tables were unified.
_SYS_OPENAT2 = 437
_AGAIN = 32  # tries while something else renames what is being walked


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo. `propagation` is `shared`, `slave`, `shared,slave` or `private`."""

    id: int
    parent: int
    root: str
    point: str
    filesystem: str
    propagation: str

    @property
    def is_shared(self) -> bool:
        return "shared" in self.propagation


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, path: str | Path) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return result


# -- making and taking away ---------------------------------------------------------------------


def mount(
    source: str, target: str | Path, filesystem: str, options: str = "", flags: int = 0
) -> None:
    """mount(2) as it is."""
    _checked(
        _libc().mount(
            os.fsencode(source),
            os.fsencode(target),
            os.fsencode(filesystem),
            ctypes.c_ulong(flags),
            os.fsencode(options),
        ),
        target,
    )


def bind(source: str | Path, target: str | Path, *, recursive: bool = False) -> None:
    """Make `source` appear at `target`, which is of the same kind (folder or not)."""
    mount(str(source), target, "", flags=MS_BIND | (MS_REC if recursive else 0))


def bind_descriptor(descriptor: int, target: str | Path) -> None:
    """Bind what an open descriptor refers to, whatever has become of its path since."""
    bind(f"/proc/self/fd/{descriptor}", target)


def set_propagation(target: str | Path, kind: int, *, recursive: bool = False) -> None:
    """`kind` is MS_SHARED, MS_SLAVE or MS_PRIVATE; `target` is a mount point."""
    mount("none", target, "", flags=kind | (MS_REC if recursive else 0))


def tmpfs(target: str | Path, *, size: int | None = None, flags: int = 0) -> None:
    """A tmpfs for everyone, of at most `size` bytes (half of the memory by default), never swapped
    out where the kernel (6.4 on) can promise that."""
    options = "mode=0777" + (f",size={size}" if size is not None else "")
    try:
        mount("tmpfs", target, "tmpfs", f"{options},noswap", flags)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        mount("tmpfs", target, "tmpfs", options, flags)


def detach(target: str | Path) -> None:
    """Take away the mount at `target` with all that is mounted below it, and only there.

    Where the mount came from, its own submounts stay: propagation is cut first. A process that
    still has a file open keeps the file system alive, unseen, until it lets go. Nothing mounted
    there counts as done.
    """
    try:
        set_propagation(target, MS_PRIVATE, recursive=True)
        _checked(_libc().umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW), target)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


# -- walking without leaving --------------------------------------------------------------------


def open_beneath(
    folder: int | str | Path, path: str, flags: int = os.O_PATH, *, resolve: int = 0, mode: int = 0
) -> int:
    """A descriptor of `path` below `folder`, which is a descriptor or a path of its own.

    Symbolic links are followed as long as every step stays inside. What leads out raises OSError
    with EXDEV; so does a mount point under RESOLVE_NO_XDEV. O_CLOEXEC is always set.
    """
    top = folder if isinstance(folder, int) else os.open(folder, os.O_PATH | os.O_DIRECTORY)
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve | RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    try:
        for attempt in range(_AGAIN):
            try:
                return _checked(
                    _libc().syscall(
                        ctypes.c_long(_SYS_OPENAT2),
                        ctypes.c_int(top),
                        os.fsencode(path),
                        ctypes.byref(how),
                        ctypes.c_size_t(ctypes.sizeof(how)),
                    ),
                    path,
                )
            except BlockingIOError:  # EAGAIN: a rename raced with `..`
                if attempt == _AGAIN - 1:
                    raise
        raise AssertionError("unreachable")
    finally:
        if top is not folder:
            os.close(top)


# -- what is mounted ----------------------------------------------------------------------------


def mounts_below(folder: str | Path) -> list[Mount]:
    """Mounts at or below `folder`, in the order in which they were stacked."""
    point, prefix, written = str(folder), f"{folder}/", _escaped(str(folder))
    # A node has ten mounts a pod: only lines that may matter are taken apart.
    found = (parse_mountinfo(line) for line in _table() if written in line)
    return [mount for mount in found if mount.point == point or mount.point.startswith(prefix)]


def mount_of(path: str | Path) -> Mount | None:
    """The mount that `path` (links resolved) lies on."""
    number = f"{_mount_id(os.path.realpath(path))} "
    return next((parse_mountinfo(line) for line in _table() if line.startswith(number)), None)


def _table() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return lines.readlines()


def is_mount_point(path: str | Path) -> bool:
    """Whether something is mounted exactly at `path`, not following a last link. False if absent.

    Told by the kernel's mount id, so a bind mount within one file system counts too.
    """
    try:
        return _mount_id(path) != _mount_id(os.path.dirname(os.path.abspath(path)))
    except FileNotFoundError:
        return False


def filesystem_of(path: str | Path) -> str:
    """The type of the file system mounted exactly at `path`, `""` where none is."""
    stacked = [mount for mount in mounts_below(path) if mount.point == str(path)]
    return stacked[-1].filesystem if stacked else ""


def _mount_id(path: str | Path) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        with open(f"/proc/self/fdinfo/{descriptor}") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name == "mnt_id":
                    return int(value)
    finally:
        os.close(descriptor)
    raise OSError(errno.ENOSYS, "the kernel does not tell mount ids", str(path))


_OCTAL = re.compile(r"\\([0-7]{3})")


def parse_mountinfo(line: str) -> Mount:
    """One line of /proc/PID/mountinfo; spaces and the like come escaped in octal."""
    left, _, right = line.partition(" - ")
    number, parent, _, root, point, _, *tags = left.split(" ")
    kinds = ",".join(
        name
        for name, tag in (("shared", "shared:"), ("slave", "master:"))
        if any(t.startswith(tag) for t in tags)
    )
    return Mount(
        id=int(number),
        parent=int(parent),
        root=_unescaped(root),
        point=_unescaped(point),
        filesystem=right.split(" ", 1)[0].strip(),
        propagation=kinds or "private",
    )


def _escaped(text: str) -> str:
    """As the kernel writes mount points: it escapes these four."""
    for character in "\\ \t\n":
        text = text.replace(character, f"\\{ord(character):03o}")
    return text


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
