"""Quantities: `100m`, `1.5Gi`, `12e6`, as resources, sizes and limits are written.

A quantity is a number and the family of suffixes that it was written in. For arithmetic only the
number counts: `parse` gives it exactly, as a Fraction, rounded up to a billionth and capped at
2^63-1, which is what the API server keeps. `canonical` is the one spelling that the API server
stores and shows. Source: the API reference, "Quantity" (resource.Quantity in apimachinery).
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from pykubelet.errors import Invalid

Number = int | Fraction

_PATTERN = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?([A-Za-z]*)([+-]?\d*)")
_EXPECTED = "a number with an optional suffix: n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or e<digits>"
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_POWERS = {suffix: power for power, suffix in _DECIMAL.items()}
_MAX = 2**63 - 1
_NANO = 10**9
_LONGEST = 128  # characters; nothing honest is longer, and 10**huge is not worth computing


def parse(value: object) -> Fraction:
    """The number that a quantity (text, or a bare JSON number) stands for.

    Raises Invalid for anything that the API server would refuse.
    """
    return _parse(_text(value))[0]


def is_quantity(value: object) -> bool:
    """Whether `parse` would accept it."""
    try:
        parse(value)
    except Invalid:
        return False
    return True


def to_int(q: Number) -> int:
    """Whole units, rounded up (away from zero), as Quantity.Value does."""
    return _away_from_zero(Fraction(q))


def to_milli(q: Number) -> int:
    """Thousandths, rounded up (away from zero), as Quantity.MilliValue does: CPU millicores."""
    return _away_from_zero(Fraction(q) * 1000)


def compare(a: object, b: object) -> int:
    """-1, 0 or 1, whatever the two are spelled like."""
    left, right = parse(a), parse(b)
    return (left > right) - (left < right)


def add(a: object, b: object) -> str:
    """The sum, in the suffix family of `a` (of `b` where `a` is zero), in canonical spelling."""
    (left, family), (right, other) = _parse(_text(a)), _parse(_text(b))
    return spell(left + right, family if left else other)


def canonical(value: object) -> str:
    """The canonical spelling: no fraction, the largest suffix of its family that stays exact."""
    number, family = _parse(_text(value))
    return spell(number, family)


def spell(number: Number, family: str = "decimal") -> str:
    """Write a number in a suffix family: `decimal` (k, M), `binary` (Ki, Mi) or `exponent` (e3).

    A binary quantity below 1024, or with a fraction, is written with decimal suffixes.
    """
    number = Fraction(number)
    if not number:
        return "0"
    if family == "binary" and abs(number) >= 1024 and number.denominator == 1:
        whole, power = int(number), 0
        while whole % 1024 == 0 and power < len(_BINARY) - 1:
            whole, power = whole // 1024, power + 1
        return f"{whole}{_BINARY[power]}"
    nanos, power = int(number * _NANO), -9
    while nanos % 1000 == 0 and power < 18:
        nanos, power = nanos // 1000, power + 3
    if family == "exponent":
        return f"{nanos}e{power}" if power else str(nanos)
    return f"{nanos}{_DECIMAL[power]}"


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Invalid("not a quantity", expected=_EXPECTED, found=repr(value))
    return value if isinstance(value, str) else repr(value)


@lru_cache(maxsize=1024)
def _parse(text: str) -> tuple[Fraction, str]:
    match = _PATTERN.fullmatch(text) if len(text) <= _LONGEST and text.isascii() else None
    if match is None or not (match[2] or match[3]):
        raise Invalid("not a quantity", expected=_EXPECTED, found=repr(text))
    sign, whole, fraction, letters, digits = match.groups()
    scale, family = _scale(letters, digits, text)
    magnitude = Fraction(int((whole or "") + (fraction or "")), 10 ** len(fraction or "")) * scale
    if magnitude.denominator != 1:
        magnitude = Fraction(_away_from_zero(magnitude * _NANO), _NANO)
    magnitude = min(magnitude, Fraction(_MAX))
    if family == "binary" and 0 < magnitude < 1:
        family = "decimal"
    return (-magnitude if sign == "-" else magnitude), family


def _scale(letters: str, digits: str, text: str) -> tuple[Fraction, str]:
    if digits and letters in ("e", "E") and digits not in ("+", "-"):
        power = int(digits)
        # Beyond these everything is capped to the maximum, or rounded up to a billionth.
        return Fraction(10) ** max(-_LONGEST - 10, min(power, _LONGEST + 20)), "exponent"
    if not digits and letters in _POWERS:
        return Fraction(10) ** _POWERS[letters], "decimal"
    if not digits and letters in _BINARY:
        return Fraction(1024) ** _BINARY.index(letters), "binary"
    raise Invalid("not a quantity: unknown suffix", expected=_EXPECTED, found=repr(text))


def _away_from_zero(q: Fraction) -> int:
    return -(-q.numerator // q.denominator) if q >= 0 else q.numerator // q.denominator
