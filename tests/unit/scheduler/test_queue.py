"""The queue, in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pykubelet.scheduler.framework import NODE_ADD, Event
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.queue import ACTIVE, BACKOFF, GATED, UNSCHEDULABLE, SchedulingQueue
from tests.unit.scheduler.build import info

FIT = frozenset(("NodeResourcesFit",))


class Hints:
    """Answers `yes`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.yes = True
        self.asked: list[str] = []

    def __call__(self, pod: PodInfo, rejected_by: frozenset[str], event: Event) -> bool:
        self.asked.append(pod.key)
        return self.yes


def queue() -> SchedulingQueue:
    return SchedulingQueue(Hints())


def names(queue: SchedulingQueue, now: float) -> list[str]:
    found = []
    while (waiting := queue.pop(now)) is not None:
        found.append(waiting.pod.name)
    return found


def fail(queue: SchedulingQueue, now: float) -> None:
    waiting = queue.pop(now)
    assert waiting is not None
    queue.failed(waiting, FIT, now)


def test_the_more_important_pod_comes_first_and_then_the_older() -> None:
    one = queue()
    one.add(info("low"), 0)
    one.add(info("high", priority=10), 1)
    one.add(info("low-too"), 2)
    assert names(one, 3) == ["high", "low", "low-too"]


def test_a_pod_that_found_no_node_waits_for_something_that_helps() -> None:
    one = queue()
    one.add(info("a"), 0)
    fail(one, 0)
    assert names(one, 100) == []
    one.happened(Event(NODE_ADD), 100)
    assert names(one, 100) == ["a"]


def test_a_try_that_came_too_soon_after_the_last_waits_for_its_back_off() -> None:
    one = queue()
    one.add(info("a"), 0)
    for now, wait in ((0, 1), (100, 2), (200, 4), (300, 8), (400, 10), (500, 10)):
        fail(one, now)
        one.happened(Event(NODE_ADD), now)
        assert one.counts[BACKOFF] == 1
        one.flush(now + wait - 0.01)
        assert one.counts[BACKOFF] == 1
        one.flush(now + wait)
        assert one.counts[ACTIVE] == 1


def test_an_event_that_does_not_matter_costs_one_question_for_a_whole_group() -> None:
    hints = Hints()
    hints.yes = False
    one = SchedulingQueue(hints)
    for number in range(1000):
        one.add(info(f"p{number}"), 0)
    for _ in range(1000):
        fail(one, 0)
    assert one.happened(Event(NODE_ADD), 1) == 0
    assert len(hints.asked) == 1


def test_after_five_minutes_a_pod_is_tried_anyway() -> None:
    one = queue()
    one.add(info("a"), 0)
    fail(one, 0)
    assert one.due() == 300
    assert names(one, 299) == []
    assert names(one, 300) == ["a"]


def test_a_gated_pod_is_not_looked_at_until_its_gates_are_gone() -> None:
    one = queue()
    gated = info("a", schedulingGates=[{"name": "g"}])
    one.add(gated, 0, gated=True)
    assert one.counts[GATED] == 1
    assert one.due() is None
    one.happened(Event(NODE_ADD), 1)
    assert names(one, 1000) == []
    one.update(info("a"), 1000, gated=False)
    assert names(one, 1000) == ["a"]


def test_a_change_of_what_a_pod_asks_for_is_reason_to_try_it_again() -> None:
    one = queue()
    one.add(info("a", cpu="9"), 0)
    fail(one, 0)
    one.update(info("a", cpu="9", status={"phase": "Pending"}), 50)
    assert one.counts[UNSCHEDULABLE] == 1
    one.update(info("a", cpu="1"), 50)
    assert names(one, 50) == ["a"]


def test_a_pod_that_is_gone_or_has_a_node_is_not_tried() -> None:
    one = queue()
    for name in ("a", "b"):
        one.add(info(name), 0)
    one.drop("default/a")
    assert names(one, 0) == ["b"]
    assert "default/a" not in one


def test_a_pod_whose_binding_failed_is_tried_again_by_time_alone() -> None:
    one = queue()
    one.add(info("a"), 0)
    waiting = one.pop(0)
    assert waiting is not None
    one.retry(waiting, 0)
    assert one.due() == 1
    assert names(one, 1) == ["a"]


@given(st.lists(st.tuples(st.sampled_from("apfdeg"), st.integers(0, 5), st.integers(0, 3))))
def test_no_pod_is_ever_lost_or_twice_in_the_queue(steps: list[tuple[str, int, int]]) -> None:
    one = queue()
    out = {}
    for now, (step, number, priority) in enumerate(steps):
        key = f"default/p{number}"
        match step:
            case "a":
                one.update(info(f"p{number}", priority=priority), now, gated=priority == 3)
            case "p":
                waiting = one.pop(now)
                if waiting is not None:
                    assert waiting.pod.key not in out
                    out[waiting.pod.key] = waiting
            case "f" if key in out:
                one.failed(out.pop(key), FIT, now)
            case "g" if key in out:
                one.retry(out.pop(key), now)
            case "d":
                one.drop(key)
                out.pop(key, None)
            case "e":
                one.happened(Event(NODE_ADD), now)
        waiting_pods = [w for w in one.pending() if w.pod.key not in out]
        assert sum(one.counts.values()) == len(waiting_pods)
        assert all(w.place for w in waiting_pods)
