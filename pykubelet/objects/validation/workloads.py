"""What makes pods that shall keep running: ReplicationControllers, ReplicaSets, Deployments,
StatefulSets, DaemonSets, PodTemplates, ControllerRevisions. Jobs are in `jobs`.

Selectors must fit the templates, counts make sense, and what can't change later doesn't. Source:
the API reference of apps/v1.
"""

from __future__ import annotations

import re

from pykubelet.objects import fields, selectors
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import annotation_map, immutable, label_selector, labels
from pykubelet.objects.validation.pods import template
from pykubelet.objects.validation.rules import (
    NOT_NEGATIVE,
    Errors,
    Json,
    chosen,
    not_negative,
)

_SPEC: Path = ("spec",)
_UNFIT = "`selector` does not match template `labels`"
_FEW = "cannot be greater than status.replicas"
_STATEFUL_CHANGES = frozenset(
    ("replicas", "template", "updateStrategy", "minReadySeconds", "ordinals",
     "persistentVolumeClaimRetentionPolicy", "revisionHistoryLimit")
)  # fmt: skip


def deployment(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from not_negative(spec, ("replicas",), _SPEC)
    yield from _selector(spec, "deployment")
    yield from _template(spec)
    yield from _deployment_strategy(spec.get("strategy") or {}, (*_SPEC, "strategy"))
    yield from not_negative(spec, ("minReadySeconds", "revisionHistoryLimit"), _SPEC)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        yield from not_negative(spec, ("progressDeadlineSeconds",), _SPEC)
        if deadline <= (spec.get("minReadySeconds") or 0):
            yield fields.invalid(
                (*_SPEC, "progressDeadlineSeconds"),
                deadline,
                "must be greater than minReadySeconds",
            )


def replica_set(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from not_negative(spec, ("replicas", "minReadySeconds"), _SPEC)
    yield from _selector(spec, "deployment")
    yield from _template(spec)


def replication_controller(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from not_negative(spec, ("minReadySeconds",), _SPEC)
    selector = spec.get("selector") or {}
    if not selector:
        yield fields.required((*_SPEC, "selector"))
    yield from labels(selector, (*_SPEC, "selector"))
    if "replicas" not in spec:
        yield fields.required((*_SPEC, "replicas"))
    yield from not_negative(spec, ("replicas",), _SPEC)
    if not spec.get("template"):
        yield fields.required((*_SPEC, "template"))
        return
    yield from _fits(selectors.from_map(selector), spec)
    yield from _template(spec)


def stateful_set(obj: Json) -> Errors:
    """The pod spec of the template is not looked into: it mounts volumes that the claim templates
    make."""
    spec = obj.get("spec") or {}
    if spec.get("podManagementPolicy") not in ("OrderedReady", "Parallel"):
        yield fields.invalid(
            (*_SPEC, "podManagementPolicy"),
            spec.get("podManagementPolicy") or "",
            "must be 'OrderedReady' or 'Parallel'",
        )
    yield from _stateful_strategy(spec.get("updateStrategy") or {}, (*_SPEC, "updateStrategy"))
    kept = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for key in ("whenDeleted", "whenScaled"):
        yield from chosen(
            kept, key, ("Delete", "Retain"), (*_SPEC, "persistentVolumeClaimRetentionPolicy")
        )
    yield from not_negative(spec, ("replicas", "minReadySeconds", "revisionHistoryLimit"), _SPEC)
    yield from not_negative(spec.get("ordinals") or {}, ("start",), (*_SPEC, "ordinals"))
    yield from _selector(spec, "statefulset")
    given = spec.get("template") or {}
    meta, at = given.get("metadata") or {}, (*_SPEC, "template")
    yield from labels(meta.get("labels"), (*at, "labels"))
    yield from annotation_map(meta.get("annotations"), (*at, "annotations"))
    yield from _keeps_running(given, at, "StatefulSet")


def daemon_set(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from _selector(spec, "daemonset")
    yield from _template(spec, "DaemonSet")
    yield from not_negative(spec, ("minReadySeconds",), _SPEC)
    strategy, at = spec.get("updateStrategy") or {}, (*_SPEC, "updateStrategy")
    yield from chosen(strategy, "type", ("OnDelete", "RollingUpdate"), (*at,), empty=False)
    if strategy.get("type") == "RollingUpdate":
        if strategy.get("rollingUpdate") is None:
            yield fields.required((*at, "rollingUpdate"))
        else:
            yield from _daemon_rollout(strategy["rollingUpdate"], (*at, "rollingUpdate"))
    yield from not_negative(spec, ("revisionHistoryLimit",), _SPEC)


def pod_template(obj: Json) -> Errors:
    yield from template(obj.get("template") or {}, ("template",))


def controller_revision(obj: Json) -> Errors:
    if obj.get("data") is None:
        yield fields.required(("data",), "data is mandatory")
    yield from not_negative(obj, ("revision",), ())


def controller_revision_update(new: Json, old: Json) -> Errors:
    yield from immutable(new.get("data"), old.get("data"), ("data",))


def same_selector(new: Json, old: Json) -> Errors:
    """What a workload selects is settled when it is made."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    yield from immutable(after.get("selector"), before.get("selector"), (*_SPEC, "selector"))


def stateful_set_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if any(after.get(key) != before.get(key) for key in {*after, *before} - _STATEFUL_CHANGES):
        yield fields.forbidden(
            _SPEC,
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
            "'template', 'updateStrategy', 'revisionHistoryLimit', "
            "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        )


def counts(new: Json, old: Json) -> Errors:
    """The status of anything with replicas: no negative count, none above the whole, and a
    collision count that only grows."""
    state, before = new.get("status") or {}, old.get("status") or {}
    at: Path = ("status",)
    parts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas", "updatedReplicas",
             "currentReplicas")  # fmt: skip
    yield from not_negative(state, ("replicas", *parts, "observedGeneration"), at)
    whole = state.get("replicas") or 0
    for key in parts:
        if (state.get(key) or 0) > whole:
            yield fields.invalid((*at, key), state.get(key), _FEW)
    if (state.get("availableReplicas") or 0) > (state.get("readyReplicas") or 0):
        yield fields.invalid(
            (*at, "availableReplicas"),
            state.get("availableReplicas"),
            "cannot be greater than readyReplicas",
        )
    had, has = before.get("collisionCount"), state.get("collisionCount")
    if had is not None and (has or 0) < had:
        yield fields.invalid((*at, "collisionCount"), has or 0, "cannot be decremented")


def count_or_percent(value: object, path: Path) -> Errors:
    """A number, or a percentage as text."""
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]+%", value):
            yield fields.invalid(
                path,
                value,
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
                "'1%',  or '93%', regex used for validation is '[0-9]+%')",
            )
    elif isinstance(value, int) and value < 0:
        yield fields.invalid(path, value, NOT_NEGATIVE)


def at_most_everything(value: object, path: Path) -> Errors:
    if isinstance(value, str) and re.fullmatch(r"[0-9]+%", value) and int(value[:-1]) > 100:
        yield fields.invalid(path, value, "must not be greater than 100%")


def _selector(spec: Json, word: str) -> Errors:
    """A selector that selects something, and fits the template."""
    at = (*_SPEC, "selector")
    selector = spec.get("selector")
    if selector is None:
        yield fields.required(at)
        return
    found = list(label_selector(selector, at))
    yield from found
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield fields.invalid(at, selector, f"empty selector is invalid for {word}")
    elif not found:
        yield from _fits(selectors.from_object(selector), spec)


def _fits(selector: selectors.Selector, spec: Json) -> Errors:
    wanted = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if selector != selectors.NOTHING and not selectors.matches(selector, wanted):
        yield fields.invalid((*_SPEC, "template", "metadata", "labels"), wanted or None, _UNFIT)


def _template(spec: Json, word: str = "ReplicaSet") -> Errors:
    given, at = spec.get("template") or {}, (*_SPEC, "template")
    yield from template(given, at)
    yield from _keeps_running(given, at, word)


def _keeps_running(given: Json, at: Path, word: str) -> Errors:
    spec = given.get("spec") or {}
    if spec.get("restartPolicy") != "Always":
        policy = spec.get("restartPolicy") or ""
        yield fields.not_supported((*at, "spec", "restartPolicy"), policy, ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        yield fields.forbidden(
            (*at, "spec", "activeDeadlineSeconds"),
            f"activeDeadlineSeconds in {word} is not Supported",
        )


def _deployment_strategy(strategy: Json, at: Path) -> Errors:
    yield from chosen(strategy, "type", ("Recreate", "RollingUpdate"), at, empty=False)
    rolling = strategy.get("rollingUpdate")
    here = (*at, "rollingUpdate")
    if strategy.get("type") == "Recreate":
        if rolling is not None:
            yield fields.forbidden(here, "may not be specified when strategy `type` is 'Recreate'")
        return
    if strategy.get("type") != "RollingUpdate":
        return
    if rolling is None:
        yield fields.required(here, "this should be defaulted and never be nil")
        return
    for key in ("maxUnavailable", "maxSurge"):
        yield from count_or_percent(rolling.get(key), (*here, key))
    if is_zero(rolling.get("maxUnavailable")) and is_zero(rolling.get("maxSurge")):
        yield fields.invalid(
            (*here, "maxUnavailable"),
            rolling.get("maxUnavailable") or 0,
            "may not be 0 when `maxSurge` is 0",
        )
    yield from at_most_everything(rolling.get("maxUnavailable"), (*here, "maxUnavailable"))


def _stateful_strategy(strategy: Json, at: Path) -> Errors:
    rolling = strategy.get("rollingUpdate")
    match strategy.get("type"):
        case "OnDelete":
            if rolling is not None:
                yield fields.invalid(
                    (*at, "rollingUpdate"),
                    rolling,
                    "only allowed for updateStrategy 'RollingUpdate'",
                )
        case "RollingUpdate":
            here = (*at, "rollingUpdate")
            yield from not_negative(rolling or {}, ("partition",), here)
            most = (rolling or {}).get("maxUnavailable")
            if most is not None:
                yield from count_or_percent(most, (*here, "maxUnavailable"))
                if is_zero(most):
                    yield fields.invalid((*here, "maxUnavailable"), most, "cannot be 0")
                yield from at_most_everything(most, (*here, "maxUnavailable"))
        case _:
            yield fields.invalid(at, strategy, "must be 'RollingUpdate' or 'OnDelete'")


def _daemon_rollout(rolling: Json, at: Path) -> Errors:
    away, more = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    yield from count_or_percent(away, (*at, "maxUnavailable"))
    yield from count_or_percent(more, (*at, "maxSurge"))
    yield from at_most_everything(away, (*at, "maxUnavailable"))
    yield from at_most_everything(more, (*at, "maxSurge"))
    if not is_zero(away) and not is_zero(more):
        yield fields.invalid(
            (*at, "maxSurge"), more, "may not be set when maxUnavailable is non-zero"
        )
    if is_zero(away) and is_zero(more):
        yield fields.required((*at, "maxUnavailable"), "cannot be 0 when maxSurge is 0")


def is_zero(value: object) -> bool:
    return value in (0, "0%", None)
