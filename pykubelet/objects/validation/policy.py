"""What bounds others: ResourceQuotas, LimitRanges, PodDisruptionBudgets, priorities, runtime
classes, autoscalers. Source: the API reference, "Resource Quotas", "Limit Ranges", "Specifying a
Disruption Budget", "Horizontal Pod Autoscaling".
"""

from __future__ import annotations

from collections.abc import Iterable

from pykubelet.objects import fields, names, quantity
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import immutable, label_selector, labels
from pykubelet.objects.validation.rules import (
    NOT_NEGATIVE,
    Errors,
    Json,
    chosen,
    named,
    not_negative,
    required_name,
)
from pykubelet.objects.validation.scheduling import tolerations
from pykubelet.objects.validation.workloads import at_most_everything, count_or_percent

_SPEC: Path = ("spec",)
_SCOPES = ("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating",
           "PriorityClass", "Terminating", "VolumeAttributesClass")  # fmt: skip
_COMPUTE = ("cpu", "ephemeral-storage", "limits.cpu", "limits.ephemeral-storage",
            "limits.memory", "memory", "requests.cpu", "requests.ephemeral-storage",
            "requests.memory")  # fmt: skip
_QUOTAS = frozenset(
    (*_COMPUTE, "persistentvolumeclaims", "pods", "replicationcontrollers", "requests.storage",
     "resourcequotas", "secrets", "services", "services.loadbalancers", "services.nodeports",
     "configmaps")
)  # fmt: skip
_COUNTED = frozenset(name for name in _QUOTAS if name not in _COMPUTE and "storage" not in name)
_HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM_PRIORITIES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}


