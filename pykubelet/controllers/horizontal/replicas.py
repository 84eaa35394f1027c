"""From what pods use to how many there should be. Pure.

Pods that are not ready yet, or not measured, are not allowed to make things look worse than they
are: when scaling up they are assumed to use nothing, when scaling down, all that they may.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.clock import from_rfc3339
from pykubelet.controllers import pods
from pykubelet.errors import Failed
from pykubelet.objects import quantity

Json = dict[str, Any]

#: Seconds: how long after its start a pod's CPU says little, and how long it takes to get ready.
CPU_INITIALIZATION = 300.0
READINESS_DELAY = 30.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Parts of 1 by which a ratio may be off before anything is done."""

    up: float = 0.1
    down: float = 0.1

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Sample:
    """What a pod uses, in thousandths, measured at `at` over `window` seconds."""

    value: float
    at: float = 0.0
    window: float = 60.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """`replicas` that would do, and what was measured: the average in thousandths, and as a
    percentage of what is requested where that is the measure."""

    replicas: int
    average: float
    utilization: int | None = None


@dataclass(slots=True)
class _Groups:
    ready: list[str]
    unready: set[str]
    missing: set[str]
    ignored: set[str]


def _group(chosen: list[Json], samples: Mapping[str, Sample], resource: str, now: float) -> _Groups:
    found = _Groups([], set(), set(), set())
    for pod in chosen:
        name = pod["metadata"]["name"]
        phase = (pod.get("status") or {}).get("phase")
        if "deletionTimestamp" in pod["metadata"] or phase in ("Failed", "Succeeded"):
            found.ignored.add(name)
        elif phase == "Pending":
            found.unready.add(name)
        elif name not in samples:
            found.missing.add(name)
        elif resource == "cpu" and _is_warming_up(pod, samples[name], now):
            found.unready.add(name)
        else:
            found.ready.append(name)
    return found


def _is_warming_up(pod: Json, sample: Sample, now: float) -> bool:
    started = (pod.get("status") or {}).get("startTime")
    ready = pods.condition(pod, "Ready")
    if ready is None or not started or not ready.get("lastTransitionTime"):
        return True
    begun, turned = from_rfc3339(started), from_rfc3339(ready["lastTransitionTime"])
    if begun + CPU_INITIALIZATION > now:
        return ready["status"] == "False" or sample.at < turned + sample.window
    # Not ready since its start means that it never was; later on it has its reasons.
    return ready["status"] == "False" and begun + READINESS_DELAY > turned


def for_utilization(
    chosen: list[Json],
    samples: Mapping[str, Sample],
    requests: Mapping[str, float],
    resource: str,
    target: int,
    current: int,
    tolerance: Tolerance,
    now: float,
) -> Proposal:
    """`target` percent of what pods request. `requests` in thousandths by pod. Raises Failed where
    nothing can be said."""
    groups = _group(chosen, samples, resource, now)
    usage = {name: samples[name].value for name in groups.ready}
    _measured(usage)
    total, requested = sum(usage.values()), sum(requests[name] for name in usage)
    if requested <= 0:
        raise Failed(f"the pods request no {resource}")
    utilization = int(total * 100 / requested)
    ratio = utilization / target

    def rebalanced(filled: dict[str, float]) -> float:
        return sum(filled.values()) * 100 / sum(requests[name] for name in filled) / target

    full = {name: requests[name] * max(100, target) / 100 for name in groups.missing}
    number = _replicas(groups, usage, ratio, rebalanced, full, current, tolerance)
    return Proposal(number, total / len(usage), utilization)


def for_average(
    chosen: list[Json],
    samples: Mapping[str, Sample],
    resource: str,
    target: float,
    current: int,
    tolerance: Tolerance,
    now: float,
) -> Proposal:
    """`target` thousandths a pod on the average."""
    groups = _group(chosen, samples, resource, now)
    usage = {name: samples[name].value for name in groups.ready}
    _measured(usage)
    average = sum(usage.values()) / len(usage)

    def rebalanced(filled: dict[str, float]) -> float:
        return sum(filled.values()) / len(filled) / target

    full = dict.fromkeys(groups.missing, target)
    number = _replicas(groups, usage, average / target, rebalanced, full, current, tolerance)
    return Proposal(number, average)


def _measured(usage: Mapping[str, float]) -> None:
    if not usage:
        raise Failed("did not receive metrics for targeted pods (pods might be unready)")


def _replicas(
    groups: _Groups,
    usage: dict[str, float],
    ratio: float,
    rebalanced: Any,
    full: Mapping[str, float],
    current: int,
    tolerance: Tolerance,
) -> int:
    growing_with_unready = bool(groups.unready) and ratio > 1.0
    if not growing_with_unready and not groups.missing:
        return current if tolerance.covers(ratio) else math.ceil(ratio * len(usage))
    filled = dict(usage)
    if ratio < 1.0:
        filled.update(full)
    elif ratio > 1.0:
        filled.update(dict.fromkeys(groups.missing, 0.0))
    if growing_with_unready:
        filled.update(dict.fromkeys(groups.unready, 0.0))
    again = float(rebalanced(filled))
    if tolerance.covers(again) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return current
    number = math.ceil(again * len(filled))
    if (again < 1.0 and number > current) or (again > 1.0 and number < current):
        return current
    return number


def for_value(
    value: float, target: float, ready: int, current: int, tolerance: Tolerance
) -> Proposal:
    """A figure of something else (an object, the outside) against its target."""
    ratio = value / target
    number = current if tolerance.covers(ratio) else math.ceil(ratio * (ready or 1))
    return Proposal(number, value)


def for_value_per_pod(value: float, target: float, current: int, tolerance: Tolerance) -> Proposal:
    """A figure of something else, shared among all pods."""
    number = current
    if not tolerance.covers(value / (target * current) if current else math.inf):
        number = math.ceil(value / target)
    return Proposal(number, value / current if current else value)


def requests_of(pod: Json, resource: str, container: str = "") -> float:
    """What a pod requests, in thousandths; of one container where it is named. Raises Failed where
    one of them requests nothing."""
    total = 0.0
    sidecars = [
        c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"
    ]
    for one in [*pod["spec"]["containers"], *sidecars]:
        if container and one["name"] != container:
            continue
        requested = ((one.get("resources") or {}).get("requests") or {}).get(resource)
        if requested is None:
            raise Failed(
                f"missing request for {resource} in container {one['name']} of Pod "
                f"{pod['metadata']['name']}"
            )
        total += float(quantity.parse(requested) * 1000)
    return total
