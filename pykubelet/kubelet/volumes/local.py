"""local: a folder or block device of this node, given out by a PersistentVolume.

The path itself is handed to the runtime: nothing is mounted on its behalf, so nothing is to be
taken away, and its content is never touched but for fsGroup. `claim` leads here.
Source: LocalVolumeSource in the API reference.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pykubelet.kubelet.volumes.model import Mounted, Volume, security_context
from pykubelet.kubelet.volumes.ownership import give_to_group


def set_up(volume: Volume) -> Mounted:
    path = volume.source.get("path") or ""
    if not path.startswith("/") or ".." in path.split("/"):
        raise volume.error(f"invalid local path: {path}", waiting_may_help=False)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise volume.error(f'local volume path "{path}": {error.strerror}') from error
    if volume.source.get("volumeMode") == "Block":
        if not stat.S_ISBLK(mode):
            raise volume.error(f'local volume path "{path}" is not a block device')
        return Mounted(device=os.path.realpath(path), owned=False)
    if not stat.S_ISDIR(mode):
        raise volume.error(
            f'local volume path "{path}" is not a directory; a block device has to be formatted '
            "and mounted on this node first"
        )
    policy = security_context(volume.pod).get("fsGroupChangePolicy") or "Always"
    give_to_group(Path(path), volume.fs_group, policy=policy)
    return Mounted(path=path, owned=False)
