"""Durations in Go's spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.kubelet.config import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("0s", 0), ("10s", 10), ("1m30s", 90), ("1.5h", 5400), ("300ms", 0.3),
        ("2h45m", 9900), ("-5s", -5), ("+5s", 5), ("100us", 1e-4), ("100µs", 1e-4), ("1ns", 1e-9),
        (".5s", 0.5), ("1.s", 1),
    ],
)  # fmt: skip
def test_what_go_reads_is_read(text: str, seconds: float) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "1d", "1 s", "5s ", "1m-3s", "--1s", "1e3s", "."])
def test_what_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        durations.parse(text)


def test_more_than_292_years_are_refused() -> None:
    with pytest.raises(ValueError, match="not a duration"):
        durations.parse("2562048h")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "1m30s"), (120, "2m0s"), (3600, "1h0m0s"), (0.1, "100ms"), (1.5, "1.5s"),
     (1e-6, "1µs"), (-5, "-5s"), (14400, "4h0m0s")],
)  # fmt: skip
def test_they_are_written_as_go_prints_them(seconds: float, text: str) -> None:
    assert durations.spell(seconds) == text


@given(st.integers(-(10**15), 10**15))
def test_what_is_written_reads_back(microseconds: int) -> None:
    seconds = microseconds / 10**6
    assert durations.parse(durations.spell(seconds)) == pytest.approx(seconds, abs=1e-9)
