"""The node's own log folder, read-only, for /logs/.

Nothing outside the folder is ever served, whatever the path says and wherever links point.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import BinaryIO

from pykubelet.errors import Failed, NotFound


def find(folder: Path, wanted: str) -> BinaryIO | str:
    """A file below `folder`, open for reading, or a directory as a small HTML list of links.

    NotFound where nothing is there or it lies outside; Failed where it can't be read.
    """
    try:
        base = folder.resolve(strict=True)
        target = (base / wanted).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise NotFound(f"no such log: {wanted}") from None
    if target != base and base not in target.parents:
        raise NotFound(f"no such log: {wanted}")
    try:
        if target.is_dir():
            names = sorted(p.name + ("/" if p.is_dir() else "") for p in target.iterdir())
            links = (f'<a href="{html.escape(n)}">{html.escape(n)}</a>' for n in names)
            return "<pre>\n" + "\n".join(links) + "\n</pre>\n"
        if target.is_file():
            return target.open("rb", buffering=0)
    except OSError as error:
        raise Failed(f"{wanted} can't be read: {error.strerror}") from error
    raise NotFound(f"no such log: {wanted}")


def content_type(path: str) -> str:
    compressed = path.endswith((".gz", ".xz", ".zst", ".journal"))
    return "application/octet-stream" if compressed else "text/plain; charset=utf-8"
