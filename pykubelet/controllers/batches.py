"""Many writes for one owner: one after another, or some at once.

A single write waits for the server's disk; several at once share that wait. `Context.each` says
which way; a simulation wants them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Work = Callable[[], None]

#: Writes under way at once for one owner, at most.
AT_ONCE = 8


def in_turn(work: Sequence[Work]) -> None:
    """One after the other; the first failure ends it."""
    for one in work:
        one()


def together(work: Sequence[Work]) -> None:
    """Some at once, all of them done at the end; then the first failure is raised."""
    if len(work) < 2:
        return in_turn(work)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(work), AT_ONCE), "writes") as pool:
        results = [pool.submit(one) for one in work]
    for result in results:
        result.result()
    return None


def growing(work: Sequence[Work], each: Callable[[Sequence[Work]], None]) -> None:
    """In batches of 1, 2, 4 …, ended by the first failure: where the first is refused (a quota),
    the others would be, too."""
    size, rest = 1, list(work)
    while rest:
        batch, rest = rest[:size], rest[size:]
        each(batch)
        size *= 2
