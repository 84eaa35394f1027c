"""What may change in a pod that is there."""

from __future__ import annotations

from pykubelet.objects import fields
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.rules import Errors, Json

_SPEC: Path = ("spec",)
_ONLY = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)


def pod_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    for kind in ("containers", "initContainers"):
        if len(after.get(kind) or ()) != len(before.get(kind) or ()):
            yield fields.forbidden((*_SPEC, kind), "pod updates may not add or remove containers")
            return
    yield from _deadline(after, before)
    yield from _tolerations(after.get("tolerations") or [], before.get("tolerations") or [])
    if _settled(after, before) != _settled(before, before):
        yield fields.forbidden(_SPEC, _ONLY)


def ephemeral_update(new: Json, old: Json) -> Errors:
    """Ephemeral containers come, and stay as they are."""
    after = {c["name"]: c for c in (new.get("spec") or {}).get("ephemeralContainers") or ()}
    at: Path = (*_SPEC, "ephemeralContainers")
    for one in (old.get("spec") or {}).get("ephemeralContainers") or ():
        if one["name"] not in after:
            yield fields.forbidden(
                at, f'existing ephemeral containers "{one["name"]}" may not be removed'
            )
        elif after[one["name"]] != one:
            yield fields.forbidden(
                at, f'existing ephemeral containers "{one["name"]}" may not be changed'
            )


def _settled(spec: Json, before: Json) -> Json:
    """A spec without what may change."""
    made = {k: v for k, v in spec.items() if k not in ("activeDeadlineSeconds", "tolerations")}
    for kind in ("containers", "initContainers"):
        if kind in made:
            made[kind] = [{**container, "image": ""} for container in made[kind] or ()]
    grace = before.get("terminationGracePeriodSeconds") or 0
    if grace < 0 and made.get("terminationGracePeriodSeconds") == 1:
        made["terminationGracePeriodSeconds"] = grace
    gates = [one["name"] for one in before.get("schedulingGates") or ()]
    if gates:
        kept = made.pop("schedulingGates", None) or []
        if any(one["name"] not in gates for one in kept):
            made["schedulingGates"] = kept
        made.pop("nodeSelector", None)
        made.pop("affinity", None)
    return made


def _deadline(after: Json, before: Json) -> Errors:
    at = (*_SPEC, "activeDeadlineSeconds")
    now, was = after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if was is not None and now is None:
        yield fields.invalid(at, now, "must not update from a positive integer to nil value")
    elif was is not None and now > was:
        yield fields.invalid(at, now, "must be less than or equal to previous value")


def _tolerations(after: list[Json], before: list[Json]) -> Errors:
    def bare(one: Json) -> Json:
        return {key: value for key, value in one.items() if key != "tolerationSeconds"}

    now = [bare(one) for one in after]
    if any(bare(one) not in now for one in before):
        yield fields.forbidden(
            (*_SPEC, "tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        )
