"""How many inotify instances and watches this host has, and who holds them.

When they run out, the kernel says "too many open files", which sends people looking at the wrong
limit (inotify(7), /proc/sys/fs/inotify). `host` words what is found here.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_LIMITS = Path("/proc/sys/fs/inotify")


@dataclass(frozen=True, slots=True)
class Inotify:
    """`usable`: one more instance could be had just now. `holders`: programs by instances held."""

    usable: bool = True
    instances: int = 0
    watches: int = 0
    used: int = 0
    holders: tuple[tuple[str, int], ...] = ()


def look() -> Inotify:
    """Try for one instance; only if that fails, or few are left, look who has them."""
    instances, watches = _limit("max_user_instances"), _limit("max_user_watches")
    usable = _try()
    held = _holders()
    return Inotify(usable, instances, watches, sum(held.values()), tuple(held.most_common(3)))


def _try() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    if fd < 0:
        return ctypes.get_errno() not in (errno.EMFILE, errno.ENFILE)
    os.close(fd)
    return True


def _limit(name: str) -> int:
    try:
        return int((_LIMITS / name).read_text())
    except (OSError, ValueError):
        return 0


def _holders() -> Counter[str]:
    """Instances of this user's processes by program: the limit counts by user."""
    found: Counter[str] = Counter()
    me = os.geteuid()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if process.stat().st_uid != me:
                continue
            held = sum(
                os.readlink(link.path) == "anon_inode:inotify"
                for link in os.scandir(process / "fd")
            )
            if held:
                found[(process / "comm").read_text().strip()] += held
        except OSError:
            continue  # it ended, or is not ours to look into
    return found
