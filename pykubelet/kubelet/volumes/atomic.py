"""A folder whose files change all at once: what ConfigMaps, Secrets and the like are mounted as.

    <folder>/key        -> ..data/key
    <folder>/..data     -> ..2026_11_21_10_00_00.x1y2z3
    <folder>/..2026_11_21_10_00_00.x1y2z3/key

A new generation is written beside the old one, then `..data` is swung over by one rename: readers
see either all of the old or all of the new. Programs may watch `..data`. What a crash left behind
is tidied by the next write. Names that start with `..` belong to this scheme, which is upstream's.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from pykubelet.kubelet.volumes.model import File, Payload

DATA = "..data"
_NEXT = "..data_tmp"
_MAX_PATH = 4096
_MAX_NAME = 255


def check_path(path: str) -> str:
    """`path` in its plainest form, if it may name a file of a payload. Raises ValueError."""
    if not path:
        raise ValueError("invalid path: must not be empty")
    if "\0" in path:
        raise ValueError(f"invalid path: must not contain NUL: {path!r}")
    if path.startswith("/"):
        raise ValueError(f"invalid path: must be relative path: {path}")
    if len(os.fsencode(path)) > _MAX_PATH:
        raise ValueError(f"invalid path: must be less than or equal to {_MAX_PATH} characters")
    items = path.split("/")
    if ".." in items:
        raise ValueError(f"invalid path: must not contain '..': {path}")
    if items[0].startswith(".."):
        raise ValueError(f"invalid path: must not start with '..': {path}")
    if any(len(os.fsencode(item)) > _MAX_NAME for item in items):
        raise ValueError(
            f"invalid path: filenames must be less than or equal to {_MAX_NAME} characters"
        )
    clean = os.path.normpath(path)
    if clean == ".":
        raise ValueError(f"invalid path: must name a file: {path}")
    if clean.startswith(".."):  # `./..x`
        raise ValueError(f"invalid path: must not start with '..': {path}")
    return clean


def write(folder: Path, payload: Payload, *, group: int | None = None) -> bool:
    """Make `folder`, which exists, show exactly `payload`; True if that was a change.

    `group` (the pod's fsGroup) owns every file and may read it. Raises ValueError for paths that
    can't be, before anything is touched; OSError where the disk refuses.
    """
    files = _checked(payload, group)
    old = _generation(folder)
    changed = old is None or _read(folder / old) != _expected(files, group)
    current = _new_generation(folder, files, group) if changed or old is None else old
    _tidy(folder, {path.partition("/")[0] for path in files}, current)
    return changed


def _checked(payload: Payload, group: int | None) -> dict[str, File]:
    readable = 0o440 if group is not None else 0
    files = {
        check_path(path): File(file.data, file.mode | readable, file.uid)
        for path, file in payload.items()
    }
    for path in files:
        for parent in _parents(path):
            if parent in files:
                raise ValueError(f"invalid path: {path} lies below {parent}, which is a file")
    return files


def _parents(path: str) -> list[str]:
    items = path.split("/")
    return ["/".join(items[:count]) for count in range(1, len(items))]


def _generation(folder: Path) -> str | None:
    """The name of the folder that `..data` shows, None where there is none."""
    try:
        name = os.readlink(folder / DATA)
    except OSError:
        return None
    return name if (folder / name).is_dir() else None


# -- comparing: one entry a path, `(mode, uid, gid, content)`, with None for a folder's content ---

_Entry = tuple[int, int, int, bytes | None]


def _expected(files: dict[str, File], group: int | None) -> dict[str, _Entry]:
    gid = os.getegid() if group is None else group
    mine = os.geteuid()
    entries: dict[str, _Entry] = {
        path: (file.mode, mine if file.uid is None else file.uid, gid, file.data)
        for path, file in files.items()
    }
    for path in files:
        for parent in _parents(path):
            entries[parent] = (_folder_mode(group), mine, gid, None)
    return entries


def _read(generation: Path) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for folder, folders, names in os.walk(generation):
        for name in (*folders, *names):
            path = Path(folder, name)
            found = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(found.st_mode) else None
            entries[str(path.relative_to(generation))] = (
                stat.S_IMODE(found.st_mode),
                found.st_uid,
                found.st_gid,
                content,
            )
    return entries


# -- writing ------------------------------------------------------------------------------------


def _folder_mode(group: int | None) -> int:
    return 0o755 if group is None else 0o2755


def _new_generation(folder: Path, files: dict[str, File], group: int | None) -> str:
    import time

    stamp = time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime())
    generation = Path(tempfile.mkdtemp(prefix=stamp, dir=folder))
    try:
        _fill(generation, files, group)
        upcoming = folder / _NEXT
        upcoming.unlink(missing_ok=True)
        upcoming.symlink_to(generation.name)
        upcoming.rename(folder / DATA)
    except OSError:
        # The disk is full, perhaps: no half a generation is to make that worse.
        shutil.rmtree(generation, ignore_errors=True)
        raise
    return generation.name


def _fill(generation: Path, files: dict[str, File], group: int | None) -> None:
    made: set[Path] = set()
    _own(generation, _folder_mode(group), None, group)
    for path, file in files.items():
        target = generation / path
        for parent in _parents(path):
            if generation / parent not in made:
                (generation / parent).mkdir()
                _own(generation / parent, _folder_mode(group), None, group)
                made.add(generation / parent)
        # Nobody reads it before it has its final mode: the generation is not shown yet, but its
        # folder is.
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as out:
            out.write(file.data)
        _own(target, file.mode, file.uid, group)


def _own(path: Path, mode: int, uid: int | None, group: int | None) -> None:
    if uid is not None or group is not None:
        os.chown(path, -1 if uid is None else uid, -1 if group is None else group)
    path.chmod(mode)


def _tidy(folder: Path, visible: set[str], current: str) -> None:
    """Show every top name, hide what is gone, and take away all generations but the current."""
    for name in visible:
        link, wanted = folder / name, f"{DATA}/{name}"
        try:
            if os.readlink(link) == wanted:
                continue
            link.unlink()
        except FileNotFoundError:
            pass
        link.symlink_to(wanted)
    for entry in os.scandir(folder):
        if entry.name in (DATA, current) or entry.name in visible:
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name.startswith(".."):
                shutil.rmtree(entry.path)
        elif entry.is_symlink():
            os.unlink(entry.path)
