"""Durations as Go writes them: `1m30s`, `300ms`, `1.5h`, `0`.

Every duration of a KubeletConfiguration is spelled so (metav1.Duration); inside the agent they are
seconds. `spell` is the inverse, in the shortest form that Go's own printer would give.
"""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_PIECE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = Fraction(2**63 - 1, 10**9)  # what an int64 of nanoseconds holds, about 292 years


def parse(text: str) -> float:
    """Seconds. ValueError for anything that Go's time.ParseDuration would refuse."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    total, position = Fraction(0), 0
    while match := _PIECE.match(rest, position):
        total += Fraction(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not rest or position != len(rest) or total > _LONGEST:
        raise ValueError(f"not a duration: {text!r}")
    return float(sign * total)


def spell(seconds: float) -> str:
    """`90.0` → `1m30s`, `0.1` → `100ms`, `0` → `0s`."""
    nanoseconds = round(abs(seconds) * 10**9)
    sign = "-" if seconds < 0 and nanoseconds else ""
    if nanoseconds == 0:
        return "0s"
    if nanoseconds < 10**9:
        for unit, size in (("ms", 10**6), ("µs", 10**3), ("ns", 1)):
            if nanoseconds >= size:
                return f"{sign}{_decimal(nanoseconds, size)}{unit}"
    whole, part = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(whole, 60)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if hours or minutes else ""
    return f"{sign}{text}{_decimal(part, 10**9)}s"


def _decimal(number: int, unit: int) -> str:
    whole, rest = divmod(number, unit)
    if not rest:
        return str(whole)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
