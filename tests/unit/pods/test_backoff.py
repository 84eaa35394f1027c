"""CrashLoopBackOff, with time as a number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pykubelet.kubelet.pods.backoff import Backoff

KEY = ("uid-1", "web", "hash")


def test_the_first_restart_is_immediate_and_each_further_one_waits_twice_as_long() -> None:
    backoff = Backoff()
    delays = [backoff.failed(KEY, now=1000.0 * i, ran_for=1.0) for i in range(8)]
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]


def test_the_wait_runs_out_with_time() -> None:
    backoff = Backoff()
    backoff.failed(KEY, 0.0, 1.0)
    assert backoff.wait(KEY, 0.0) == 0
    backoff.failed(KEY, 100.0, 1.0)
    assert backoff.wait(KEY, 104.0) == 6
    assert backoff.wait(KEY, 111.0) == 0
    assert backoff.delay(KEY) == 10


def test_ten_minutes_of_life_earn_a_clean_record() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.failed(KEY, 0.0, 1.0)
    assert backoff.failed(KEY, 0.0, 600.0) == 160
    assert backoff.failed(KEY, 0.0, 601.0) == 0
    assert backoff.failed(KEY, 0.0, 1.0) == 10


def test_the_same_dead_container_seen_again_counts_once() -> None:
    backoff = Backoff()
    backoff.failed(KEY, 0.0, 1.0, incident="container-1")
    assert backoff.failed(KEY, 5.0, 1.0, incident="container-2") == 10
    assert backoff.failed(KEY, 9.0, 1.0, incident="container-2") == 10
    assert backoff.wait(KEY, 9.0) == 6


def test_a_lower_cap_of_the_node_holds() -> None:
    backoff = Backoff(cap=4.0)
    assert [backoff.failed(KEY, 0.0, 1.0) for _ in range(3)] == [0, 4, 4]


def test_an_edited_container_and_a_forgotten_pod_start_clean() -> None:
    backoff = Backoff()
    other = ("uid-2", "web", "hash")
    for key in (KEY, other):
        backoff.failed(key, 0.0, 1.0)
        backoff.failed(key, 0.0, 1.0)
    assert backoff.wait(("uid-1", "web", "another hash"), 0.0) == 0
    backoff.forget("uid-1")
    assert backoff.wait(KEY, 0.0) == 0
    assert backoff.wait(other, 0.0) == 10


@given(st.lists(st.floats(0, 2000), max_size=30))
def test_no_delay_ever_leaves_its_bounds(lives: list[float]) -> None:
    backoff = Backoff()
    for life in lives:
        assert backoff.failed(KEY, 0.0, life) in (0, 10, 20, 40, 80, 160, 300)
