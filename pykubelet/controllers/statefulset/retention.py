"""Who owns the claims of a StatefulSet, so that the garbage collector removes them in time. Pure.

`whenDeleted: Delete` makes the set the owner of its claims; `whenScaled: Delete` makes a pod that
is scaled away the owner of its own. Owners that others have set are left alone.
Source: KEP-1847.
"""

from __future__ import annotations

from typing import Any

from pykubelet.client.api import owner_reference
from pykubelet.client.resources import PODS, STATEFUL_SETS

Json = dict[str, Any]


def owners(set_: Json, pod: Json | None, claim: Json, *, scaled_away: bool) -> list[Json] | None:
    """The owner references that a claim is to have; None where it has them.

    `pod` is the one that uses the claim, if there is one, `scaled_away` whether its ordinal is no
    longer wanted.
    """
    policy = set_["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    present = list(claim["metadata"].get("ownerReferences") or ())
    others = [one for one in present if not _is_ours(one, set_, claim)]
    wanted: list[Json] = []
    if any(one.get("controller") for one in others):
        return None  # somebody else looks after it
    if policy.get("whenScaled") == "Delete" and scaled_away:
        if pod is None:
            return None
        wanted = [owner_reference(pod, PODS)]
    elif policy.get("whenDeleted") == "Delete":
        wanted = [owner_reference(set_, STATEFUL_SETS)]
    ours = [one for one in present if one not in others]
    same = [_mark(one) for one in ours] == [_mark(one) for one in wanted]
    return None if same else [*others, *wanted]


def _is_ours(reference: Json, set_: Json, claim: Json) -> bool:
    """Whether this set put it there: itself, or a pod of one of its ordinals."""
    name = set_["metadata"]["name"]
    if reference["kind"] == "StatefulSet":
        return bool(reference["name"] == name)
    _, _, ordinal = claim["metadata"]["name"].rpartition("-")
    return bool(reference["kind"] == "Pod" and reference["name"] == f"{name}-{ordinal}")


def _mark(reference: Json) -> tuple[str, bool]:
    return reference["uid"], bool(reference.get("controller"))
