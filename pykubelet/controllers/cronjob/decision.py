"""Which Job a CronJob starts now, which it ends or clears away, and when to look again. Pure.

What runs and when it was last started is read off the Jobs themselves, so that nothing is lost when
the controller dies between starting a Job and saying so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from pykubelet.client.api import owner_reference
from pykubelet.client.resources import CRON_JOBS, JOBS
from pykubelet.clock import from_rfc3339, rfc3339
from pykubelet.controllers import pods
from pykubelet.controllers.cronjob.schedule import TOO_MANY, Schedule, latest, parse, zone_of
from pykubelet.errors import Invalid

Json = dict[str, Any]

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"

#: (Normal or Warning, reason, message).
Event = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    status: Json
    start: Json | None = None
    delete: tuple[Json, ...] = ()
    events: tuple[Event, ...] = ()
    look_in: float | None = None


def decide(cron_job: Json, jobs: list[Json], now: float) -> Decision:
    """`jobs` are those that the CronJob controls."""
    spec = cron_job["spec"]
    active = [job for job in jobs if not _end(job)]
    status, events = _status(cron_job, jobs, active)
    done = Decision(status, delete=tuple(_surplus(cron_job, jobs)), events=tuple(events))
    if "deletionTimestamp" in cron_job["metadata"] or spec.get("suspend"):
        return done
    try:
        zone, schedule = zone_of(spec.get("timeZone")), parse(spec["schedule"])
    except Invalid as error:
        reason = "UnparseableSchedule" if "time zone" not in str(error) else "UnknownTimeZone"
        return _told(done, "Warning", reason, str(error))
    following = schedule.after(now, zone)
    done = replace(done, look_in=None if following is None else following - now + 0.1)
    at, missed = _due(cron_job, status, schedule, zone, now)
    if missed > TOO_MANY:
        done = _told(
            done, "Warning", "TooManyMissedTimes",
            f"too many missed start times: {missed}. Set or decrease "
            ".spec.startingDeadlineSeconds or check clock skew",
        )  # fmt: skip
    if at is None:
        return done
    return _start(cron_job, done, active, at, zone)


def _due(
    cron_job: Json, status: Json, schedule: Schedule, zone: tzinfo, now: float
) -> tuple[float | None, int]:
    """The time that is to be served now, if any; and how many have passed unserved."""
    since = from_rfc3339(
        status.get("lastScheduleTime") or cron_job["metadata"]["creationTimestamp"]
    )
    deadline = cron_job["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        since = max(since, now - float(deadline))
    return latest(schedule, zone, since, now)


def _start(cron_job: Json, done: Decision, active: list[Json], at: float, zone: tzinfo) -> Decision:
    policy = cron_job["spec"].get("concurrencyPolicy", "Allow")
    if active and policy == "Forbid":
        return _told(
            done, "Normal", "JobAlreadyActive",
            "Not starting job because prior execution is running and concurrency policy is Forbid",
        )  # fmt: skip
    gone: list[Json] = []
    if active and policy == "Replace":
        gone = [job for job in active if "deletionTimestamp" not in job["metadata"]]
    status = {**done.status, "lastScheduleTime": rfc3339(at)}
    start = new_job(cron_job, at, zone)
    return replace(done, status=status, start=start, delete=(*done.delete, *gone))


def new_job(cron_job: Json, at: float, zone: tzinfo) -> Json:
    """The Job of a scheduled time, to be created. Its name says which, so that it is made once."""
    template = cron_job["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    when = datetime.fromtimestamp(at, zone).isoformat().replace("+00:00", "Z")
    return {
        "metadata": {
            "name": f"{cron_job['metadata']['name'][:52]}-{int(at) // 60}",
            "namespace": cron_job["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {**(metadata.get("annotations") or {}), SCHEDULED: when},
            "ownerReferences": [owner_reference(cron_job, CRON_JOBS)],
        },
        "spec": template["spec"],
    }


def _status(cron_job: Json, jobs: list[Json], active: list[Json]) -> tuple[Json, list[Event]]:
    """What the Jobs tell, and the news in it."""
    past = cron_job.get("status") or {}
    status = {**past, "active": [_reference(job) for job in sorted(active, key=_begun)]}
    known = {one.get("uid") for one in past.get("active") or ()}
    events: list[Event] = []
    for job in jobs:
        name, end = job["metadata"]["name"], _end(job)
        if end and job["metadata"]["uid"] in known:
            message = f"Saw completed job: {name}, condition: {end}"
            events.append(("Normal", "SawCompletedJob", message))
        if end == "Complete" and (job.get("status") or {}).get("completionTime"):
            latest_ = max(status.get("lastSuccessfulTime") or "", job["status"]["completionTime"])
            status["lastSuccessfulTime"] = latest_
        served = (job["metadata"].get("annotations") or {}).get(SCHEDULED)
        if served:
            text = rfc3339(from_rfc3339(served))
            status["lastScheduleTime"] = max(status.get("lastScheduleTime") or "", text)
    left = known - {job["metadata"]["uid"] for job in jobs}
    for one in past.get("active") or ():
        if one.get("uid") in left:
            message = f"Active job went missing: {one.get('name')}"
            events.append(("Normal", "MissingJob", message))
    return status, events


def _reference(job: Json) -> Json:
    metadata = job["metadata"]
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def _surplus(cron_job: Json, jobs: list[Json]) -> list[Json]:
    """Finished Jobs beyond the limits of the history, the oldest first."""
    found: list[Json] = []
    limits = (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    )
    for end, field, default in limits:
        limit = cron_job["spec"].get(field)
        limit = default if limit is None else limit
        of_kind = sorted((job for job in jobs if _end(job) == end), key=_begun)
        found += of_kind[: max(len(of_kind) - limit, 0)]
    return [job for job in found if "deletionTimestamp" not in job["metadata"]]


def _begun(job: Json) -> tuple[str, str]:
    status = job.get("status") or {}
    begun = status.get("startTime") or job["metadata"].get("creationTimestamp") or ""
    return begun, job["metadata"]["name"]


def _end(job: Json) -> str:
    """Complete, Failed, or empty while it runs."""
    for kind in ("Complete", "Failed"):
        found = pods.condition(job, kind)
        if found is not None and found["status"] == "True":
            return kind
    return ""


def _told(decision: Decision, kind: str, reason: str, message: str) -> Decision:
    return replace(decision, events=(*decision.events, (kind, reason, message)))
