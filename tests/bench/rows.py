"""A measured figure, its peer's, the target; and the table of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`ours` and `peer` in `unit`; `target` in words. `reached` is None where it can't be said."""

    what: str
    ours: float
    unit: str
    peer: float | None = None
    peer_name: str = "raw calls"
    target: str = ""
    reached: bool | None = None


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def table(rows: Iterable[Row]) -> str:
    lines = [
        f"{'what':58} {'ours':>10} {'peer':>10} {'ratio':>6}  target",
        "-" * 118,
    ]
    for row in rows:
        peer = "" if row.peer is None else _number(row.peer, row.unit)
        ratio = "" if not row.peer else f"{row.ours / row.peer:.2f}"
        mark = {True: "reached", False: "MISSED", None: ""}[row.reached]
        beside = f" (beside {row.peer_name})" if row.peer is not None else ""
        lines.append(
            f"{row.what + beside:58} {_number(row.ours, row.unit):>10} {peer:>10} {ratio:>6}  "
            f"{row.target} {mark}"
        )
    return "\n".join(lines)


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}"
