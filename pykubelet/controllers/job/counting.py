"""Each end of a pod counted once, whatever dies when. Pure.

A pod that has ended is first named in `status.uncountedTerminatedPods`; only when that is written
does it lose its finalizer; only when it is seen without does the next status count it and drop its
name. Between any two of these steps all is known from what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pykubelet.controllers.job import indexes, policies
from pykubelet.controllers.job.making import (
    FAILURES,
    IGNORED,
    count_of,
    has_failed,
    index_of,
    is_indexed,
    is_tracked,
    limit_per_index,
    phase,
)

Json = dict[str, Any]

#: Pods named as uncounted at once, at most.
MOST_UNCOUNTED = 500


@dataclass(slots=True)
class Count:
    """What has ended so far. `succeeded` and `failed` include the uncounted, by UID below;
    `release` are the pods that may lose their finalizer once the status is written."""

    succeeded: int = 0
    failed: int = 0
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    completed: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    release: list[Json] = field(default_factory=list)
    #: The message of the first pod that a rule of the failure policy ends the Job for.
    fatal: str = ""

    def settled(self) -> bool:
        return not (self.uncounted_succeeded or self.uncounted_failed)


def count(job: Json, own: list[Json], *, ending: bool) -> Count:
    """`ending`: the Job has met its end, so pods that are on their way out count as failed."""
    status = job.get("status") or {}
    total = job["spec"].get("completions") or 0
    indexed = is_indexed(job)
    found = Count(int(status.get("succeeded") or 0), int(status.get("failed") or 0))
    if indexed:
        found.completed = indexes.read(status.get("completedIndexes"), total)
        found.failed_indexes = indexes.read(status.get("failedIndexes"), total)
    tracked = {pod["metadata"]["uid"]: pod for pod in own if is_tracked(pod)}
    named = _take_over(status, tracked, found, indexed)
    kept = _kept_for_history(job, own) if limit_per_index(job) is not None else set()
    room = MOST_UNCOUNTED - len(named)
    for pod in own:
        uid = pod["metadata"]["uid"]
        ended = phase(pod) == "Succeeded" or has_failed(job, pod)
        ended = ended or (ending and "deletionTimestamp" in pod["metadata"])
        if uid not in tracked or not ended:
            continue
        if uid in named:
            found.release.append(pod)
        elif phase(pod) == "Succeeded":
            if indexed:
                _complete(found, pod, total)
            elif room > 0:
                found.uncounted_succeeded.append(uid)
                room -= 1
            else:
                continue
            found.release.append(pod)
        elif room > 0:
            if _fail(job, found, pod, total):
                found.uncounted_failed.append(uid)
                room -= 1
            found.release.append(pod)
    found.failed_indexes -= found.completed
    found.release = [
        pod
        for pod in found.release
        if ending
        or pod["metadata"]["uid"] not in kept
        or index_of(pod) in found.completed | found.failed_indexes
    ]
    if indexed:
        found.succeeded = len(found.completed)
    else:
        found.succeeded += len(found.uncounted_succeeded)
    found.failed += len(found.uncounted_failed)
    return found


def _take_over(status: Json, tracked: dict[str, Json], found: Count, indexed: bool) -> set[str]:
    """The uncounted of the last status: those without finalizer are counted now. The others."""
    uncounted = status.get("uncountedTerminatedPods") or {}
    for uid in uncounted.get("succeeded") or ():
        if uid in tracked:
            found.uncounted_succeeded.append(uid)
        elif not indexed:
            found.succeeded += 1
    for uid in uncounted.get("failed") or ():
        if uid in tracked:
            found.uncounted_failed.append(uid)
        else:
            found.failed += 1
    return {*found.uncounted_succeeded, *found.uncounted_failed}


def _complete(found: Count, pod: Json, total: int) -> None:
    index = index_of(pod)
    if index is not None and index < total:
        found.completed.add(index)


def _fail(job: Json, found: Count, pod: Json, total: int) -> bool:
    """Take in a failed pod; whether it counts as a failure."""
    action, message = "Count", ""
    if phase(pod) == "Failed":
        action, message = policies.verdict(job, pod)
    if action == "FailJob":
        found.fatal = found.fatal or message
    limit, index = limit_per_index(job), index_of(pod)
    if limit is not None and index is not None and index < total:
        failures = count_of(pod, FAILURES) + 1
        if action == "FailIndex" or (action != "Ignore" and failures > limit):
            found.failed_indexes.add(index)
    if is_indexed(job) and (index is None or index >= total):
        return False  # of no index that is wanted
    return action != "Ignore"


def _kept_for_history(job: Json, own: list[Json]) -> set[str]:
    """With a limit per index, the latest failed pod of an index tells how often it failed: it stays
    until its successor, which bears the number, is there."""
    latest: dict[int, tuple[int, Json]] = {}
    for pod in own:
        index = index_of(pod)
        if index is None:
            continue
        tries = count_of(pod, FAILURES) + count_of(pod, IGNORED)
        if index not in latest or tries > latest[index][0]:
            latest[index] = tries, pod
    return {pod["metadata"]["uid"] for _, pod in latest.values() if has_failed(job, pod)}


def history(job: Json, own: list[Json]) -> dict[int, tuple[int, int, Json]]:
    """By index: (failures, ignored ones) for the next pod to bear, and the last failed pod."""
    found: dict[int, tuple[int, int, Json]] = {}
    for pod in own:
        index = index_of(pod)
        if index is None or not has_failed(job, pod):
            continue
        failures, ignored = count_of(pod, FAILURES), count_of(pod, IGNORED)
        action = policies.verdict(job, pod)[0] if phase(pod) == "Failed" else "Count"
        if action == "Ignore":
            ignored += 1
        else:
            failures += 1
        if index not in found or failures + ignored > sum(found[index][:2]):
            found[index] = failures, ignored, pod
    return found
