"""Defaults of HorizontalPodAutoscalers. Source: "Horizontal Pod Autoscaling"."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_PERCENT = 80
_ALL_AT_ONCE = {"type": "Percent", "value": 100, "periodSeconds": 15}
_FOUR_PODS = {"type": "Pods", "value": 4, "periodSeconds": 15}


def autoscaler(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if obj.get("apiVersion") == "autoscaling/v1":
        return  # which gets its target when it is shown in the newer version
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        up = behavior.setdefault("scaleUp", {})
        up.setdefault("stabilizationWindowSeconds", 0)
        _rules(up, [_FOUR_PODS, _ALL_AT_ONCE])
        _rules(behavior.setdefault("scaleDown", {}), [_ALL_AT_ONCE])


def _rules(rules: Json, policies: list[Json]) -> None:
    rules.setdefault("selectPolicy", "Max")
    if not rules.get("policies"):
        rules["policies"] = [dict(policy) for policy in policies]
