"""What an installation has changed on the host, so that it can be repeated and taken back.

Every file is put in place through `place`, which never overwrites what somebody else has written:
it knows by checksum what came from us. The record itself is written after each change, so that an
installation that was cut off can be taken back as well.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path

from pykubelet.bootstrap.install import paths


class Placed(Enum):
    WRITTEN = "written"
    UNCHANGED = "is as it should be"
    EDITED = "has been edited since; left as it is"
    FOREIGN = "is somebody else's; left as it is"


@dataclass
class Record:
    """`files`: path → checksum of what we wrote. `originals`: path → what was there before
    (base64). `folders` and `links` are those that we made. `images` were there before us,
    `packages` were installed for us. `example_offered`: whoever deletes it doesn't want it back."""

    path: Path = paths.RECORD
    files: dict[str, str] = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    images: list[str] | None = None
    example_offered: bool = False

    @staticmethod
    def load(path: Path = paths.RECORD) -> Record:
        """Empty where nothing is installed."""
        try:
            raw = json.loads(path.read_text())
        except (OSError, ValueError):
            return Record(path)
        known = {key: value for key, value in raw.items() if key in Record.__dataclass_fields__}
        return Record(**{**known, "path": path})

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        part = self.path.with_name(f"{self.path.name}.part")
        tree = {key: value for key, value in asdict(self).items() if key != "path"}
        part.write_text(json.dumps(tree, indent=1, sort_keys=True))
        part.replace(self.path)

    def folder(self, path: Path) -> None:
        """Make a folder with its parents; those that are new are ours."""
        for missing in reversed([p for p in (path, *path.parents) if not p.exists()]):
            missing.mkdir(mode=0o755)
            self.folders.append(str(missing))
        self.save()

    def claim(self, *paths: Path) -> None:
        """Folders that don't exist yet and that the daemons are going to make: they are ours."""
        self.folders += [str(p) for p in paths if not p.exists() and str(p) not in self.folders]
        self.save()

    def place(
        self, path: Path, content: str | bytes, mode: int = 0o644, *, replace: bool = False
    ) -> Placed:
        """Put a file there, unless it has been edited or is somebody else's. `replace`: take the
        place of somebody else's, and keep theirs for `put_back`."""
        data = content.encode() if isinstance(content, str) else content
        present = path.read_bytes() if path.exists() else None
        ours = self.files.get(str(path))
        if present is not None and _sum(present) not in (ours, _sum(data)):
            if ours is not None:
                return Placed.EDITED
            if not replace:
                return Placed.FOREIGN
            self.originals[str(path)] = base64.b64encode(present).decode()
        self.files[str(path)] = _sum(data)
        if present == data:
            self.save()
            return Placed.UNCHANGED
        self.folder(path.parent)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.chmod(mode)
        part.replace(path)
        return Placed.WRITTEN

    def link(self, path: Path, target: Path) -> Placed:
        """A symbolic link, unless something else is there."""
        if path.is_symlink() and os.readlink(path) == str(target):
            return Placed.UNCHANGED
        if path.exists() or path.is_symlink():
            return Placed.FOREIGN
        self.folder(path.parent)
        path.symlink_to(target)
        self.links.append(str(path))
        self.save()
        return Placed.WRITTEN

    def put_back(self) -> list[str]:
        """Remove files and links and bring the originals back; one sentence for each of these."""
        notes = []
        for name in self.links:
            if Path(name).is_symlink():
                Path(name).unlink()
        for name in self.files:
            path = Path(name)
            if name in self.originals:
                path.write_bytes(base64.b64decode(self.originals[name]))
                notes.append(f"{name} is again as it was before")
            else:
                path.unlink(missing_ok=True)
        return notes

    def remove_folders(self) -> list[str]:
        """Remove the folders that are ours and empty; the others' paths."""
        left = []
        for name in sorted(self.folders, key=len, reverse=True):
            try:
                os.rmdir(name)
            except FileNotFoundError:
                continue
            except OSError:
                left.append(name)
        return left


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
