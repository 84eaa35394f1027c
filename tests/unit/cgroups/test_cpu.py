"""Millicores, shares, quota, weight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.kubelet.cgroups import cpu


@pytest.mark.parametrize(
    ("milli", "shares"), [(0, 2), (1, 2), (100, 102), (250, 256), (1000, 1024), (10**6, 262_144)]
)
def test_a_core_is_1024_shares_and_nothing_asked_for_is_the_least(milli: int, shares: int) -> None:
    assert cpu.milli_to_shares(milli) == shares


@pytest.mark.parametrize(
    ("milli", "period", "quota"),
    [(0, 100_000, -1), (1, 100_000, 1000), (500, 100_000, 50_000), (2000, 10_000, 20_000)],
)
def test_a_limit_becomes_time_per_period_but_at_least_a_millisecond(
    milli: int, period: int, quota: int
) -> None:
    assert cpu.milli_to_quota(milli, period) == quota


@pytest.mark.parametrize(
    ("shares", "weight"), [(0, 1), (2, 1), (102, 17), (1024, 100), (2048, 174), (262_144, 10_000)]
)
def test_one_core_weighs_as_much_as_any_system_service(shares: int, weight: int) -> None:
    assert cpu.shares_to_weight(shares) == weight


@given(st.integers(0, 300_000), st.integers(0, 300_000))
def test_more_shares_never_weigh_less(a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert 1 <= cpu.shares_to_weight(low) <= cpu.shares_to_weight(high) <= 10_000