def resource_quota(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from amounts(spec.get("hard") or {}, (*_SPEC, "hard"))
    hard = set(spec.get("hard") or {})
    scopes, at = spec.get("scopes") or [], (*_SPEC, "scopes")
    for scope in scopes:
        if scope not in _SCOPES:
            yield fields.invalid(at, scopes, "unsupported scope")
        elif not all(_scoped(scope, name) for name in hard):
            yield fields.invalid(at, scopes, "unsupported scope applied to resource")
    for pair in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if set(pair) <= set(scopes):
            yield fields.invalid(at, scopes, "conflicting scopes")
    at = (*_SPEC, "scopeSelector", "matchExpressions")
    for index, one in enumerate((spec.get("scopeSelector") or {}).get("matchExpressions") or ()):
        yield from _scope_expression(one, hard, (*at, index))


def resource_quota_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    was, now = set(before.get("scopes") or ()), set(after.get("scopes") or ())
    if was != now:
        yield fields.invalid((*_SPEC, "scopes"), after.get("scopes"), "field is immutable")


def resource_quota_status(new: Json, old: Json) -> Errors:
    state = new.get("status") or {}
    for key in ("hard", "used"):
        yield from amounts(state.get(key) or {}, ("status", key))


def amounts(given: Json, at: Path) -> Errors:
    """The `hard` and `used` of quotas."""
    for name, value in given.items():
        here = (*at, f"[{name}]")
        yield from quota_name(name, here)
        number = quantity.parse(value)
        if number < 0:
            yield fields.invalid(here, str(value), NOT_NEGATIVE)
        if (name in _COUNTED or name.startswith("count/")) and number.denominator != 1:
            yield fields.invalid(here, str(value), "must be an integer")


def quota_name(name: str, at: Path) -> Errors:
    yield from named(name, at, names.qualified)
    known = name in _QUOTAS or name.startswith(("hugepages-", "requests.hugepages-",
                                                "limits.hugepages-"))  # fmt: skip
    if "/" not in name and not known:
        yield fields.invalid(at, name, "must be a standard resource for quota")


def limit_range(obj: Json) -> Errors:
    seen: set[str] = set()
    for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        at = (*_SPEC, "limits", index)
        kind = item.get("type") or ""
        yield from named(kind, (*at, "type"), names.qualified)
        if "/" not in kind and kind not in ("Container", "PersistentVolumeClaim", "Pod"):
            yield fields.invalid(
                (*at, "type"), kind, "must be a standard limit type or fully qualified"
            )
        if kind in seen:
            yield fields.duplicate((*at, "type"), kind)
        seen.add(kind)
        yield from _limit_item(item, kind, at)


def disruption_budget(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    given = [key for key in ("minAvailable", "maxUnavailable") if key in spec]
    if len(given) == 2:
        yield fields.invalid(_SPEC, spec, "minAvailable and maxUnavailable cannot be both set")
    for key in given:
        yield from count_or_percent(spec[key], (*_SPEC, key))
        yield from at_most_everything(spec[key], (*_SPEC, key))
    yield from label_selector(spec.get("selector"), (*_SPEC, "selector"))
    yield from chosen(spec, "unhealthyPodEvictionPolicy", ("AlwaysAllow", "IfHealthyBudget"), _SPEC)


def disruption_budget_status(new: Json, old: Json) -> Errors:
    keys = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    yield from not_negative(new.get("status") or {}, keys, ("status",))


def priority_class(obj: Json) -> Errors:
    name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
    if name.startswith("system-"):
        known = _SYSTEM_PRIORITIES.get(name)
        if known is None:
            yield fields.forbidden(
                ("metadata", "name"),
                "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: {name} is not a known system priority class",
            )
        elif known != value:
            yield fields.forbidden(
                ("metadata", "name"),
                "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: value of {name} PriorityClass must be {known}",
            )
    elif value > _HIGHEST_USER_PRIORITY:
        yield fields.forbidden(
            ("value",),
            f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}",
        )
    yield from chosen(obj, "preemptionPolicy", ("Never", "PreemptLowerPriority"), ())


def priority_class_update(new: Json, old: Json) -> Errors:
    if (new.get("value") or 0) != (old.get("value") or 0):
        yield fields.forbidden(("value",), "may not be changed in an update.")
    yield from immutable(
        new.get("preemptionPolicy"), old.get("preemptionPolicy"), ("preemptionPolicy",)
    )


def runtime_class(obj: Json) -> Errors:
    yield from required_name(obj, "handler", (), names.dns_label)
    for name, value in ((obj.get("overhead") or {}).get("podFixed") or {}).items():
        at: Path = ("overhead", "podFixed", f"[{name}]")
        yield from named(name, at, names.qualified)
        if quantity.parse(value) < 0:
            yield fields.invalid(at, str(value), NOT_NEGATIVE)
    where = obj.get("scheduling") or {}
    yield from labels(where.get("nodeSelector"), ("scheduling", "nodeSelector"))
    yield from tolerations(where.get("tolerations") or [], ("scheduling", "tolerations"))


def runtime_class_update(new: Json, old: Json) -> Errors:
    yield from immutable(new.get("handler"), old.get("handler"), ("handler",))


def autoscaler(obj: Json) -> Errors:
    """A HorizontalPodAutoscaler, of autoscaling/v2 or, with fewer fields, v1."""
    spec = obj.get("spec") or {}
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if low is not None and low < 1:
        yield fields.invalid((*_SPEC, "minReplicas"), low, "must be greater than or equal to 1")
    if high < 1:
        yield fields.invalid((*_SPEC, "maxReplicas"), high, "must be greater than 0")
    if low is not None and high < low:
        yield fields.invalid(
            (*_SPEC, "maxReplicas"), high, "must be greater than or equal to `minReplicas`"
        )
    yield from _reference(spec.get("scaleTargetRef") or {}, (*_SPEC, "scaleTargetRef"))
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None and percent < 1:
        yield fields.invalid(
            (*_SPEC, "targetCPUUtilizationPercentage"), percent, "must be greater than 0"
        )
    for index, metric in enumerate(spec.get("metrics") or ()):
        yield from _metric(metric, (*_SPEC, "metrics", index))
    behavior = spec.get("behavior") or {}
    for key in ("scaleUp", "scaleDown"):
        if key in behavior:
            yield from _scaling(behavior[key], (*_SPEC, "behavior", key))


_METRICS = {
    "ContainerResource": ("containerResource", ("name", "container")),
    "External": ("external", ()),
    "Object": ("object", ()),
    "Pods": ("pods", ()),
    "Resource": ("resource", ("name",)),
}


def _metric(metric: Json, at: Path) -> Errors:
    kind = metric.get("type") or ""
    if not kind:
        yield fields.required((*at, "type"), "must specify a metric source type")
    if kind not in _METRICS:
        yield fields.not_supported((*at, "type"), kind, _METRICS)
        return
    key, needed = _METRICS[kind]
    source = metric.get(key)
    if source is None:
        yield fields.required((*at, key), "must populate information for the given metric source")
        return
    for other, _ in _METRICS.values():
        if other != key and other in metric:
            yield fields.forbidden((*at, other), "must populate the given metric source only")
    here = (*at, key)
    for field in needed:
        if not source.get(field):
            word = "resource" if field == "name" else "container"
            yield fields.required((*here, field), f"must specify a {word} name")
    if kind == "Object":
        yield from _reference(source.get("describedObject") or {}, (*here, "describedObject"))
    if not needed:
        chosen_metric = source.get("metric") or {}
        yield from required_name(
            chosen_metric, "name", (*here, "metric"), names.path_segment,
            "must specify a metric name",
        )  # fmt: skip
        yield from label_selector(chosen_metric.get("selector"), (*here, "metric", "selector"))
    yield from _target(source.get("target") or {}, kind, (*here, "target"))


def _target(target: Json, kind: str, at: Path) -> Errors:
    yield from chosen(target, "type", ("AverageValue", "Utilization", "Value"), at, empty=False)
    for key in ("value", "averageValue"):
        if key in target and quantity.parse(target[key]) <= 0:
            yield fields.invalid((*at, key), target[key], "must be positive")
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        yield fields.invalid((*at, "averageUtilization"), percent, "must be greater than 0")
    if kind in ("Resource", "ContainerResource"):
        if percent is None and "averageValue" not in target:
            yield fields.required(
                (*at, "averageUtilization"),
                "must set either a target raw value or a target utilization",
            )
        if percent is not None and "averageValue" in target:
            yield fields.forbidden(
                (*at, "averageValue"),
                "may not set both a target raw value and a target utilization",
            )
    elif kind == "Pods":
        if "averageValue" not in target:
            yield fields.required(
                (*at, "averageValue"), "must specify a positive target averageValue"
            )
    elif "value" not in target and "averageValue" not in target:
        yield fields.required(
            (*at, "averageValue"), "must set either a target value or averageValue"
        )


def _scaling(rules: Json, at: Path) -> Errors:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        yield fields.invalid(
            (*at, "stabilizationWindowSeconds"), window, "must be greater than or equal to zero"
        )
    elif window is not None and window > 3600:
        yield fields.invalid(
            (*at, "stabilizationWindowSeconds"), window, "must be less than or equal to 3600"
        )
    yield from chosen(rules, "selectPolicy", ("Disabled", "Max", "Min"), at)
    policies = rules.get("policies") or []
    if not policies:
        yield fields.required((*at, "policies"), "must specify at least one Policy")
    for index, policy in enumerate(policies):
        here = (*at, "policies", index)
        yield from chosen(policy, "type", ("Percent", "Pods"), here, empty=False)
        if (policy.get("value") or 0) <= 0:
            yield fields.invalid(
                (*here, "value"), policy.get("value") or 0, "must be greater than zero"
            )
        seconds = policy.get("periodSeconds") or 0
        if seconds <= 0:
            yield fields.invalid((*here, "periodSeconds"), seconds, "must be greater than zero")
        elif seconds > 1800:
            yield fields.invalid(
                (*here, "periodSeconds"), seconds, "must be less than or equal to 1800"
            )


def _reference(reference: Json, at: Path) -> Errors:
    for key in ("kind", "name"):
        yield from required_name(reference, key, at, names.path_segment)


def _scoped(scope: str, name: str) -> bool:
    """Whether a quota of this name can be narrowed to a scope."""
    match scope:
        case "BestEffort":
            return name in ("pods", "count/pods")
        case "VolumeAttributesClass":
            return "persistentvolumeclaims" in name or name.endswith("requests.storage")
    return name in ("pods", "count/pods", *_COMPUTE) or name.startswith(
        ("requests.", "limits.", "hugepages-")
    )


def _scope_expression(one: Json, hard: Iterable[str], at: Path) -> Errors:
    scope, operator = one.get("scopeName") or "", one.get("operator") or ""
    values = one.get("values") or []
    if scope not in _SCOPES:
        yield fields.invalid((*at, "scopeName"), scope, "unsupported scope")
    elif not all(_scoped(scope, name) for name in hard):
        yield fields.invalid(at[:-2], one, "unsupported scope applied to resource")
    if scope not in ("PriorityClass", "VolumeAttributesClass") and operator != "Exists":
        yield fields.invalid(
            (*at, "operator"), operator,
            "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
            "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
            "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        )  # fmt: skip
    if operator in ("In", "NotIn"):
        if not values:
            yield fields.required(
                (*at, "values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            )
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield fields.invalid(
                (*at, "values"),
                values,
                "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector",
            )
    else:
        yield fields.invalid((*at, "operator"), operator, "not a valid selector operator")


def _limit_item(item: Json, kind: str, at: Path) -> Errors:
    values: dict[str, Json] = {}
    for key in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
        values[key] = item.get(key) or {}
        for name in values[key]:
            yield from named(name, (*at, key, f"[{name}]"), names.qualified)
    if kind == "Pod":
        for key in ("default", "defaultRequest"):
            if values[key]:
                yield fields.forbidden((*at, key), "may not be specified when `type` is 'Pod'")
    if kind == "PersistentVolumeClaim" and not ({"storage"} & {*values["min"], *values["max"]}):
        yield fields.required(
            at, "either minimum or maximum storage value is required, but neither was provided"
        )
    order = (("min", "max"), ("min", "defaultRequest"), ("defaultRequest", "max"),
             ("defaultRequest", "default"), ("min", "default"), ("default", "max"))  # fmt: skip
    words = {"min": "min value", "max": "max value", "default": "default value",
             "defaultRequest": "default request value"}  # fmt: skip
    for low, high in order:
        for name in sorted({*values[low]} & {*values[high]}):
            a, b = values[low][name], values[high][name]
            if quantity.compare(a, b) > 0:
                key = low if low != "default" or high == "max" else high
                key = high if low == "min" and high.startswith("default") else key
                yield fields.invalid(
                    (*at, key, f"[{name}]"), str(values[key][name]),
                    f"{words[low]} {a} is greater than {words[high]} {b}",
                )  # fmt: skip
    for name, text in values["maxLimitRequestRatio"].items():
        here = (*at, "maxLimitRequestRatio", f"[{name}]")
        ratio = quantity.parse(text)
        if ratio < 1:
            yield fields.invalid(here, str(text), f"ratio {text} is less than 1")
        least, most = values["min"].get(name), values["max"].get(name)
        if least is not None and most is not None and quantity.parse(least):
            widest = quantity.parse(most) / quantity.parse(least)
            if ratio > widest:
                yield fields.invalid(
                    here, str(text), f"ratio {text} is greater than max/min = {float(widest):f}"
                )
