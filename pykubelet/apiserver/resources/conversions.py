"""Resources that are served in two versions, and stored in one.

Only two of the built-in kinds are left with that: events (`v1` and `events.k8s.io/v1`) and
horizontal pod autoscalers (`autoscaling/v1` and `v2`). What one version can't say it keeps in
annotations, so that nothing is lost on the way there and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

Json = dict[str, Any]
Convert = Callable[[Json], Json]

_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"


def shown(stored_as: str, group_version: str, obj: Json) -> Json:
    """An object of the stored version in another."""
    made = _TABLE.get((stored_as, group_version), _as_it_is)(obj)
    return {**made, "apiVersion": group_version}


def to_store(stored_as: str, group_version: str, obj: Json) -> Json:
    """The same the other way."""
    made = _TABLE.get((group_version, stored_as), _as_it_is)(obj)
    return {**made, "apiVersion": stored_as}


def _as_it_is(obj: Json) -> Json:
    """Custom resources without a conversion of their own: only the version's name differs."""
    return obj


def _event_to_new(event: Json) -> Json:
    return {_EVENT_FIELDS.get(key, key): value for key, value in event.items()}


def _event_to_old(event: Json) -> Json:
    old = {new: old for old, new in _EVENT_FIELDS.items()}
    made = {old.get(key, key): value for key, value in event.items()}
    made.setdefault("involvedObject", {})
    return made


def _autoscaler_to_v1(obj: Json) -> Json:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict(obj["metadata"].get("annotations") or {})
    others = []
    for metric in spec.pop("metrics", None) or ():
        target = (metric.get("resource") or {}).get("target") or {}
        if _is_cpu(metric) and target.get("type") == "Utilization":
            spec["targetCPUUtilizationPercentage"] = target.get("averageUtilization")
        else:
            others.append(metric)
    kept = ((_METRICS, others), (_BEHAVIOR, spec.pop("behavior", None)),
            (_CONDITIONS, status.pop("conditions", None)))  # fmt: skip
    current = status.pop("currentMetrics", None) or []
    for metric in current:
        value = ((metric.get("resource") or {}).get("current") or {}).get("averageUtilization")
        if _is_cpu(metric) and value is not None:
            status["currentCPUUtilizationPercentage"] = value
    for key, value in (*kept, (_CURRENT, [m for m in current if not _is_cpu(m)])):
        if value:
            annotations[key] = orjson.dumps(value).decode()
    return _with(obj, spec, status, annotations)


def _autoscaler_to_v2(obj: Json) -> Json:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict(obj["metadata"].get("annotations") or {})
    metrics = []
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    metrics += _kept(annotations, _METRICS, [])
    if metrics:
        spec["metrics"] = metrics
    behavior = _kept(annotations, _BEHAVIOR, None)
    if behavior:
        spec["behavior"] = behavior
    conditions = _kept(annotations, _CONDITIONS, None)
    if conditions:
        status["conditions"] = conditions
    current = _kept(annotations, _CURRENT, [])
    value = status.pop("currentCPUUtilizationPercentage", None)
    if value is not None:
        measured = {"name": "cpu", "current": {"averageUtilization": value}}
        current.insert(0, {"type": "Resource", "resource": measured})
    if current:
        status["currentMetrics"] = current
    return _with(obj, spec, status, annotations)


def _with(obj: Json, spec: Json, status: Json, annotations: Json) -> Json:
    metadata = {k: v for k, v in obj["metadata"].items() if k != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "metadata": metadata, "spec": spec, "status": status}


def _kept(annotations: Json, key: str, default: Any) -> Any:
    try:
        return orjson.loads(annotations.pop(key))
    except (KeyError, orjson.JSONDecodeError):
        return default


def _is_cpu(metric: Json) -> bool:
    return metric.get("type") == "Resource" and (metric.get("resource") or {}).get("name") == "cpu"


_TABLE: dict[tuple[str, str], Convert] = {
    ("v1", "events.k8s.io/v1"): _event_to_new,
    ("events.k8s.io/v1", "v1"): _event_to_old,
    ("autoscaling/v2", "autoscaling/v1"): _autoscaler_to_v1,
    ("autoscaling/v1", "autoscaling/v2"): _autoscaler_to_v2,
}
