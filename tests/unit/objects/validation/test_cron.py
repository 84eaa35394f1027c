"""Schedules of CronJobs: what is wrong with one is said in the words of upstream's reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.objects.validation.cron import complaint


@pytest.mark.parametrize(
    "schedule",
    ["* * * * *", "*/5 0-23/2 1,15 jan-jun mon-fri", "0 0 ? * 6", "@daily", "@every 1h30m",
     "TZ=UTC 0 0 * * *", "5/15 * * * *"],
)  # fmt: skip
def test_a_schedule_that_can_be_read(schedule: str) -> None:
    assert complaint(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
    ],
)
def test_what_is_wrong_with_a_schedule(schedule: str, expected: str) -> None:
    assert complaint(schedule) == expected


@given(st.text(alphabet="0123456789*/-,?@ ajn=TZ", max_size=30))
def test_any_text_gets_an_answer(schedule: str) -> None:
    assert isinstance(complaint(schedule), str)
