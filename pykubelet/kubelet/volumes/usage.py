"""How much room a volume takes: bytes and inodes, as eviction and stats ask.

A folder is walked like `du -x`: blocks that are allocated, a hard link counted once, other mounts
left out. What vanishes meanwhile is not counted.
"""

from __future__ import annotations

import os
from pathlib import Path

from pykubelet.kubelet.volumes import mounts

_BLOCK = 512  # st_blocks counts these, whatever the file system's own are


def of(folder: Path) -> tuple[int, int]:
    """Bytes and inodes used. A file system of its own is asked, anything else walked."""
    if mounts.is_mount_point(folder):
        whole = os.statvfs(folder)
        return (whole.f_blocks - whole.f_bfree) * whole.f_frsize, whole.f_files - whole.f_ffree
    top = os.lstat(folder)
    total, seen = top.st_blocks * _BLOCK, {(top.st_dev, top.st_ino)}
    waiting = [str(folder)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if found.st_dev != top.st_dev or (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * _BLOCK
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    return total, len(seen)
