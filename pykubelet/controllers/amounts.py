"""Amounts that are written as a number or as a percentage of something. Pure."""

from __future__ import annotations


def scaled(value: int | str | None, total: int, *, up: bool) -> int:
    """`3` as it is, `"25%"` of `total`, rounded up or down. None is nothing."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    percent = int(value.removesuffix("%"))
    return -(-percent * total // 100) if up else percent * total // 100
