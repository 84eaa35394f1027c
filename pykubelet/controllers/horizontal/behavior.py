"""How fast a size may follow what was computed: stabilization, and steps per period. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

_UP: Json = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Json = {
    "stabilizationWindowSeconds": 300,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


@dataclass(slots=True)
class Memory:
    """What was recommended and done lately: (wall seconds, pods)."""

    recommended: list[tuple[float, int]] = field(default_factory=list)
    added: list[tuple[float, int]] = field(default_factory=list)
    removed: list[tuple[float, int]] = field(default_factory=list)

    def forget(self, before: float) -> None:
        for entries in (self.recommended, self.added, self.removed):
            entries[:] = [one for one in entries if one[0] >= before]


#: No window or period is longer.
LONGEST = 3600.0


def rules(autoscaler: Json) -> tuple[Json, Json]:
    """(up, down), with what is not said filled in."""
    given = autoscaler["spec"].get("behavior") or {}
    return _filled(given.get("scaleUp"), _UP), _filled(given.get("scaleDown"), _DOWN)


def _filled(given: Json | None, default: Json) -> Json:
    said = {key: value for key, value in (given or {}).items() if value is not None}
    return {**default, **said}


def stabilized(desired: int, current: int, up: Json, down: Json, memory: Memory, now: float) -> int:
    """The lowest of the recommendations in the window up, the highest in the window down."""
    floor = ceiling = desired
    for at, number in memory.recommended:
        if at > now - up["stabilizationWindowSeconds"]:
            floor = min(floor, number)
        if at > now - down["stabilizationWindowSeconds"]:
            ceiling = max(ceiling, number)
    return min(max(current, floor), ceiling)


def limited(desired: int, current: int, up: Json, down: Json, memory: Memory, now: float) -> int:
    """As far as the policies let it go now."""
    if desired > current:
        return min(desired, max(_highest(current, up, memory, now), current))
    if desired < current:
        return max(desired, min(_lowest(current, down, memory, now), current))
    return desired


def _before(current: int, period: float, memory: Memory, now: float) -> int:
    """The size at the beginning of a period."""
    return current - _within(memory.added, period, now) + _within(memory.removed, period, now)


def _within(entries: Iterable[tuple[float, int]], period: float, now: float) -> int:
    return sum(number for at, number in entries if at > now - period)


def _highest(current: int, rule: Json, memory: Memory, now: float) -> int:
    if rule["selectPolicy"] == "Disabled":
        return current
    found = []
    for policy in rule["policies"]:
        begin = _before(current, policy["periodSeconds"], memory, now)
        if policy["type"] == "Pods":
            found.append(begin + policy["value"])
        else:
            found.append(math.ceil(begin * (1 + policy["value"] / 100)))
    return int(min(found) if rule["selectPolicy"] == "Min" else max(found))


def _lowest(current: int, rule: Json, memory: Memory, now: float) -> int:
    if rule["selectPolicy"] == "Disabled":
        return current
    found = []
    for policy in rule["policies"]:
        begin = _before(current, policy["periodSeconds"], memory, now)
        if policy["type"] == "Pods":
            found.append(begin - policy["value"])
        else:
            found.append(int(begin * (1 - policy["value"] / 100)))
    return int(max(found) if rule["selectPolicy"] == "Min" else min(found))
