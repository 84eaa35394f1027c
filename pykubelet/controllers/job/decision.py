"""What a Job needs next: pods to make, to stop, to let go, and what it tells of itself. Pure.

The order of acting matters and is the controller's: the status first, then finalizers, deletions
and new pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pykubelet.clock import from_rfc3339, rfc3339
from pykubelet.controllers import pods
from pykubelet.controllers.base import sooner
from pykubelet.controllers.job import indexes, outcome, replenish
from pykubelet.controllers.job.counting import Count, count
from pykubelet.controllers.job.making import is_going, is_indexed, is_tracked, phase
from pykubelet.controllers.reporting import condition, with_condition

Json = dict[str, Any]

#: An event to tell: (Normal or Warning, reason, message).
Event = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    """Write `status`; then take the finalizer from the pods in `release`; stop those in `withdraw`
    (which are not to count, so their finalizer goes first) and in `kill` (which are); `create`."""

    status: Json
    release: tuple[Json, ...] = ()
    withdraw: tuple[Json, ...] = ()
    kill: tuple[Json, ...] = ()
    create: tuple[Json, ...] = ()
    look_in: float | None = None
    events: tuple[Event, ...] = ()


def decide(job: Json, own: list[Json], now: float) -> Decision:
    """`own`: the Job's pods, with and without finalizer."""
    status = job.get("status") or {}
    if outcome.is_finished(job):
        return Decision(status, release=tuple(pod for pod in own if is_tracked(pod)))
    active = [pod for pod in own if pods.is_active(pod)]
    terminating = [p for p in own if is_going(p) and phase(p) not in ("Succeeded", "Failed")]
    suspended = bool(job["spec"].get("suspend"))
    events: list[Event] = []
    base = {**status, **_started(job, suspended, now)}
    if suspended:
        base.pop("startTime", None)
    base, told = _suspension(job, base, suspended, now)
    events += told

    end = outcome.under_way(status)
    counted = count(job, own, ending=end is not None)
    if end is None:
        end = outcome.reached({**job, "status": base}, own, active, counted, now)
        if end is not None:
            counted = count(job, own, ending=True)
    new_status = _counted(base, job, own, active, terminating, counted)
    if end is not None:
        return _end(job, new_status, end, active, terminating, counted, now, events)

    look_in = outcome.deadline_in({**job, "status": base}, now)
    release = tuple(counted.release)
    if is_going(job):
        return Decision(new_status, release, look_in=look_in, events=tuple(events))
    if suspended:
        return Decision(new_status, release, tuple(active), events=tuple(events))
    step = replenish.decide(job, own, active, terminating, counted, now)
    return Decision(
        new_status,
        release,
        step.withdraw,
        create=step.create,
        look_in=sooner(look_in, step.look_in),
        events=tuple(events),
    )


def _started(job: Json, suspended: bool, now: float) -> Json:
    status = job.get("status") or {}
    if suspended or status.get("startTime"):
        return {}
    return {"startTime": rfc3339(now)}


def _suspension(job: Json, status: Json, suspended: bool, now: float) -> tuple[Json, list[Event]]:
    """The condition Suspended, and the event where it changes."""
    present = pods.condition(job, "Suspended")
    was = present is not None and present["status"] == "True"
    if suspended == was:
        return status, []
    reason, message = (
        ("JobSuspended", "Job suspended") if suspended else ("JobResumed", "Job resumed")
    )
    new = condition("Suspended", suspended, reason, message, now)
    changed = {**status, "conditions": with_condition(status.get("conditions"), new)}
    if not suspended:
        changed["startTime"] = rfc3339(now)
    return changed, [("Normal", "Suspended" if suspended else "Resumed", message)]


def _counted(
    status: Json,
    job: Json,
    own: list[Json],
    active: list[Json],
    terminating: list[Json],
    counted: Count,
) -> Json:
    uncounted = {
        "succeeded": counted.uncounted_succeeded,
        "failed": counted.uncounted_failed,
    }
    uncounted = {key: value for key, value in uncounted.items() if value}
    new = {
        **status,
        "active": len(active),
        "ready": sum(pods.is_ready(pod) for pod in active),
        "terminating": len(terminating),
        "succeeded": counted.succeeded - len(counted.uncounted_succeeded),
        "failed": counted.failed - len(counted.uncounted_failed),
        "uncountedTerminatedPods": uncounted,
    }
    if is_indexed(job):
        new["completedIndexes"] = indexes.write(counted.completed)
        if job["spec"].get("backoffLimitPerIndex") is not None:
            new["failedIndexes"] = indexes.write(counted.failed_indexes)
    return new


def _end(
    job: Json,
    status: Json,
    end: outcome.End,
    active: list[Json],
    terminating: list[Json],
    counted: Count,
    now: float,
    events: list[Event],
) -> Decision:
    """First what the end will be is told and what runs is stopped; it is the end when everything
    has stopped and is counted."""
    first = "FailureTarget" if end.failed else "SuccessCriteriaMet"
    met = condition(first, True, end.reason, end.message, now)
    conditions = with_condition(status.get("conditions"), met)
    if not active and not terminating and not counted.release and counted.settled():
        last = condition("Failed" if end.failed else "Complete", True, end.reason, end.message, now)
        conditions = with_condition(conditions, last)
        if end.failed:
            events.append(("Warning", end.reason, end.message))
        else:
            status = {**status, "completionTime": rfc3339(now)}
            events.append(("Normal", "Completed", "Job completed"))
    status = {**status, "conditions": conditions}
    return Decision(status, tuple(counted.release), kill=tuple(active), events=tuple(events))


def started_at(job: Json) -> float | None:
    text = (job.get("status") or {}).get("startTime")
    return from_rfc3339(text) if text else None
