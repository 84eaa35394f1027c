"""PodDisruptionBudgets: how many pods of an application may be evicted now.

The server's eviction subresource spends what the status allows; this fills it in again. How many
pods there should be is asked of the objects that control them. Source: the PodDisruptionBudget
reference (policy/v1) and "Specifying a Disruption Budget for your Application".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pykubelet.client.api import controller_of
from pykubelet.client.errors import NotFound
from pykubelet.client.informer import key_of
from pykubelet.client.resources import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from pykubelet.clock import from_rfc3339
from pykubelet.controllers import pods
from pykubelet.controllers.amounts import scaled
from pykubelet.controllers.base import Context, Controller
from pykubelet.controllers.reporting import condition, same, with_condition
from pykubelet.controllers.scales import Scales
from pykubelet.errors import Failed
from pykubelet.objects import selectors

Json = dict[str, Any]

#: Seconds in which an evicted pod has to be on its way out, or it was not evicted.
DELETION_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Decision:
    status: Json
    look_in: float | None = None


def needs_scale(budget: Json) -> bool:
    """Whether the budget is a part of the whole, which then has to be known."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def decide(budget: Json, chosen: list[Json], scale: int, now: float) -> Decision:
    """`chosen` are the pods that the selector selects; `scale` how many there should be, which only
    counts where `needs_scale`. Pure."""
    spec = budget["spec"]
    expected = scale if needs_scale(budget) else len(chosen)
    if spec.get("maxUnavailable") is not None:
        desired = max(expected - scaled(spec["maxUnavailable"], expected, up=True), 0)
    elif isinstance(spec.get("minAvailable"), str):
        desired = scaled(spec["minAvailable"], expected, up=True)
    else:
        minimum = spec.get("minAvailable")
        desired = 1 if minimum is None else int(minimum)
    disrupted, look_in = _still_disrupted(budget, chosen, now)
    healthy = sum(
        pods.is_ready(pod)
        for pod in chosen
        if "deletionTimestamp" not in pod["metadata"] and pod["metadata"]["name"] not in disrupted
    )
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    reason = "SufficientPods" if allowed else "InsufficientPods"
    told = condition("DisruptionAllowed", allowed > 0, reason, "", now)
    status: Json = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "observedGeneration": budget["metadata"].get("generation", 0),
        "conditions": _with(budget, told),
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    return Decision(status, look_in)


def failed(budget: Json, why: str, now: float) -> Json:
    """The status when it can't be told how many there should be: nothing may be evicted. Pure."""
    told = condition("DisruptionAllowed", False, "SyncFailed", why, now)
    generation = budget["metadata"].get("generation", 0)
    return {
        **(budget.get("status") or {}),
        "disruptionsAllowed": 0,
        "observedGeneration": generation,
        "conditions": _with(budget, told),
    }


def _with(budget: Json, told: Json) -> list[Json]:
    told = {**told, "observedGeneration": budget["metadata"].get("generation", 0)}
    return with_condition((budget.get("status") or {}).get("conditions"), told)


def _still_disrupted(
    budget: Json, chosen: list[Json], now: float
) -> tuple[dict[str, str], float | None]:
    """The evictions granted that don't show yet, and when the first of them is given up."""
    there = {pod["metadata"]["name"]: pod for pod in chosen}
    kept: dict[str, str] = {}
    for name, since in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
        pod = there.get(name)
        late = from_rfc3339(since) + DELETION_TIMEOUT <= now
        if pod is not None and "deletionTimestamp" not in pod["metadata"] and not late:
            kept[name] = since
    waits = [from_rfc3339(since) + DELETION_TIMEOUT - now for since in kept.values()]
    return kept, min(waits, default=None)


class DisruptionController(Controller):
    name = "disruption-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._budgets = self.watch(POD_DISRUPTION_BUDGETS)
        self._pods = self.watch(PODS, self._keys_of_pod)
        informers = context.informers
        self._sizes = {
            resource.kind: informers.of(resource)
            for resource in (REPLICA_SETS, REPLICATION_CONTROLLERS, DEPLOYMENTS, STATEFUL_SETS)
        }
        for informer in self._sizes.values():
            informer.add_handler(self._resized)
        self._scales = Scales(context.api)

    def _keys_of_pod(self, pod: Json) -> Iterable[str]:
        namespace = pod["metadata"].get("namespace", "")
        for budget in self._budgets.by("namespace", namespace):
            if selectors.matches(_selector(budget), pod["metadata"].get("labels")):
                yield key_of(budget)

    def _resized(self, old: Json | None, new: Json | None) -> None:
        """Another size of what controls pods is another whole to count a percentage of."""
        if old is None or new is None or old["spec"].get("replicas") == new["spec"].get("replicas"):
            return
        for budget in self._budgets.by("namespace", new["metadata"]["namespace"]):
            self.queue.add(key_of(budget))

    def turn(self, key: str) -> float | None:
        budget = self._budgets.get(key)
        if budget is None:
            return None
        selector = _selector(budget)
        namespace = budget["metadata"]["namespace"]
        chosen = [
            pod
            for pod in self._pods.by("namespace", namespace)
            if selectors.matches(selector, pod["metadata"].get("labels"))
        ]
        if not chosen:
            self.events.record(budget, "Normal", "NoPods", "No matching pods found")
        problem: Failed | None = None
        look_in = None
        try:
            scale = self._whole(budget, namespace, chosen) if needs_scale(budget) else 0
            decision = decide(budget, chosen, scale, self.now())
            status, look_in = decision.status, decision.look_in
        except Failed as error:
            status, problem = failed(budget, str(error), self.now()), error
            self.events.record(budget, "Warning", "CalculateExpectedPodCountFailed", str(error))
        if not same(status, budget.get("status") or {}) or not budget.get("status"):
            self.api.update_status(POD_DISRUPTION_BUDGETS, {**budget, "status": status})
        if problem:
            raise problem
        return look_in

    def _whole(self, budget: Json, namespace: str, chosen: list[Json]) -> int:
        """How many pods the controllers of the chosen ones want altogether."""
        sizes: dict[str, int] = {}
        alone = []
        for pod in chosen:
            above = controller_of(pod)
            if above is None:
                alone.append(pod["metadata"]["name"])
            elif above["uid"] not in sizes:
                uid, size = self._size(namespace, above)
                sizes[above["uid"]] = 0
                sizes[uid] = size
        if alone:
            self.events.record(
                budget, "Warning", "UnmanagedPods",
                f"The budget also selects pods that nothing controls ({', '.join(alone[:5])}): "
                "they count as healthy, but nobody says how many there should be",
            )  # fmt: skip
        return sum(sizes.values())

    def _size(self, namespace: str, above: Json) -> tuple[str, int]:
        """(UID, size) of a controller, or of the Deployment that controls it in turn."""
        informer = self._sizes.get(above["kind"])
        found = informer.store.get(f"{namespace}/{above['name']}") if informer else None
        if found is None or found["metadata"]["uid"] != above["uid"]:
            try:
                _, scale = self._scales.get(
                    above["apiVersion"], above["kind"], namespace, above["name"]
                )
            except NotFound:
                if informer is not None:
                    return above["uid"], 0  # it is gone, and its pods will be
                raise
            return above["uid"], int((scale.get("spec") or {}).get("replicas") or 0)
        top = controller_of(found)
        if top is not None and top["kind"] == "Deployment":
            return self._size(namespace, top)
        replicas = found["spec"].get("replicas")
        return above["uid"], 1 if replicas is None else int(replicas)


def _selector(budget: Json) -> selectors.Selector:
    return selectors.from_object(budget["spec"].get("selector"))
