"""Autoscalers looked at every few seconds; what to do is `decision`'s."""

from __future__ import annotations

from typing import Any

from pykubelet.client.resources import HORIZONTAL_POD_AUTOSCALERS, PODS
from pykubelet.controllers.base import Context, Controller
from pykubelet.controllers.horizontal.behavior import LONGEST, Memory
from pykubelet.controllers.horizontal.decision import Decision, decide
from pykubelet.controllers.horizontal.readings import Readings
from pykubelet.controllers.horizontal.replicas import Tolerance
from pykubelet.controllers.reporting import condition, same, with_condition
from pykubelet.controllers.scales import Scales
from pykubelet.errors import Failed
from pykubelet.objects import quantity, selectors

Json = dict[str, Any]

#: Seconds between two looks.
PERIOD = 15.0


class HorizontalController(Controller):
    name = "horizontal-pod-autoscaler-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._autoscalers = self.watch(HORIZONTAL_POD_AUTOSCALERS)
        self._pods = self.read(PODS)
        self._scales = Scales(context.api)
        self._memories: dict[str, Memory] = {}
        self._due: dict[str, float] = {}

    def turn(self, key: str) -> float | None:
        autoscaler = self._autoscalers.get(key)
        if autoscaler is None:
            self._memories.pop(key, None)
            self._due.pop(key, None)
            return None
        generation = (autoscaler.get("status") or {}).get("observedGeneration")
        if generation == autoscaler["metadata"].get("generation"):
            # Our own writes wake us, too; measurements are not worth asking for more often.
            left = self._due.get(key, 0.0) - self.now()
            if left > 0:
                return left
        self._due[key] = self.now() + PERIOD
        self._look(key, autoscaler)
        return PERIOD

    def _look(self, key: str, autoscaler: Json) -> None:
        target = autoscaler["spec"]["scaleTargetRef"]
        namespace = autoscaler["metadata"]["namespace"]
        try:
            resource, scale = self._scales.get(
                target["apiVersion"], target["kind"], namespace, target["name"]
            )
        except Failed as error:
            self._cannot(autoscaler, "FailedGetScale", f"unable to get the target's scale: {error}")
            return
        memory = self._memories.setdefault(key, Memory())
        memory.forget(self.now() - LONGEST)
        current = int((scale.get("spec") or {}).get("replicas") or 0)
        readings = self._readings(autoscaler, namespace, scale, current)
        decision = decide(autoscaler, current, readings, memory, self.now())
        if decision.recommended is not None:
            memory.recommended.append((self.now(), decision.recommended))
        if decision.size is not None:
            try:
                self._scales.set(resource, scale, decision.size)
            except Failed as error:
                self._cannot(autoscaler, "FailedUpdateScale", f"unable to set the size: {error}")
                return
            changed = decision.size - current
            (memory.added if changed > 0 else memory.removed).append((self.now(), abs(changed)))
            self.events.record(
                autoscaler, "Normal", "SuccessfulRescale",
                f"New size: {decision.size}; reason: {decision.reason}",
            )  # fmt: skip
        self._tell(autoscaler, decision)

    def _readings(self, autoscaler: Json, namespace: str, scale: Json, current: int) -> list[Any]:
        text = str((scale.get("status") or {}).get("selector") or "")
        if not text:
            return []
        selector = selectors.parse_labels(text)
        chosen = [
            pod
            for pod in self._pods.by("namespace", namespace)
            if selectors.matches(selector, pod["metadata"].get("labels"))
        ]
        metrics = autoscaler["spec"].get("metrics") or ()
        tolerance = _tolerance(autoscaler)
        readings = Readings(self.api, namespace, chosen, text, current, tolerance, self.now())
        return [readings.read(metric) for metric in metrics]

    def _tell(self, autoscaler: Json, decision: Decision) -> None:
        past = autoscaler.get("status") or {}
        active = [c for c in decision.status["conditions"] if c["type"] == "ScalingActive"]
        for one in active:
            if one["status"] == "False" and one not in (past.get("conditions") or ()):
                self.events.record(autoscaler, "Warning", one["reason"], one["message"])
        if not same(decision.status, past):
            self.api.update_status(
                HORIZONTAL_POD_AUTOSCALERS, {**autoscaler, "status": decision.status}
            )

    def _cannot(self, autoscaler: Json, reason: str, message: str) -> None:
        self.events.record(autoscaler, "Warning", reason, message)
        past = autoscaler.get("status") or {}
        told = condition("AbleToScale", False, reason, message, self.now())
        status = {
            "desiredReplicas": 0,
            "currentMetrics": None,
            **past,
            "observedGeneration": autoscaler["metadata"].get("generation", 0),
            "conditions": with_condition(past.get("conditions"), told),
        }
        if not same(status, past):
            self.api.update_status(HORIZONTAL_POD_AUTOSCALERS, {**autoscaler, "status": status})


def _tolerance(autoscaler: Json) -> Tolerance:
    given = autoscaler["spec"].get("behavior") or {}

    def of(way: str) -> float:
        text = (given.get(way) or {}).get("tolerance")
        return 0.1 if text is None else float(quantity.parse(text))

    return Tolerance(of("scaleUp"), of("scaleDown"))
