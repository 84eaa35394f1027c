"""The size that an autoscaler wants now, and what it says of that. Pure.

Of several metrics the one that asks for most decides; where one can't be read, nothing is scaled
down on the word of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pykubelet.clock import rfc3339
from pykubelet.controllers.horizontal import behavior
from pykubelet.controllers.horizontal.behavior import Memory
from pykubelet.controllers.reporting import condition, with_condition

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric: `replicas` it asks for and `status` to show; or `problem`: (reason, message)."""

    name: str
    replicas: int = 0
    status: Json | None = None
    problem: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`size` to set; None leaves it. `reason` explains it. `recommended` is to be remembered."""

    status: Json
    size: int | None = None
    reason: str = ""
    recommended: int | None = None


def decide(
    autoscaler: Json, current: int, readings: Sequence[Reading], memory: Memory, now: float
) -> Decision:
    """`current` is `spec.replicas` of the target."""
    spec, past = autoscaler["spec"], autoscaler.get("status") or {}
    least = spec.get("minReplicas")
    least = 1 if least is None else int(least)
    most = int(spec["maxReplicas"])
    conditions = list(past.get("conditions") or ())

    def say(kind: str, value: bool, reason: str, message: str) -> None:
        nonlocal conditions
        conditions = with_condition(conditions, condition(kind, value, reason, message, now))

    def status(desired: int) -> Json:
        made = {
            **past,
            "observedGeneration": autoscaler["metadata"].get("generation", 0),
            "currentReplicas": current,
            "desiredReplicas": desired,
            "currentMetrics": [one.status for one in readings if one.status],
            "conditions": conditions,
        }
        if desired != current:
            made["lastScaleTime"] = rfc3339(now)
        return made

    say("AbleToScale", True, "SucceededGetScale",
        "the HPA controller was able to get the target's current scale")  # fmt: skip
    if current == 0 and least != 0:
        say("ScalingActive", False, "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero")  # fmt: skip
        return Decision(status(0))
    if not least <= current <= most:
        size = least if current < least else most
        way = "below Spec.MinReplicas" if current < least else "above Spec.MaxReplicas"
        return Decision(status(size), size, f"Current number of replicas {way}")
    best, name, problem = _strongest(readings, current)
    if problem is not None:
        say("ScalingActive", False, *problem)
        return Decision(status(current))
    say("ScalingActive", True, "ValidMetricFound",
        f"the HPA was able to successfully calculate a replica count from {name}")  # fmt: skip
    up, down = behavior.rules(autoscaler)
    stable = behavior.stabilized(best, current, up, down, memory, now)
    if stable != best:
        direction = "ScaleDownStabilized" if stable > best else "ScaleUpStabilized"
        say("AbleToScale", True, direction,
            "recent recommendations hold the size; applying the steadiest of them")  # fmt: skip
    else:
        say("AbleToScale", True, "ReadyForNewScale",
            "recommended size matches current size" if stable == current
            else "a new size may be set")  # fmt: skip
    bounded = min(max(stable, least), most)
    size = behavior.limited(bounded, current, up, down, memory, now)
    say(*_limit(stable, bounded, size))
    made = status(size)
    if size == current:
        return Decision(made, recommended=best)
    way = f"{name} above target" if size > current else "All metrics below target"
    return Decision(made, size, way, best)


def _strongest(
    readings: Sequence[Reading], current: int
) -> tuple[int, str, tuple[str, str] | None]:
    """(replicas, the metric that asks for them, what stands in the way)."""
    valid = [one for one in readings if one.problem is None]
    broken = [one for one in readings if one.problem is not None]
    if not valid:
        problem = broken[0].problem if broken else ("InvalidSelector", "there are no metrics")
        return current, "", problem
    best = max(valid, key=lambda one: one.replicas)
    if broken and best.replicas < current:
        return current, "", broken[0].problem
    return best.replicas, best.name, None


def _limit(wanted: int, bounded: int, size: int) -> tuple[str, bool, str, str]:
    if size != bounded:
        reason = "ScaleUpLimit" if size < bounded else "ScaleDownLimit"
        return "ScalingLimited", True, reason, "the policies let the size change only so fast"
    if bounded < wanted:
        message = "the desired replica count is more than the maximum replica count"
        return "ScalingLimited", True, "TooManyReplicas", message
    if bounded > wanted:
        message = "the desired replica count is less than the minimum replica count"
        return "ScalingLimited", True, "TooFewReplicas", message
    message = "the desired count is within the acceptable range"
    return "ScalingLimited", False, "DesiredWithinRange", message
