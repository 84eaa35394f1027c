"""What an object counts for in a ResourceQuota. Pure: admission charges with it, and the quota
controller sums up with it, so the two can't disagree.

Amounts are exact numbers by the names that quotas use: `requests.cpu`, `limits.memory`, `pods`,
`count/deployments.apps`, `services.nodeports`, `gold.storageclass.storage.k8s.io/requests.storage`.
Source: "Resource Quotas".
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from pykubelet.objects import quantity, resources

Json = dict[str, Any]
Amounts = dict[str, Fraction]

_ONE = Fraction(1)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_OLD_COUNTS = frozenset(
    ("configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas",
     "secrets", "services")
)  # fmt: skip
_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"


def usage(resource: str, obj: Json, now: float = 0) -> Amounts:
    """What an object of a resource (`pods`, `deployments.apps`) counts for, whatever is limited.
    `now` is in seconds: a pod that should be gone long ago counts no more."""
    match resource:
        case "pods":
            return _pod(obj, now)
        case "services":
            return _service(obj)
        case "persistentvolumeclaims":
            return _claim(obj)
    counted = {f"count/{resource}": _ONE}
    if resource in _OLD_COUNTS:
        counted[resource] = _ONE
    return counted


def _pod(pod: Json, now: float) -> Amounts:
    found: Amounts = {"count/pods": _ONE}
    if not is_alive(pod, now):
        return found
    found["pods"] = _ONE
    for name, number in resources.requests(pod).items():
        found[f"requests.{name}"] = number
        if name in _COMPUTE or name.startswith("hugepages-"):
            found[name] = number
    for name, number in resources.limits(pod).items():
        if "/" not in name:
            found[f"limits.{name}"] = number
    return found


def is_alive(pod: Json, now: float) -> bool:
    """Whether a pod still holds what it has asked for."""
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return False
    meta = pod.get("metadata") or {}
    ending = meta.get("deletionTimestamp")
    if not ending or not now:
        return True
    from datetime import datetime

    grace = meta.get("deletionGracePeriodSeconds") or 0
    begun = datetime.fromisoformat(ending.replace("Z", "+00:00")).timestamp()
    return now <= begun + grace


def _service(service: Json) -> Amounts:
    spec = service.get("spec") or {}
    ports = Fraction(len(spec.get("ports") or ()))
    found = {"count/services": _ONE, "services": _ONE,
             "services.nodeports": Fraction(0), "services.loadbalancers": Fraction(0)}  # fmt: skip
    if spec.get("type") == "NodePort":
        found["services.nodeports"] = ports
    elif spec.get("type") == "LoadBalancer":
        found["services.loadbalancers"] = _ONE
        if spec.get("allocateLoadBalancerNodePorts", True):
            found["services.nodeports"] = ports
    return found


def _claim(claim: Json) -> Amounts:
    spec = claim.get("spec") or {}
    annotations = (claim.get("metadata") or {}).get("annotations") or {}
    name = annotations.get(_STORAGE_CLASS) or spec.get("storageClassName") or ""
    found = {"count/persistentvolumeclaims": _ONE, "persistentvolumeclaims": _ONE}
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    allocated = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
    if name:
        found[f"{name}{_CLASS_SUFFIX}persistentvolumeclaims"] = _ONE
    if size is not None:
        number = max(quantity.parse(size), quantity.parse(allocated or 0))
        found["requests.storage"] = number
        if name:
            found[f"{name}{_CLASS_SUFFIX}requests.storage"] = number
    return found


def covers(quota: Json, resource: str, obj: Json) -> bool:
    """Whether a quota's scopes mean this object."""
    spec = quota.get("spec") or {}
    wanted = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    wanted += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(_in_scope(one, resource, obj) for one in wanted)


def _in_scope(wanted: Json, resource: str, obj: Json) -> bool:
    name, spec = wanted.get("scopeName"), obj.get("spec") or {}
    if name == "VolumeAttributesClass":
        return resource == "persistentvolumeclaims" and _named(
            wanted, spec.get("volumeAttributesClassName")
        )
    if resource != "pods":
        return False
    match name:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return resources.qos_class(obj) == resources.BEST_EFFORT
        case "NotBestEffort":
            return resources.qos_class(obj) != resources.BEST_EFFORT
        case "PriorityClass":
            return _named(wanted, spec.get("priorityClassName"))
        case "CrossNamespacePodAffinity":
            return _crosses(spec.get("affinity") or {})
    return False


def _named(wanted: Json, name: str | None) -> bool:
    values = wanted.get("values") or ()
    match wanted.get("operator"):
        case "Exists":
            return bool(name)
        case "DoesNotExist":
            return not name
        case "In":
            return name in values
        case "NotIn":
            return name not in values
    return False


def _crosses(affinity: Json) -> bool:
    """Whether any affinity term looks into other namespaces."""
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(kind) or {}
        terms = list(pods.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [
            one.get("podAffinityTerm") or {}
            for one in pods.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(term.get("namespaces") or "namespaceSelector" in term for term in terms):
            return True
    return False


def limited(quota: Json) -> Amounts:
    """What a quota sets bounds for, with the bounds."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    return {name: quantity.parse(value) for name, value in hard.items()}


def unspecified(pod: Json, names: Iterable[str]) -> str:
    """What containers of a pod must say because a quota counts it, in words; nothing if all is
    said."""
    spec = pod.get("spec") or {}
    whole = spec.get("resources") or {}
    missing: dict[str, list[str]] = {}
    for name in names:
        kind, _, short = name.rpartition(".") if name.startswith(("requests.", "limits.")) else (
            "requests", "", name
        )  # fmt: skip
        if short not in _COMPUTE or short in (whole.get(kind) or {}):
            continue
        for key in ("containers", "initContainers"):
            for container in spec.get(key) or ():
                if short not in ((container.get("resources") or {}).get(kind) or {}):
                    missing.setdefault(name, []).append(container["name"])
    told = [f"{name} for: {','.join(sorted(who))}" for name, who in sorted(missing.items())]
    return "must specify " + "; ".join(told) if told else ""


def spelled(amounts: Amounts, like: Json | None = None) -> Json:
    """Amounts as quantities, each in the spelling of `like`'s, where it has one."""
    made = {}
    for name, number in amounts.items():
        text = str((like or {}).get(name, ""))
        binary = "i" in text or (not text and name.endswith(("memory", "storage")))
        made[name] = quantity.spell(number, "binary" if binary else "decimal")
    return made
