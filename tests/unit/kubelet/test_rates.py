"""So many at once, so many a second."""

from __future__ import annotations

import pytest

from pykubelet.kubelet.rates import Rate


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        raise AssertionError("a rate has nothing to do with the time of day")


def test_a_burst_is_let_through_and_then_one_each_time_it_is_due() -> None:
    clock = Hands()
    rate = Rate(2, 3, clock)
    assert [rate.allows() for _ in range(5)] == [True, True, True, False, False]
    clock.now += 0.5
    assert [rate.allows(), rate.allows()] == [True, False]
    clock.now += 1000
    assert [rate.allows() for _ in range(4)] == [True, True, True, False], "no more than the burst"


def test_who_reserves_waits_behind_those_before_him() -> None:
    clock = Hands()
    rate = Rate(5, 1, clock)
    assert [rate.reserve() for _ in range(4)] == pytest.approx([0.0, 0.2, 0.4, 0.6])
    clock.now += 0.6
    assert rate.reserve() == pytest.approx(0.2)


def test_a_rate_of_nothing_is_no_limit() -> None:
    rate = Rate(0, 0, Hands())
    assert all(rate.allows() for _ in range(1000))
    assert rate.reserve() == 0.0
