"""hostPath: a file or folder of the node itself, checked for its kind, and never cleaned up.

Source: HostPathVolumeSource in the API reference; the kinds' words are upstream's.
"""

from __future__ import annotations

import os
import stat

from pykubelet.kubelet.volumes.model import Mounted, Volume, VolumeType

#: Kind by type: how it is called, and the test of st_mode.
_KINDS = {
    "Directory": ("directory", stat.S_ISDIR),
    "File": ("file", stat.S_ISREG),
    "Socket": ("socket file", stat.S_ISSOCK),
    "CharDevice": ("character device", stat.S_ISCHR),
    "BlockDevice": ("block device", stat.S_ISBLK),
}


def set_up(volume: Volume) -> Mounted:
    path = volume.source.get("path") or ""
    if ".." in path.split("/"):
        raise volume.error(
            f"invalid HostPath `{path}`: must not contain '..'", waiting_may_help=False
        )
    wanted = volume.source.get("type") or ""
    if wanted:
        _check(volume, path, wanted)
    return Mounted(path=path, owned=False)


def _check(volume: Volume, path: str, wanted: str) -> None:
    kind = wanted.removesuffix("OrCreate")
    if kind not in _KINDS or (wanted != kind and kind not in ("Directory", "File")):
        raise volume.error(f"{wanted} is an invalid volume type", waiting_may_help=False)
    try:
        if wanted != kind and not os.path.exists(path):
            _create(path, kind)
        found = os.stat(path)
    except FileNotFoundError:
        raise volume.error(f"hostPath {path} doesn't exist") from None
    except OSError as error:
        raise volume.error(f"hostPath {path}: {error.strerror}") from error
    word, is_kind = _KINDS[kind]
    if not is_kind(found.st_mode):
        raise volume.error(
            f"hostPath type check failed: {path} is not a {word}, it's a {_kind(found.st_mode)}"
        )


def _create(path: str, kind: str) -> None:
    if kind == "Directory":
        os.makedirs(path, mode=0o755, exist_ok=True)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _kind(mode: int) -> str:
    return next((name for name, (_, is_kind) in _KINDS.items() if is_kind(mode)), "something else")


TYPE = VolumeType("hostPath", "kubernetes.io~host-path", set_up=set_up)
