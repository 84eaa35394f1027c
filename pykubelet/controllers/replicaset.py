"""ReplicaSet: so many pods of one template, no more and no fewer.

ReplicationController is the same with an older selector; `replication` makes it of this.
Source: the ReplicaSet reference (apps/v1) and upstream's ranking of pods to delete.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pykubelet.client.api import controller_of, owner_reference
from pykubelet.client.resources import REPLICA_SETS, Resource
from pykubelet.controllers import pods
from pykubelet.controllers.base import Context, Controller
from pykubelet.controllers.dependents import LAG, Dependents, Refused, label_selector
from pykubelet.controllers.reporting import condition, same, with_condition, without
from pykubelet.objects import selectors

Json = dict[str, Any]

#: Pods made or deleted in one turn at most.
BURST = 500


@dataclass(frozen=True, slots=True)
class Decision:
    """`create` so many pods, `delete` these; `look_in` seconds when one becomes available."""

    create: int
    delete: tuple[Json, ...]
    look_in: float | None = None


def decide(
    owner: Json, own: list[Json], now: float, siblings: Counter[str] | None = None
) -> Decision:
    """What a ReplicaSet needs, given the pods that it controls. Pure.

    `siblings` counts, by node, the pods of all ReplicaSets of the same Deployment: where many stand
    together, one goes first.
    """
    wanted = owner["spec"].get("replicas")
    wanted = 1 if wanted is None else wanted
    active = [pod for pod in own if pods.is_active(pod)]
    surplus = len(active) - wanted
    create = delete = 0
    if "deletionTimestamp" not in owner["metadata"]:
        create, delete = min(max(-surplus, 0), BURST), min(max(surplus, 0), BURST)
    going = tuple(pods.first_to_go(active, now, siblings)[:delete]) if delete else ()
    return Decision(create, going, _look_in(owner, active, now))


def status(owner: Json, own: list[Json], now: float, failure: str = "") -> Json:
    """`failure` says why pods could not be made or deleted. One that stands there stays as it is:
    each refusal names another pod, and a status that changes with it would wake us at once. Pure.
    """
    active = [pod for pod in own if pods.is_active(pod)]
    ready_for = owner["spec"].get("minReadySeconds") or 0
    labels = (owner["spec"].get("template") or {}).get("metadata", {}).get("labels") or {}
    found: Json = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(
            labels.items() <= (p["metadata"].get("labels") or {}).items() for p in active
        ),
        "readyReplicas": sum(pods.is_ready(p) for p in active),
        "availableReplicas": sum(pods.is_available(p, ready_for, now) for p in active),
        "terminatingReplicas": sum("deletionTimestamp" in p["metadata"] for p in own),
        "observedGeneration": owner["metadata"].get("generation", 0),
    }
    conditions = (owner.get("status") or {}).get("conditions")
    if failure and pods.condition(owner, "ReplicaFailure") is None:
        new = condition("ReplicaFailure", True, "FailedCreate", failure, now)
        conditions = with_condition(conditions, new)
    elif not failure:
        conditions = without(conditions, "ReplicaFailure")
    if conditions:
        found["conditions"] = conditions
    return found


def _look_in(owner: Json, active: list[Json], now: float) -> float | None:
    ready_for = owner["spec"].get("minReadySeconds") or 0
    waits = [at - now for p in active if (at := pods.available_at(p, ready_for)) and at > now]
    return min(waits, default=None)


class ReplicaSetController(Controller):
    name = "replicaset-controller"
    resource: Resource = REPLICA_SETS

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._own = Dependents(self, self.resource, selector=self.selector)

    def selector(self, owner: Json) -> selectors.Selector:
        return label_selector(owner)

    def turn(self, key: str) -> float | None:
        owner = self._own.owner(key)
        if owner is None:
            return None
        own = self._own.claim(owner)
        decision = decide(owner, own, self.now(), self._siblings(owner))
        if not self._own.caught_up(key, own):
            return LAG  # neither act nor tell: both would be of a state that is past
        refused: Refused | None = None
        try:
            self._act(key, owner, decision)
        except Refused as error:
            refused = error
        going = {pod["metadata"]["uid"] for pod in decision.delete}
        left = [pod for pod in own if pod["metadata"]["uid"] not in going]
        self._report(owner, status(owner, left, self.now(), str(refused or "")))
        if refused:
            raise refused  # to be tried again, ever more slowly
        return decision.look_in

    def _siblings(self, owner: Json) -> Counter[str]:
        """Active pods by node, of all ReplicaSets that the same object controls."""
        above = controller_of(owner)
        owners = self._own.owners.by("owner", above["uid"]) if above else [owner]
        return Counter(
            pod["spec"].get("nodeName", "")
            for one in owners
            for pod in self._own.store.by("owner", one["metadata"]["uid"])
            if pods.is_active(pod)
        )

    def _act(self, key: str, owner: Json, decision: Decision) -> None:
        reference = owner_reference(owner, self.resource)
        new = pods.from_template(owner["spec"]["template"], owner, reference)
        self._own.create_many(key, owner, [new] * decision.create)
        self._own.delete_many(key, owner, decision.delete)

    def _report(self, owner: Json, status: Json) -> None:
        if not same(status, owner.get("status") or {}):
            self.api.update_status(self.resource, {**owner, "status": status})
