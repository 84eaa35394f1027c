"""How controllers write a status: conditions that keep their times, and no write without a change.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pykubelet.clock import rfc3339

Json = dict[str, Any]


def same(left: Any, right: Any) -> bool:
    """Whether two statuses say the same: a zero, an empty list and nothing at all are equal, since
    servers leave out some of them."""
    return bool(_bare(left) == _bare(right))


def _bare(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: bare for k, v in tree.items() if (bare := _bare(v)) not in (None, 0, "", [], {})}
    if isinstance(tree, list):
        return [_bare(one) for one in tree]
    return tree


def condition(kind: str, status: bool | str, reason: str, message: str, now: float) -> Json:
    """`status` is a truth, or the word to write."""
    word = status if isinstance(status, str) else ("True" if status else "False")
    return {
        "type": kind,
        "status": word,
        "reason": reason,
        "message": message,
        "lastTransitionTime": rfc3339(now),
    }


def without(conditions: Iterable[Json] | None, *kinds: str) -> list[Json]:
    return [one for one in conditions or () if one["type"] not in kinds]


def with_condition(conditions: Iterable[Json] | None, new: Json) -> list[Json]:
    """The conditions with this one in place of its kind's old one. The time of the last transition
    stays where the status does; one that says nothing new is left as it is."""
    made: list[Json] = []
    found = False
    for old in conditions or ():
        if old["type"] != new["type"]:
            made.append(old)
            continue
        found = True
        if all(old.get(part) == new.get(part) for part in ("status", "reason", "message")):
            made.append(old)
        elif old["status"] == new["status"]:
            made.append({**new, "lastTransitionTime": old.get("lastTransitionTime")})
        else:
            made.append(new)
    return made if found else [*made, new]
