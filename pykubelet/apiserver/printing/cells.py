"""Small things that cells are made of: ages, counts, lists, selectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pykubelet.clock import from_rfc3339

Json = dict[str, Any]
NONE = "<none>"


def at(obj: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path; the default where a step is missing."""
    for step in path.split("."):
        if not isinstance(obj, dict) or obj.get(step) is None:
            return default
        obj = obj[step]
    return obj


def age(written: str | None, now: float) -> str:
    """How long ago a time was, in the way kubectl says it."""
    if not written:
        return "<unknown>"
    return duration(now - from_rfc3339(written))


def duration(seconds: float) -> str:
    """Two units at most, the coarser the longer: 90s, 5m30s, 3h20m, 2d4h, 1y30d."""
    left = int(seconds)
    if left < -1:
        return "<invalid>"
    left = max(left, 0)
    minutes, hours, days = left // 60, left // 3600, left // 86400
    if left < 120:
        return f"{left}s"
    if minutes < 10:
        return f"{minutes}m{left % 60}s" if left % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    years = days // 365
    return f"{years}y{days % 365}d" if years < 8 and days % 365 else f"{years}y"


def listed(values: Iterable[Any], empty: str = NONE) -> str:
    return ",".join(str(value) for value in values) or empty


def labels(given: Json | None) -> str:
    """`a=b,c=d`."""
    return listed(f"{key}={value}" for key, value in sorted((given or {}).items()))


def selector(given: Json | None) -> str:
    """A LabelSelector in one line."""
    if not given:
        return NONE
    parts = [f"{k}={v}" for k, v in sorted((given.get("matchLabels") or {}).items())]
    for one in given.get("matchExpressions") or ():
        values = ",".join(sorted(one.get("values") or ()))
        match one.get("operator"):
            case "In":
                parts.append(f"{one['key']} in ({values})")
            case "NotIn":
                parts.append(f"{one['key']} notin ({values})")
            case "Exists":
                parts.append(one["key"])
            case "DoesNotExist":
                parts.append(f"!{one['key']}")
    return listed(parts)


def containers(spec: Json) -> tuple[str, str]:
    """The names and the images of a pod spec's containers."""
    given = spec.get("containers") or ()
    return listed(c.get("name", "") for c in given), listed(c.get("image", "") for c in given)


def condition(obj: Json, kind: str) -> Json:
    """A status condition by its type."""
    for one in at(obj, "status.conditions", ()):
        if one.get("type") == kind:
            found: Json = one
            return found
    return {}
