"""How many pods a Job runs at once, which indexes they get, and how soon after a failure. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pykubelet.controllers import pods
from pykubelet.controllers.base import sooner
from pykubelet.controllers.job.counting import Count, history
from pykubelet.controllers.job.making import (
    ended_at,
    has_failed,
    index_of,
    is_indexed,
    is_tracked,
    limit_per_index,
    new_pod,
    phase,
    replaces_only_failed,
)

Json = dict[str, Any]

#: Pods made or deleted in one turn at most.
BURST = 500

#: Seconds to wait after a failure: doubled with each, up to the longest.
FIRST_WAIT, LONGEST_WAIT = 10.0, 600.0


@dataclass(frozen=True, slots=True)
class Step:
    create: tuple[Json, ...] = ()
    withdraw: tuple[Json, ...] = ()
    look_in: float | None = None


def decide(
    job: Json,
    own: list[Json],
    active: list[Json],
    terminating: list[Json],
    counted: Count,
    now: float,
) -> Step:
    total = int(job["spec"].get("completions") or 0)
    # One without our finalizer was about to be stopped once: its end could not be counted.
    surplus = [pod for pod in active if not is_tracked(pod)]
    if is_indexed(job):
        tracked = [pod for pod in active if is_tracked(pod)]
        surplus += _superfluous(tracked, counted, total)
    leaving = {pod["metadata"]["uid"] for pod in surplus}
    staying = [pod for pod in active if pod["metadata"]["uid"] not in leaving]
    wanted = _wanted(job, len(staying), counted)
    if len(staying) > wanted:
        going = pods.first_to_go(staying, now)[: len(staying) - wanted]
        return Step(withdraw=tuple([*surplus, *going][:BURST]))
    missing = wanted - len(staying)
    if replaces_only_failed(job):
        missing -= len(terminating)
    if surplus or missing <= 0:
        return Step(withdraw=tuple(surplus[:BURST]))
    if not is_indexed(job):
        wait = _wait(_failures(job, own), now)
        if wait is not None:
            return Step(look_in=wait)
        return Step(create=(new_pod(job),) * min(missing, BURST))
    taken = {index_of(pod) for pod in staying} | counted.completed | counted.failed_indexes
    if replaces_only_failed(job):
        taken |= {index_of(pod) for pod in terminating}
    free = (index for index in range(total) if index not in taken)
    return _by_index(job, own, free, min(missing, BURST), now)


def _wanted(job: Json, active: int, counted: Count) -> int:
    parallelism = job["spec"].get("parallelism")
    parallelism = 1 if parallelism is None else int(parallelism)
    completions: int | None = job["spec"].get("completions")
    if completions is None:
        # Any success ends the work: what runs may finish, nothing more begins.
        return min(active, parallelism) if counted.succeeded else parallelism
    left = completions - counted.succeeded
    if limit_per_index(job) is not None:
        left -= len(counted.failed_indexes)
    return max(min(left, parallelism), 0)


def _superfluous(active: list[Json], counted: Count, total: int) -> list[Json]:
    """Pods of an index that is done, or not wanted, or that another pod works on already."""
    seen: set[int] = set()
    found = []
    for pod in sorted(active, key=_standing):
        index = index_of(pod)
        done = counted.completed | counted.failed_indexes
        if index is None or index >= total or index in seen or index in done:
            found.append(pod)
        else:
            seen.add(index)
    return found


def _standing(pod: Json) -> tuple[bool, bool, str]:
    """The further a pod has come, the earlier in the order."""
    return (
        not pods.is_ready(pod),
        phase(pod) != "Running",
        pod["metadata"].get("creationTimestamp", ""),
    )


def _by_index(job: Json, own: list[Json], free: Iterable[int], missing: int, now: float) -> Step:
    if limit_per_index(job) is None:
        wait = _wait(_failures(job, own), now)
        if wait is not None:
            return Step(look_in=wait)
        made = [new_pod(job, index) for index, _ in zip(free, range(missing), strict=False)]
        return Step(create=tuple(made))
    past = history(job, own)
    made = []
    look_in = None
    for index in free:
        if len(made) >= missing:
            break
        failures, ignored, last = past.get(index, (0, 0, None))
        wait = _wait((failures + ignored, ended_at(last)) if last else (0, 0.0), now)
        if wait is not None:
            look_in = sooner(look_in, wait)  # this one has to wait; the next may not
            continue
        made.append(new_pod(job, index, failures, ignored))
    return Step(create=tuple(made), look_in=look_in)


def _failures(job: Json, own: list[Json]) -> tuple[int, float]:
    """(failures since the last success, when the last one was)."""
    ends = sorted(
        ((ended_at(pod), phase(pod) != "Succeeded") for pod in own if _has_ended(job, pod)),
        reverse=True,
    )
    number = 0
    for _, failed in ends:
        if not failed:
            break
        number += 1
    return number, ends[0][0] if ends else 0.0


def _has_ended(job: Json, pod: Json) -> bool:
    return phase(pod) == "Succeeded" or has_failed(job, pod)


def _wait(failures: tuple[int, float], now: float) -> float | None:
    """Seconds until the next try; None if it may be now."""
    number, last = failures
    if not number:
        return None
    pause: float = min(FIRST_WAIT * 2 ** min(number - 1, 10), LONGEST_WAIT)
    left = last + pause - now
    return left if left > 0 else None
