"""Single figures of this host, straight from /proc and statfs.

What can't be read is left out or 0: the callers (`pressure`, `gathering`, `info`) know what to do
without. Sources: proc(5), statvfs(3).
"""

from __future__ import annotations

import os

from pykubelet.kubelet.node.figures import Filesystem, Interface


def meminfo(proc: str = "/proc") -> dict[str, int]:
    """/proc/meminfo in bytes; empty if there is none."""
    try:
        with open(f"{proc}/meminfo") as file:
            fields = [line.split() for line in file]
    except OSError:
        return {}
    return {f[0].rstrip(":"): int(f[1]) * 1024 for f in fields if len(f) == 3}


def tasks(proc: str = "/proc") -> int:
    """All processes and threads there are now."""
    try:
        with open(f"{proc}/loadavg") as file:
            # 0.20 0.18 0.12 1/80 11206: the running ones, and all
            return int(file.read().split()[3].partition("/")[2])
    except (OSError, IndexError, ValueError):
        return 0


def max_pids(proc: str = "/proc") -> int:
    """How many processes and threads the kernel can tell apart: the lesser of its two bounds."""
    found = []
    for name in ("pid_max", "threads-max"):
        try:
            with open(f"{proc}/sys/kernel/{name}") as file:
                found.append(int(file.read()))
        except (OSError, ValueError):
            continue
    return min(found, default=0)


def filesystem(folder: str) -> Filesystem | None:
    """The file system that a folder is on; None if there is no such folder here."""
    try:
        stat = os.statvfs(folder)
    except OSError:
        return None
    return Filesystem(
        capacity=stat.f_blocks * stat.f_frsize,
        available=stat.f_bavail * stat.f_frsize,
        used=(stat.f_blocks - stat.f_bfree) * stat.f_frsize,
        inodes=stat.f_files,
        inodes_free=stat.f_ffree,
    )


def interfaces(path: str) -> tuple[Interface, ...]:
    """The counters of a network namespace from its net/dev (proc(5)), without the loopback."""
    try:
        with open(path) as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return ()
    found = []
    for line in lines:
        name, _, rest = line.partition(":")
        if name.strip() == "lo":
            continue
        n = [int(word) for word in rest.split()]
        found.append(Interface(name.strip(), *n[0:4], *n[8:12]))
    return tuple(found)
