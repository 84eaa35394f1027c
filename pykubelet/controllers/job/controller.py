"""Jobs looked at and acted on; what to do is `decision`'s."""

from __future__ import annotations

from functools import partial
from typing import Any

from pykubelet.client.api import controller_of
from pykubelet.client.errors import NotFound
from pykubelet.client.resources import JOBS, PODS
from pykubelet.controllers.base import Context, Controller
from pykubelet.controllers.dependents import LAG, Dependents
from pykubelet.controllers.expectations import Expectations
from pykubelet.controllers.job.decision import Decision, decide
from pykubelet.controllers.job.making import FINALIZER, is_tracked, without_finalizer
from pykubelet.controllers.reporting import same

Json = dict[str, Any]

_OURS = "kubernetes.io/job-controller"


class JobController(Controller):
    name = "job-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._own = Dependents(self, JOBS, finalizer=FINALIZER)
        self._statuses = Expectations()

    def turn(self, key: str) -> float | None:
        job = self._own.owner(key)
        self._let_orphans_go(key, job)
        if job is None:
            self._statuses.forget(key)
            return None
        if job["spec"].get("managedBy", _OURS) != _OURS:
            return None
        own = self._own.claim(job)
        if not self._own.caught_up(key, own) or not self._knows_its_status(key):
            return LAG
        decision = decide(job, own, self.now())
        self._act(key, job, decision)
        return decision.look_in

    def _knows_its_status(self, key: str) -> bool:
        """Whether the last status written here shows: counting from an older one, what has been
        counted and let go would be done again."""
        return self._statuses.met(key, self._own.owners.version, {}, self.now())

    def _act(self, key: str, job: Json, decision: Decision) -> None:
        if not same(decision.status, job.get("status") or {}):
            written = self.api.update_status(JOBS, {**job, "status": decision.status})
            self._statuses.made(key, written["metadata"]["resourceVersion"], self.now())
        for kind, reason, message in decision.events:
            self.events.record(job, kind, reason, message)
        self.context.each([partial(self._let_go, key, pod) for pod in decision.release])
        for pod in decision.withdraw:
            self._let_go(key, pod)
            self._own.delete(key, job, pod)
        self._own.delete_many(key, job, decision.kill)
        self._own.create_many(key, job, list(decision.create))

    def _let_go(self, key: str, pod: Json) -> None:
        """Take our finalizer away."""
        if not is_tracked(pod):
            return
        metadata = pod["metadata"]
        patch = {
            "metadata": {
                "finalizers": without_finalizer(pod),
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            }
        }
        try:
            patched = self.api.patch(PODS, metadata["name"], patch, metadata["namespace"])
        except NotFound:
            return
        self._own.wrote(key, patched)

    def _let_orphans_go(self, key: str, job: Json | None) -> None:
        """Pods whose Job is gone can't be counted any more; nothing may hold them."""
        namespace, _, name = key.partition("/")
        if job is not None:
            return
        for pod in self._own.store.by("namespace", namespace):
            above = controller_of(pod)
            if above is not None and above["kind"] == "Job" and above["name"] == name:
                self._let_go(key, pod)
