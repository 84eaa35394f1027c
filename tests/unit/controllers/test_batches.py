"""Many writes for one owner: all done, few at once, and an early end where they are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pykubelet.controllers.batches import AT_ONCE, growing, in_turn, together
from pykubelet.errors import Failed


@pytest.mark.parametrize("each", [in_turn, together])
@pytest.mark.parametrize("number", [0, 1, 2, 100])
def test_all_is_done(each: Callable[..., None], number: int) -> None:
    done: list[int] = []
    growing([lambda n=n: done.append(n) for n in range(number)], each)  # type: ignore[misc]
    assert sorted(done) == list(range(number))


@pytest.mark.parametrize("each", [in_turn, together])
def test_where_the_first_is_refused_the_rest_is_not_tried(each: Callable[..., None]) -> None:
    tries: list[int] = []

    def refused() -> None:
        tries.append(1)
        raise Failed("exceeded quota")

    with pytest.raises(Failed, match="quota"):
        growing([refused] * 500, each)
    assert len(tries) == 1


def test_only_so_many_are_under_way_at_once() -> None:
    lock, now, most = threading.Lock(), [0], [0]
    gate = threading.Barrier(AT_ONCE)

    def work() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        gate.wait(10)
        with lock:
            now[0] -= 1

    together([work] * (AT_ONCE * 3))
    assert most[0] == AT_ONCE
