"""Whether a Job has come to its end, which, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.clock import from_rfc3339
from pykubelet.controllers import pods
from pykubelet.controllers.job import policies
from pykubelet.controllers.job.counting import Count
from pykubelet.controllers.job.making import is_indexed, limit_per_index, phase

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class End:
    failed: bool
    reason: str
    message: str


def is_finished(job: Json) -> bool:
    return any(is_true(job.get("status") or {}, kind) for kind in ("Complete", "Failed"))


def is_true(status: Mapping[str, Any], kind: str) -> bool:
    found = pods.condition({"status": status}, kind)
    return found is not None and found["status"] == "True"


def under_way(status: Json) -> End | None:
    """The end that was decided before, and is being carried out."""
    for kind, failed in (("FailureTarget", True), ("SuccessCriteriaMet", False)):
        if is_true(status, kind):
            found = pods.condition({"status": status}, kind) or {}
            return End(failed, found.get("reason", ""), found.get("message", ""))
    return None


def reached(
    job: Json, own: list[Json], active: list[Json], counted: Count, now: float
) -> End | None:
    """The end that the Job meets now; None while it goes on."""
    spec = job["spec"]
    if counted.fatal:
        return End(True, "PodFailurePolicy", counted.fatal)
    if _too_many_failures(job, own, counted):
        return End(True, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = deadline_in(job, now)
    if left is not None and left <= 0:
        return End(True, "DeadlineExceeded", "Job was active longer than specified deadline")
    if is_indexed(job):
        end = _by_index(job, counted)
        if end is not None:
            return end
    completions = spec.get("completions")
    if completions is None:
        done = counted.succeeded > 0 and not active
    else:
        done = counted.succeeded >= completions
    if spec.get("suspend") and completions is None:
        done = False
    if done:
        return End(False, "CompletionsReached", "Reached expected number of succeeded pods")
    return None


def _by_index(job: Json, counted: Count) -> End | None:
    spec = job["spec"]
    total = spec.get("completions") or 0
    if met := policies.success(job, counted.completed):
        return End(False, "SuccessPolicy", met)
    if limit_per_index(job) is None:
        return None
    most = spec.get("maxFailedIndexes")
    if most is not None and len(counted.failed_indexes) > most:
        return End(
            True, "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        )  # fmt: skip
    if counted.failed_indexes and len(counted.failed_indexes | counted.completed) >= total:
        return End(True, "FailedIndexes", "Job has failed indexes")
    return None


def _too_many_failures(job: Json, own: list[Json], counted: Count) -> bool:
    limit = job["spec"].get("backoffLimit")
    limit = 6 if limit is None else limit
    if counted.failed > limit:
        return True
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        one.get("restartCount", 0)
        for pod in own
        if phase(pod) in ("Running", "Pending")
        for field in ("containerStatuses", "initContainerStatuses")
        for one in (pod.get("status") or {}).get(field) or ()
    )
    return bool(restarts > 0 if limit == 0 else restarts >= limit)


def deadline_in(job: Json, now: float) -> float | None:
    """Seconds until the active deadline; None where there is none, or it does not run."""
    seconds = job["spec"].get("activeDeadlineSeconds")
    begun = (job.get("status") or {}).get("startTime")
    if seconds is None or not begun or job["spec"].get("suspend"):
        return None
    return from_rfc3339(begun) + float(seconds) - now
