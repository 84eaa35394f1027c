"""ReplicaSet: so many pods of one template, no more and no fewer.

ReplicationController is the same with an older selector; `replication` makes it of this.
Source: the ReplicaSet reference (apps/v1) and upstream's ranking of pods to delete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pykubelet.client.api import owner_reference
from pykubelet.client.errors import ApiError, NotFound, Rejected
from pykubelet.client.informer import key_of
from pykubelet.client.resources import PODS, REPLICA_SETS, Resource
from pykubelet.controllers import pods
from pykubelet.controllers.base import Context, Controller, keys_of_controller
from pykubelet.controllers.expectations import Expectations
from pykubelet.objects import selectors

Json = dict[str, Any]

#: Pods made or deleted in one turn at most.
BURST = 500


@dataclass(frozen=True, slots=True)
class Decision:
    """`create` so many pods, `delete` these; `look_in` seconds when one becomes available."""

    create: int
    delete: tuple[Json, ...]
    status: Json
    look_in: float | None = None


def decide(owner: Json, own: list[Json], now: float) -> Decision:
    """What a ReplicaSet needs, given the pods that it controls. Pure."""
    wanted = owner["spec"].get("replicas")
    wanted = 1 if wanted is None else wanted
    active = [pod for pod in own if pods.is_active(pod)]
    surplus = len(active) - wanted
    create = delete = 0
    if "deletionTimestamp" not in owner["metadata"]:
        create, delete = min(max(-surplus, 0), BURST), min(max(surplus, 0), BURST)
    going = tuple(pods.first_to_go(active, now)[:delete])
    return Decision(create, going, _status(owner, own, active, now), _look_in(owner, active, now))


def _status(owner: Json, own: list[Json], active: list[Json], now: float) -> Json:
    ready_for = owner["spec"].get("minReadySeconds") or 0
    labels = (owner["spec"].get("template") or {}).get("metadata", {}).get("labels") or {}
    terminating = [p for p in own if "deletionTimestamp" in p["metadata"]]
    status: Json = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(
            labels.items() <= (p["metadata"].get("labels") or {}).items() for p in active
        ),
        "readyReplicas": sum(pods.is_ready(p) for p in active),
        "availableReplicas": sum(pods.is_available(p, ready_for, now) for p in active),
        "terminatingReplicas": len(terminating),
        "observedGeneration": owner["metadata"].get("generation", 0),
    }
    failed = pods.condition(owner, "ReplicaFailure")
    kept = [c for c in (owner.get("status") or {}).get("conditions") or () if c is not failed]
    if kept:
        status["conditions"] = kept
    return status


def _look_in(owner: Json, active: list[Json], now: float) -> float | None:
    ready_for = owner["spec"].get("minReadySeconds") or 0
    waits = [at - now for p in active if (at := pods.available_at(p, ready_for)) and at > now]
    return min(waits, default=None)


class ReplicaSetController(Controller):
    name = "replicaset-controller"
    resource: Resource = REPLICA_SETS

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._expectations = Expectations()
        self._owners = self.watch(self.resource)
        self._pods = self.watch(PODS, self._keys)
        self._by_owner = keys_of_controller(self.resource.kind)

    def turn(self, key: str) -> float | None:
        owner = self._owners.get(key)
        if owner is None:
            self._expectations.forget(key)
            return None
        own = self._claim(owner)
        seen = ((p["metadata"]["uid"], "deletionTimestamp" in p["metadata"]) for p in own)
        decision = decide(owner, own, self.now())
        failure = ""
        if self._expectations.met(key, seen, self.now()):
            failure = self._act(key, owner, decision)
        self._report(owner, decision.status, failure)
        return decision.look_in

    # -- looking ----------------------------------------------------------------------------------

    def _keys(self, pod: Json) -> list[str]:
        """The owner of a pod; for one without, every owner that might adopt it."""
        found = list(self._by_owner(pod))
        if found or any(r.get("controller") for r in pod["metadata"].get("ownerReferences") or ()):
            return found
        labels = pod["metadata"].get("labels")
        namespace = pod["metadata"].get("namespace", "")
        return [
            key_of(owner)
            for owner in self._owners.by("namespace", namespace)
            if selectors.matches(self.selector(owner), labels)
        ]

    def selector(self, owner: Json) -> selectors.Selector:
        return selectors.from_object(owner["spec"].get("selector"))

    def _claim(self, owner: Json) -> list[Json]:
        """Our pods, with those adopted that fit, and without those that no longer do."""
        uid, namespace = owner["metadata"]["uid"], owner["metadata"]["namespace"]
        everyone = self._pods.by("namespace", namespace)
        own, adopt, release = pods.claim(uid, self.selector(owner), everyone)
        if "deletionTimestamp" in owner["metadata"]:
            return own
        for pod in adopt:
            reference = owner_reference(owner, self.resource)
            self._patch(pod, {"ownerReferences": [reference], "uid": pod["metadata"]["uid"]})
            own.append(pod)
        for pod in release:
            references = pod["metadata"].get("ownerReferences") or ()
            left = [r for r in references if r["uid"] != uid]
            self._patch(pod, {"ownerReferences": left or None, "uid": pod["metadata"]["uid"]})
        return own

    def _patch(self, pod: Json, metadata: Json) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        try:
            self.api.patch(PODS, name, {"metadata": metadata}, namespace)
        except NotFound:
            pass  # gone meanwhile; its deletion brings us here again

    # -- acting -----------------------------------------------------------------------------------

    def _act(self, key: str, owner: Json, decision: Decision) -> str:
        """Make and delete; why it can't go on, if so. Batches double, so that a quota that is
        reached costs a few refusals and not hundreds."""
        batch, left = 1, decision.create
        while left > 0:
            for _ in range(min(batch, left)):
                refused = self._create(key, owner)
                if refused:
                    return refused
            left -= batch
            batch *= 2
        for pod in decision.delete:
            self._delete(key, owner, pod)
        return ""

    def _create(self, key: str, owner: Json) -> str:
        reference = owner_reference(owner, self.resource)
        pod = pods.from_template(owner["spec"]["template"], owner, reference)
        try:
            made = self.api.create(PODS, pod)
        except Rejected as error:
            self.events.record(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            return str(error)
        self._expectations.made(key, made["metadata"]["uid"], self.now())
        name = made["metadata"]["name"]
        self.events.record(owner, "Normal", "SuccessfulCreate", f"Created pod: {name}")
        return ""

    def _delete(self, key: str, owner: Json, pod: Json) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        self._expectations.taken(key, pod["metadata"]["uid"], self.now())
        try:
            self.api.delete(PODS, name, namespace, uid=pod["metadata"]["uid"])
        except NotFound:
            return
        except ApiError as error:
            self.events.record(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self.events.record(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")

    def _report(self, owner: Json, status: Json, failure: str) -> None:
        if failure:
            condition = {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": failure,
            }
            status = {**status, "conditions": [*(status.get("conditions") or ()), condition]}
        if status != owner.get("status"):
            self.api.update_status(self.resource, {**owner, "status": status})
