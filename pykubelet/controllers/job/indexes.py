"""Sets of completion indexes, written as `0-2,5`. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def read(text: str | None, below: int) -> set[int]:
    """The indexes in a text that are smaller than `below`."""
    found: set[int] = set()
    for part in filter(None, (text or "").split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), min(int(last or first), below - 1) + 1))
    return found


def write(indexes: Iterable[int]) -> str:
    """The shortest text: two in a row are listed, three and more are a range."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    parts = []
    for first, last in runs:
        if last - first > 1:
            parts.append(f"{first}-{last}")
        else:
            parts += [str(n) for n in range(first, last + 1)]
    return ",".join(parts)
