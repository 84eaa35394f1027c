"""What makes pods: selectors that fit their templates, counts, and what can't change later."""

from __future__ import annotations

import re

from pykubelet.objects import fields, selectors
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import immutable, label_selector
from pykubelet.objects.validation.pods import template
from pykubelet.objects.validation.rules import Errors, Json, chosen, not_negative

_SPEC: Path = ("spec",)


def _selected_template(spec: Json, policies: tuple[str, ...] = ("Always",)) -> Errors:
    """A selector, and a template that it selects."""
    selector = spec.get("selector")
    if selector is None:
        yield fields.required((*_SPEC, "selector"))
    else:
        yield from label_selector(selector, (*_SPEC, "selector"))
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield fields.invalid(
                (*_SPEC, "selector"), selector, "empty selector is invalid for deployment"
            )
    at = (*_SPEC, "template")
    given = spec.get("template") or {}
    labels = (given.get("metadata") or {}).get("labels") or {}
    sound = selector and not any(True for _ in label_selector(selector, _SPEC))
    if sound and not selectors.matches(selectors.from_object(selector), labels):
        yield fields.invalid(
            (*at, "metadata", "labels"), labels, "`selector` does not match template `labels`"
        )
    yield from template(given, at)
    yield from chosen(
        given.get("spec") or {}, "restartPolicy", policies, (*at, "spec"), empty=False
    )


def deployment(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from not_negative(spec, ("replicas", "minReadySeconds", "revisionHistoryLimit"), _SPEC)
    yield from _selected_template(spec)
    strategy = spec.get("strategy") or {}
    at = (*_SPEC, "strategy")
    yield from chosen(strategy, "type", ("Recreate", "RollingUpdate"), at, empty=False)
    if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
        yield fields.forbidden(
            (*at, "rollingUpdate"),
            "may not be specified when strategy `type` is 'Recreate'",
        )
    rolling = strategy.get("rollingUpdate") or {}
    for key in ("maxUnavailable", "maxSurge"):
        yield from _count_or_percent(rolling.get(key), (*at, "rollingUpdate", key))
    if rolling and _is_zero(rolling.get("maxUnavailable")) and _is_zero(rolling.get("maxSurge")):
        yield fields.invalid(
            (*at, "rollingUpdate", "maxUnavailable"),
            rolling.get("maxUnavailable"),
            "may not be 0 when `maxSurge` is 0",
        )
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        yield fields.invalid(
            (*_SPEC, "progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds"
        )


def replica_set(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from not_negative(spec, ("replicas", "minReadySeconds"), _SPEC)
    yield from _selected_template(spec)


def stateful_set(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from chosen(spec, "podManagementPolicy", ("OrderedReady", "Parallel"), _SPEC, empty=False)
    yield from not_negative(spec, ("replicas", "minReadySeconds", "revisionHistoryLimit"), _SPEC)
    yield from chosen(
        spec.get("updateStrategy") or {}, "type", ("OnDelete", "RollingUpdate"),
        (*_SPEC, "updateStrategy"), empty=False,
    )  # fmt: skip
    yield from _selected_template(spec)


def daemon_set(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from not_negative(spec, ("minReadySeconds", "revisionHistoryLimit"), _SPEC)
    yield from chosen(
        spec.get("updateStrategy") or {}, "type", ("OnDelete", "RollingUpdate"),
        (*_SPEC, "updateStrategy"), empty=False,
    )  # fmt: skip
    yield from _selected_template(spec)


def job(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from not_negative(
        spec,
        ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
         "ttlSecondsAfterFinished"),
        _SPEC,
    )  # fmt: skip
    yield from chosen(spec, "completionMode", ("Indexed", "NonIndexed"), _SPEC)
    if spec.get("completionMode") == "Indexed" and "completions" not in spec:
        yield fields.required((*_SPEC, "completions"), "when completion mode is Indexed")
    yield from _selected_template(spec, ("Never", "OnFailure"))


def cron_job(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    if not spec.get("schedule"):
        yield fields.required((*_SPEC, "schedule"))
    elif len(spec["schedule"].split()) != 5 and not spec["schedule"].startswith("@"):
        yield fields.invalid(
            (*_SPEC, "schedule"),
            spec["schedule"],
            f"expected exactly 5 fields, found {len(spec['schedule'].split())}: "
            f"{spec['schedule'].split()}",
        )
    yield from chosen(spec, "concurrencyPolicy", ("Allow", "Forbid", "Replace"), _SPEC, empty=False)
    yield from not_negative(
        spec,
        ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"),
        _SPEC,
    )
    at = (*_SPEC, "jobTemplate", "spec")
    inner = (spec.get("jobTemplate") or {}).get("spec") or {}
    yield from template(inner.get("template") or {}, (*at, "template"))
    yield from chosen(
        (inner.get("template") or {}).get("spec") or {}, "restartPolicy", ("Never", "OnFailure"),
        (*at, "template", "spec"), empty=False,
    )  # fmt: skip


def same_selector(new: Json, old: Json) -> Errors:
    """What a workload selects is settled when it is made."""
    yield from immutable(
        (new.get("spec") or {}).get("selector"),
        (old.get("spec") or {}).get("selector"),
        (*_SPEC, "selector"),
    )


def stateful_set_update(new: Json, old: Json) -> Errors:
    changeable = {"replicas", "template", "updateStrategy", "minReadySeconds", "ordinals",
                  "persistentVolumeClaimRetentionPolicy", "revisionHistoryLimit"}  # fmt: skip
    after, before = new.get("spec") or {}, old.get("spec") or {}
    for key in {*after, *before} - changeable:
        if after.get(key) != before.get(key):
            yield fields.forbidden(
                _SPEC,
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                "'template', 'updateStrategy', 'revisionHistoryLimit', "
                "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            )
            return


def job_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    suspended = before.get("suspend")
    for key in ("completions", "selector", "completionMode", "podFailurePolicy",
                "backoffLimitPerIndex", "managedBy", "successPolicy"):  # fmt: skip
        yield from immutable(after.get(key), before.get(key), (*_SPEC, key))
    if not suspended:
        yield from immutable(after.get("template"), before.get("template"), (*_SPEC, "template"))


def _count_or_percent(value: object, path: Path) -> Errors:
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]+%", value):
            yield fields.invalid(
                path,
                value,
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
                "'1%',  or '93%', regex used for validation is '[0-9]+%')",
            )
    elif isinstance(value, int) and value < 0:
        yield fields.invalid(path, value, "must be greater than or equal to 0")


def _is_zero(value: object) -> bool:
    return value in (0, "0%", None)
