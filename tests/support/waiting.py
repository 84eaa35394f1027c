"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(probe: Callable[[], T], what: str, timeout: float = 20.0, interval: float = 0.02) -> T:
    """The first truthy value of `probe`. AssertionError naming `what`, and the last value, if none
    comes in `timeout` seconds. An exception of the probe counts as "not yet"."""
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            value = probe()
            if value:
                return value
            last = value
        except Exception as error:  # noqa: BLE001 - whatever it is, the deadline reports it
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}; last seen: {last!r}")
        time.sleep(interval)
