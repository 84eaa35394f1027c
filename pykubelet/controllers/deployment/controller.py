"""Deployments looked at and acted on; what to do is `decision`'s."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pykubelet.client.api import controller_of
from pykubelet.client.errors import AlreadyExists, NotFound
from pykubelet.client.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from pykubelet.controllers import pods
from pykubelet.controllers.base import Context, Controller
from pykubelet.controllers.dependents import LAG, Dependents, label_selector
from pykubelet.controllers.deployment.decision import Decision, decide, describe
from pykubelet.controllers.deployment.model import REVISION, is_rolling, split
from pykubelet.controllers.reporting import same
from pykubelet.controllers.templates import same_template

Json = dict[str, Any]


class DeploymentController(Controller):
    name = "deployment-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._own = Dependents(self, DEPLOYMENTS, REPLICA_SETS)
        self._pods = self.watch(PODS, self._keys_of_pod)

    def turn(self, key: str) -> float | None:
        deployment = self._own.owner(key)
        if deployment is None:
            return None
        if not label_selector(deployment):
            self.events.record(
                deployment, "Warning", "SelectingAll",
                "This deployment is selecting all pods. A non-empty selector is required.",
            )  # fmt: skip
            return None
        replica_sets = self._own.claim(deployment)
        if not self._own.caught_up(key, replica_sets):
            return LAG
        running = self._old_pods_run(deployment, replica_sets)
        decision = decide(deployment, replica_sets, running, self.now())
        self._act(key, self._numbered(deployment, decision), decision)
        return decision.look_in

    # -- looking ----------------------------------------------------------------------------------

    def _keys_of_pod(self, pod: Json) -> Iterable[str]:
        """Only a Deployment that recreates waits for the end of pods."""
        if pods.is_active(pod):
            return
        above = controller_of(pod)
        namespace = pod["metadata"].get("namespace", "")
        if above is None or above["kind"] != "ReplicaSet":
            return
        replica_set = self._own.store.get(f"{namespace}/{above['name']}")
        top = controller_of(replica_set) if replica_set else None
        if top is not None and top["kind"] == "Deployment":
            key = f"{namespace}/{top['name']}"
            deployment = self._own.owners.get(key)
            if deployment is not None and not is_rolling(deployment):
                yield key

    def _old_pods_run(self, deployment: Json, replica_sets: list[Json]) -> bool:
        if is_rolling(deployment):
            return False
        _, old = split(deployment, replica_sets)
        return any(
            (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            for one in old
            for pod in self._pods.by("owner", one["metadata"]["uid"])
        )

    # -- acting -----------------------------------------------------------------------------------

    def _numbered(self, deployment: Json, decision: Decision) -> Json:
        """The Deployment with its revision in its annotation."""
        if not decision.revision:
            return deployment
        metadata = deployment["metadata"]
        annotations = {REVISION: str(decision.revision)}
        patch = {"metadata": {"annotations": annotations, "uid": metadata["uid"]}}
        new = self.api.patch(DEPLOYMENTS, metadata["name"], patch, metadata["namespace"])
        # What was decided was decided for the spec seen before.
        return {**deployment, "metadata": {**new["metadata"], "generation": metadata["generation"]}}

    def _act(self, key: str, deployment: Json, decision: Decision) -> None:
        if decision.create is not None:
            self._create(key, deployment, decision.create)
        for old, new in decision.update:
            self._own.wrote(key, self.api.update(REPLICA_SETS, new))
            if sentence := describe(old, new):
                self.events.record(deployment, "Normal", "ScalingReplicaSet", sentence)
        for one in decision.delete:
            metadata = one["metadata"]
            try:
                self.api.delete(
                    REPLICA_SETS, metadata["name"], metadata["namespace"], uid=metadata["uid"]
                )
            except NotFound:
                pass
        if not same(decision.status, deployment.get("status") or {}):
            self.api.update_status(DEPLOYMENTS, {**deployment, "status": decision.status})

    def _create(self, key: str, deployment: Json, wanted: Json) -> None:
        name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        try:
            made = self.api.create(REPLICA_SETS, wanted)
        except AlreadyExists:
            self._collide(deployment, name, namespace)
            raise
        self._own.wrote(key, made)
        size = wanted["spec"]["replicas"]
        self.events.record(
            deployment, "Normal", "ScalingReplicaSet",
            f"Scaled up replica set {name} from 0 to {size}",
        )  # fmt: skip

    def _collide(self, deployment: Json, name: str, namespace: str) -> None:
        """The name is taken. By another template: count up, for another name. By ours: the store
        will show it."""
        there = self.api.get(REPLICA_SETS, name, namespace)
        above = controller_of(there)
        ours = above is not None and above["uid"] == deployment["metadata"]["uid"]
        template = deployment["spec"]["template"]
        if ours and same_template(there["spec"]["template"], template):
            return
        status = deployment.get("status") or {}
        count = int(status.get("collisionCount") or 0) + 1
        new = {**deployment, "status": {**status, "collisionCount": count}}
        self.api.update_status(DEPLOYMENTS, new)
