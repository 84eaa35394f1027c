"""When the agent counts as alive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from pykubelet.kubelet.daemon.vitals import BEAT, LATEST, Vitals
from pykubelet.turns import Turns


class Hands:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class Life:
    """Vitals whose turns are taken by hand."""

    def __init__(self) -> None:
        self.clock = Hands()
        self.silence = ""
        self.turns = Turns(lambda key: None)
        self.beats: list[Callable[[], None]] = []
        self.turns.every = lambda seconds, work: self.beats.append(work)  # type: ignore[method-assign]
        self.vitals = Vitals(
            self.turns, lambda: None, lambda: self.silence, ("loop-a", "loop-b"), self.clock
        )
        self.vitals.start()
        self.end = threading.Event()
        for name in ("loop-a", "loop-b"):
            threading.Thread(target=self.end.wait, name=name, daemon=True).start()


@pytest.fixture
def life() -> Iterator[Life]:
    made = Life()
    yield made
    made.end.set()
    made.turns.stop()


def test_what_beats_is_alive(life: Life) -> None:
    for _ in range(100):
        life.clock.now += BEAT
        life.beats[0]()
        assert life.vitals.trouble() == ""
    assert [(c.name, c.ok) for c in life.vitals.checks()] == [("syncloop", True), ("runtime", True)]


def test_a_pod_loop_that_is_stuck_is_told_with_how_long(life: Life) -> None:
    life.clock.now += LATEST
    assert life.vitals.trouble() == ""
    life.clock.now += 30
    assert life.vitals.trouble() == "no pod has had a turn for 90 s"
    assert life.vitals.checks()[0].message == "no pod has had a turn for 90 s"


def test_a_loop_that_has_ended_is_named(life: Life) -> None:
    life.end.set()
    for thread in threading.enumerate():
        if thread.name.startswith("loop-"):
            thread.join()
    assert life.vitals.trouble() == "ended, and should not have: loop-a, loop-b"


def test_a_silent_runtime_is_no_health_and_no_reason_for_another_agent(life: Life) -> None:
    life.silence = "nobody answers"
    assert [(c.name, c.ok, c.message) for c in life.vitals.checks()][1] == (
        "runtime", False, "nobody answers"
    )  # fmt: skip
    assert life.vitals.trouble() == ""


def test_every_loop_has_its_share_of_the_processor(life: Life) -> None:
    spent = life.vitals.cpu_seconds()
    assert set(spent) == {"loop-a", "loop-b", "pods", "other"}
    assert all(seconds >= 0 for seconds in spent.values())
