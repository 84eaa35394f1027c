"""StatefulSets looked at and acted on; what to do is `decision`'s."""

from __future__ import annotations

from typing import Any

from pykubelet.client.errors import AlreadyExists, NotFound, Rejected
from pykubelet.client.resources import PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from pykubelet.controllers.base import Context, Controller, sooner
from pykubelet.controllers.dependents import LAG, Dependents, Refused
from pykubelet.controllers.reporting import same
from pykubelet.controllers.revisions import Collision, History, template_of
from pykubelet.controllers.statefulset import retention
from pykubelet.controllers.statefulset.decision import Decision, Revision, decide, has_ended
from pykubelet.controllers.statefulset.identity import (
    claims,
    missing_labels,
    ordinal_of,
    ordinals,
    revision_of,
)

Json = dict[str, Any]


class StatefulSetController(Controller):
    name = "statefulset-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._own = Dependents(self, STATEFUL_SETS)
        self._history = History(self, STATEFUL_SETS)
        self._claims = self.watch(PERSISTENT_VOLUME_CLAIMS, lambda claim: ())

    def turn(self, key: str) -> float | None:
        set_ = self._own.owner(key)
        if set_ is None or "deletionTimestamp" in set_["metadata"]:
            return None
        own = self._own.claim(set_, lambda pod: ordinal_of(set_, pod) is not None)
        if not self._own.caught_up(key, own):
            return LAG
        try:
            found = self._history.look(key, set_)
        except Collision:
            self._collide(set_)
            raise
        if found is None:
            return LAG
        present, known = found
        update = Revision(present["metadata"]["name"], template_of(present))
        current = _current(set_, known, update)
        decision = decide(set_, own, current, update, self.now())
        wait = self._act(key, set_, own, decision)
        if not same(decision.status, set_.get("status") or {}):
            self.api.update_status(STATEFUL_SETS, {**set_, "status": decision.status})
        in_use = {current.name, update.name, *map(revision_of, own)}
        self._history.clear_away(set_, known, in_use)
        return sooner(wait, decision.look_in)

    def _collide(self, set_: Json) -> None:
        status = set_.get("status") or {}
        count = int(status.get("collisionCount") or 0) + 1
        status = {**status, "collisionCount": count}
        self.api.update_status(STATEFUL_SETS, {**set_, "status": status})

    # -- acting -----------------------------------------------------------------------------------

    def _act(self, key: str, set_: Json, own: list[Json], decision: Decision) -> float | None:
        """Seconds after which to look again, where something stands in the way."""
        self._mend(set_, own)
        for pod in decision.delete:
            if has_ended(pod):
                phase = pod["status"]["phase"]
                self.events.record(
                    set_, "Warning", "RecreatingFailedPod" if phase == "Failed"
                    else "RecreatingTerminatedPod",
                    f"StatefulSet {key} is recreating {phase} Pod {pod['metadata']['name']}",
                )  # fmt: skip
            self._own.delete(key, set_, pod)
        wait = None
        for ordinal, pod in decision.create:
            if not self._claim_volumes(set_, ordinal):
                wait = LAG  # the last claim of this name is still on its way out
                continue
            try:
                self._own.create(key, set_, pod)
            except AlreadyExists:
                # Somebody's pod of this name, or ours that does not show yet.
                wait = LAG
        return wait

    def _claim_volumes(self, set_: Json, ordinal: int) -> bool:
        """Have the claims of an ordinal; False while an old one is to go first."""
        for claim in claims(set_, ordinal):
            namespace, name = claim["metadata"]["namespace"], claim["metadata"]["name"]
            there = self._claims.get(f"{namespace}/{name}")
            if there is not None:
                if "deletionTimestamp" in there["metadata"] or _belongs_to_a_pod(there):
                    return False
                continue
            references = retention.owners(set_, None, claim, scaled_away=False)
            if references:
                claim["metadata"]["ownerReferences"] = references
            try:
                self.api.create(PERSISTENT_VOLUME_CLAIMS, claim)
            except AlreadyExists:
                continue
            except Rejected as error:
                self.events.record(set_, "Warning", "FailedCreate", f"create Claim {name}: {error}")
                raise Refused(str(error)) from error
            self.events.record(
                set_, "Normal", "SuccessfulCreate",
                f"create Claim {name} Pod {set_['metadata']['name']}-{ordinal} success",
            )  # fmt: skip
        return True

    def _mend(self, set_: Json, own: list[Json]) -> None:
        """What pods and claims that are there should look like by now."""
        wanted = ordinals(set_)
        for pod in own:
            ordinal = ordinal_of(set_, pod)
            going = "deletionTimestamp" in pod["metadata"]
            if ordinal is None or (going and ordinal in wanted):
                continue
            if not going and (labels := missing_labels(set_, pod)):
                self._patch(PODS, pod, {"labels": labels})
            for claim in claims(set_, ordinal):
                away = ordinal not in wanted
                there = self._there(claim, surely=away)
                if there is None:
                    if not away and not pod["spec"].get("nodeName"):
                        self._claim_volumes(set_, ordinal)
                    continue
                references = retention.owners(set_, pod, there, scaled_away=away)
                if references is not None:
                    version = there["metadata"]["resourceVersion"]
                    metadata = {"ownerReferences": references or None, "resourceVersion": version}
                    self._patch(PERSISTENT_VOLUME_CLAIMS, there, metadata)

    def _there(self, claim: Json, *, surely: bool) -> Json | None:
        """The stored claim. `surely`: by the server's word, since a pod that goes without its claim
        being told leaves it behind for ever."""
        namespace, name = claim["metadata"]["namespace"], claim["metadata"]["name"]
        if not surely:
            return self._claims.get(f"{namespace}/{name}")
        try:
            return self.api.get(PERSISTENT_VOLUME_CLAIMS, name, namespace)
        except NotFound:
            return None

    def _patch(self, resource: Any, object_: Json, metadata: Json) -> None:
        old = object_["metadata"]
        patch = {"metadata": {**metadata, "uid": old["uid"]}}
        try:
            self.api.patch(resource, old["name"], patch, old["namespace"])
        except NotFound:
            pass


def _belongs_to_a_pod(claim: Json) -> bool:
    """Whether a claim goes with a pod that was scaled away: the next pod gets a new one."""
    return any(r["kind"] == "Pod" for r in claim["metadata"].get("ownerReferences") or ())


def _current(set_: Json, known: list[Json], update: Revision) -> Revision:
    """The revision that the status calls the current one."""
    name = (set_.get("status") or {}).get("currentRevision")
    found = next((one for one in known if one["metadata"]["name"] == name), None)
    return Revision(found["metadata"]["name"], template_of(found)) if found else update
