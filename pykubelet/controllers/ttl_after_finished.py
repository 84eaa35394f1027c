"""Finished Jobs go by themselves, `ttlSecondsAfterFinished` after their end.

Source: the Job reference (batch/v1), "Automatic Cleanup for Finished Jobs".
"""

from __future__ import annotations

from typing import Any

from pykubelet.client.errors import NotFound
from pykubelet.client.resources import JOBS
from pykubelet.clock import from_rfc3339
from pykubelet.controllers import pods
from pykubelet.controllers.base import Context, Controller

Json = dict[str, Any]


def due(job: Json) -> float | None:
    """When a Job is to go, in wall seconds; None for one that stays, or is going. Pure."""
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    if seconds is None or "deletionTimestamp" in job["metadata"]:
        return None
    for kind in ("Complete", "Failed"):
        found = pods.condition(job, kind)
        if found is not None and found["status"] == "True":
            return from_rfc3339(found["lastTransitionTime"]) + float(seconds)
    return None


class TtlAfterFinishedController(Controller):
    name = "ttl-after-finished-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._jobs = self.watch(JOBS)

    def turn(self, key: str) -> float | None:
        job = self._jobs.get(key)
        at = due(job) if job else None
        if job is None or at is None:
            return None
        if at > self.now():
            return at - self.now()
        metadata = job["metadata"]
        name, namespace, uid = metadata["name"], metadata["namespace"], metadata["uid"]
        try:
            # Its time may have been prolonged since this was seen.
            at = due(self.api.get(JOBS, name, namespace))
            if at is not None and at <= self.now():
                self.api.delete(JOBS, name, namespace, uid=uid, propagation="Foreground")
        except NotFound:
            pass
        return None
