"""Output that is lovely in a terminal and plain in a pipe.

A terminal gets colour and text wrapped to its width; a pipe gets aligned text with every line
whole, so that `awk` and `grep` can rely on it. NO_COLOR is obeyed. The little that it takes is
done here: rich would cost every command more time than the agent's answer.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from pykubelet.clock import from_rfc3339

STYLES = {
    "good": "\x1b[32m",
    "bad": "\x1b[31m",
    "busy": "\x1b[33m",
    "dim": "\x1b[2m",
    "strong": "\x1b[1m",
}
_RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Cell:
    """Text and how it should strike the eye (a key of STYLES, or nothing)."""

    text: str
    style: str = ""


def colourful(out: TextIO) -> bool:
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, out: TextIO | None = None) -> str:
    """`text` in a style, where `out` (standard output) shows colours."""
    if not style or not text or not colourful(out or sys.stdout):
        return text
    return f"{STYLES[style]}{text}{_RESET}"


def print_json(tree: Any) -> None:
    print(json.dumps(tree, indent=2, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> None:
    """Columns two spaces apart. In a terminal the last one is wrapped to what room is left."""
    out = sys.stdout
    cells = [[c if isinstance(c, Cell) else Cell(c) for c in row] for row in rows]
    widths = [
        max([len(heading), *(len(row[i].text) for row in cells)])
        for i, heading in enumerate(headings)
    ]
    room = None
    if out.isatty():
        room = max(24, shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * len(widths) + 2)
    print(_line([Cell(heading, "dim") for heading in headings], widths, out))
    for row in cells:
        *first, last = row
        pieces = _wrap(last.text, room) if room else [last.text]
        print(_line([*first, Cell(pieces[0], last.style)], widths, out))
        for piece in pieces[1:]:
            print(_line([*(Cell("") for _ in first), Cell(piece, last.style)], widths, out))


def _line(cells: Sequence[Cell], widths: Sequence[int], out: TextIO) -> str:
    padded = [
        paint(c.text, c.style, out) + " " * (w - len(c.text))
        for c, w in zip(cells[:-1], widths[:-1], strict=True)
    ]
    return "  ".join([*padded, paint(cells[-1].text, cells[-1].style, out)]).rstrip()


def _wrap(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]


def ago(since: str, now: float) -> str:
    """How long ago an RFC 3339 time was, in one unit: `40s`, `12m`, `3h`, `9d`. "" for no time."""
    try:
        seconds = max(0, int(now - from_rfc3339(since)))
    except ValueError:
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
