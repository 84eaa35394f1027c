"""CronJobs looked at and acted on; what to do is `decision`'s."""

from __future__ import annotations

from typing import Any

from pykubelet.client.errors import AlreadyExists, NotFound
from pykubelet.client.resources import CRON_JOBS, JOBS
from pykubelet.controllers.base import Context, Controller
from pykubelet.controllers.cronjob.decision import decide
from pykubelet.controllers.dependents import LAG, Dependents
from pykubelet.controllers.reporting import same

Json = dict[str, Any]


class CronJobController(Controller):
    name = "cronjob-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._own = Dependents(self, CRON_JOBS, JOBS, selector=None)

    def turn(self, key: str) -> float | None:
        cron_job = self._own.owner(key)
        if cron_job is None:
            return None
        jobs = self._own.claim(cron_job)
        if not self._own.caught_up(key, jobs):
            return LAG
        decision = decide(cron_job, jobs, self.now())
        for event in decision.events:
            self.events.record(cron_job, *event)
        for job in decision.delete:
            self._delete(cron_job, job)
        if decision.start is not None:
            try:
                self._own.create(key, cron_job, decision.start)
            except AlreadyExists:
                pass  # started before a crash, or somebody else's: this time has been served
        if not same(decision.status, cron_job.get("status") or {}):
            self.api.update_status(CRON_JOBS, {**cron_job, "status": decision.status})
        return decision.look_in

    def _delete(self, cron_job: Json, job: Json) -> None:
        metadata = job["metadata"]
        name, namespace, uid = metadata["name"], metadata["namespace"], metadata["uid"]
        try:
            self.api.delete(JOBS, name, namespace, uid=uid, propagation="Background")
        except NotFound:
            return
        self.events.record(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {name}")
