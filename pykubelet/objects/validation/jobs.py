"""Jobs and CronJobs. Source: the API reference of batch/v1, KEP-3329 (pod failure policy), KEP-3850
(backoff per index), KEP-3998 (success policy), KEP-4368 (managedBy).
"""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pykubelet.objects import fields, names, selectors
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.cron import complaint
from pykubelet.objects.validation.meta import immutable, label_selector
from pykubelet.objects.validation.pods import template
from pykubelet.objects.validation.rules import (
    Errors,
    Json,
    chosen,
    domain_prefixed,
    named,
    not_negative,
)

_SPEC: Path = ("spec",)
_COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit",
           "ttlSecondsAfterFinished", "maxFailedIndexes", "backoffLimitPerIndex")  # fmt: skip
_MOST_INDEXES, _MOST_PARALLEL = 100_000, 10_000
_MOST_RULES, _MOST_CODES, _MOST_PATTERNS, _MOST_SUCCESS_RULES = 20, 255, 20, 20
_LONGEST_MANAGER = 63
_LONGEST_CRON_NAME = 52  # its jobs' names get eleven more characters
_PREFIX = "batch.kubernetes.io/"


def job(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from _generated_selector(obj, spec)
    yield from job_spec(spec, _SPEC)
    selector = spec.get("selector")
    at = (*_SPEC, "selector")
    if selector is None:
        yield fields.required(at)
        return
    found = list(label_selector(selector, at))
    yield from found
    given = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if not found and not selectors.matches(selectors.from_object(selector), given):
        yield fields.invalid(
            (*_SPEC, "template", "metadata", "labels"),
            given,
            "`selector` does not match template `labels`",
        )


def job_spec(spec: Json, at: Path) -> Errors:
    """What a Job and a CronJob's template have in common."""
    yield from not_negative(spec, _COUNTS, at)
    yield from chosen(spec, "completionMode", ("Indexed", "NonIndexed"), at)
    if spec.get("completionMode") == "Indexed":
        yield from _indexed(spec, at)
    else:
        for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if key in spec:
                yield fields.invalid((*at, key), spec[key], "requires indexed completion mode")
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        yield fields.required((*at, "backoffLimitPerIndex"), "when maxFailedIndexes is specified")
    manager = spec.get("managedBy")
    if manager is not None:
        yield from domain_prefixed(manager, (*at, "managedBy"))
        if len(manager) > _LONGEST_MANAGER:
            yield fields.too_long((*at, "managedBy"), _LONGEST_MANAGER)
    yield from template(spec.get("template") or {}, (*at, "template"))
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") or ""
    if policy not in ("Never", "OnFailure"):
        yield fields.required(
            (*at, "template", "spec", "restartPolicy"), 'valid values: "OnFailure", "Never"'
        )
    if "podFailurePolicy" in spec:
        yield from _failure_policy(spec, policy, (*at, "podFailurePolicy"))
    if "successPolicy" in spec:
        yield from _success_policy(spec, (*at, "successPolicy"))
    replacement = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if "podFailurePolicy" in spec else ("Failed", "TerminatingOrFailed")
    if replacement and replacement not in allowed:
        yield fields.not_supported((*at, "podReplacementPolicy"), replacement, allowed)


def job_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if not _elastic(after, before):
        yield from immutable(
            after.get("completions"), before.get("completions"), (*_SPEC, "completions")
        )
    yield from immutable(after.get("selector"), before.get("selector"), (*_SPEC, "selector"))
    yield from _template_update(after, before, old)
    for key in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy",
                "successPolicy"):  # fmt: skip
        yield from immutable(after.get(key), before.get(key), (*_SPEC, key))


def cron_job(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    name = obj["metadata"].get("name") or ""
    if len(name) > _LONGEST_CRON_NAME:
        yield fields.invalid(
            ("metadata", "name"), name, f"must be no more than {_LONGEST_CRON_NAME} characters"
        )
    schedule, at = spec.get("schedule") or "", (*_SPEC, "schedule")
    if not schedule:
        yield fields.required(at)
    else:
        wrong = complaint(schedule)
        if wrong:
            yield fields.invalid(at, schedule, wrong)
        if spec.get("timeZone") is not None and "TZ" in schedule:
            yield fields.invalid(
                at,
                schedule,
                "cannot use both timeZone field and TZ or CRON_TZ in schedule",
            )
        elif "TZ" in schedule:
            yield fields.invalid(
                at, schedule,
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            )  # fmt: skip
    yield from _time_zone(spec.get("timeZone"), (*_SPEC, "timeZone"))
    yield from not_negative(
        spec,
        ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"),
        _SPEC,
    )
    yield from chosen(spec, "concurrencyPolicy", ("Allow", "Forbid", "Replace"), _SPEC, empty=False)
    inner = (spec.get("jobTemplate") or {}).get("spec") or {}
    at = (*_SPEC, "jobTemplate", "spec")
    yield from job_spec(inner, at)
    if "selector" in inner:
        yield fields.invalid(
            (*at, "selector"), inner["selector"], "`selector` will be auto-generated"
        )
    if inner.get("manualSelector"):
        yield fields.not_supported((*at, "manualSelector"), True, ("nil", "false"))


def _generated_selector(obj: Json, spec: Json) -> Errors:
    """A job that doesn't insist on its own selector has the one that was made for it."""
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    meta = obj["metadata"]
    at = (*_SPEC, "template", "metadata")
    given = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    expected = {"controller-uid": meta.get("uid"), "job-name": meta.get("name")}
    expected |= {f"{_PREFIX}{key}": value for key, value in expected.items()}
    for key, value in expected.items():
        if key not in given:
            yield fields.required((*at, "labels", f"[{key}]"), f"must be '{value}'")
        elif given[key] != value:
            yield fields.invalid((*at, "labels", f"[{key}]"), given, f"must be '{value}'")
    selector = spec["selector"]
    made = {key: str(value) for key, value in expected.items()}
    if not list(label_selector(selector, ())) and not selectors.matches(
        selectors.from_object(selector), made
    ):
        yield fields.invalid((*_SPEC, "selector"), selector, "`selector` not auto-generated")


def _indexed(spec: Json, at: Path) -> Errors:
    completions = spec.get("completions")
    if completions is None:
        yield fields.required((*at, "completions"), "when completion mode is Indexed")
        return
    limit = spec.get("backoffLimitPerIndex")
    if (spec.get("parallelism") or 0) > _MOST_INDEXES:
        yield fields.invalid(
            (*at, "parallelism"), spec["parallelism"],
            f"must be less than or equal to {_MOST_INDEXES} when completion mode is Indexed",
        )  # fmt: skip
    failed = spec.get("maxFailedIndexes")
    if failed is not None and failed > completions:
        yield fields.invalid(
            (*at, "maxFailedIndexes"), failed, "must be less than or equal to completions"
        )
    if limit is not None and completions > _MOST_INDEXES:
        if failed is None:
            yield fields.required(
                (*at, "maxFailedIndexes"),
                f"must be specified when completions is above {_MOST_INDEXES}",
            )
        if (spec.get("parallelism") or 0) > _MOST_PARALLEL:
            yield fields.invalid(
                (*at, "parallelism"), spec["parallelism"],
                f"must be less than or equal to {_MOST_PARALLEL} when completions are above "
                f"{_MOST_INDEXES} and used with backoff limit per index",
            )  # fmt: skip


def _failure_policy(spec: Json, policy: str, at: Path) -> Errors:
    if policy != "Never":
        yield fields.invalid(
            (*at[:-1], "template", "spec", "restartPolicy"), policy,
            'only "Never" is supported when podFailurePolicy is specified',
        )  # fmt: skip
    rules = (spec["podFailurePolicy"] or {}).get("rules") or []
    if len(rules) > _MOST_RULES:
        yield fields.too_many((*at, "rules"), len(rules), _MOST_RULES)
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = {c.get("name") for k in ("containers", "initContainers") for c in pod.get(k) or ()}
    actions = ["Count", "FailIndex", "FailJob", "Ignore"]
    for index, rule in enumerate(rules):
        here = (*at, "rules", index)
        yield from chosen(rule, "action", actions, here, empty=False)
        if rule.get("action") == "FailIndex" and "backoffLimitPerIndex" not in spec:
            yield fields.invalid(
                (*here, "action"), "FailIndex", "requires the backoffLimitPerIndex to be set"
            )
        codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if codes is not None and patterns:
            yield fields.invalid(
                here, None,
                "specifying both OnExitCodes and OnPodConditions is not supported",
            )  # fmt: skip
        if codes is None and not patterns:
            yield fields.invalid(
                here, None, "specifying one of OnExitCodes and OnPodConditions is required"
            )
        if codes is not None:
            yield from _exit_codes(codes, containers, (*here, "onExitCodes"))
        if len(patterns) > _MOST_PATTERNS:
            yield fields.too_many((*here, "onPodConditions"), len(patterns), _MOST_PATTERNS)
        for number, pattern in enumerate(patterns):
            there = (*here, "onPodConditions", number)
            kind = pattern.get("type") or ""
            yield from named(kind, (*there, "type"), names.qualified)
            yield from chosen(pattern, "status", ("False", "True", "Unknown"), there, empty=False)


def _exit_codes(given: Json, containers: set[str | None], at: Path) -> Errors:
    yield from chosen(given, "operator", ("In", "NotIn"), at, empty=False)
    name = given.get("containerName")
    if name is not None and name not in containers:
        yield fields.invalid(
            (*at, "containerName"), name,
            "must be one of the container or initContainer names in the pod template",
        )  # fmt: skip
    values = given.get("values") or []
    if not values:
        yield fields.invalid((*at, "values"), values, "at least one value is required")
    elif len(values) > _MOST_CODES:
        yield fields.too_many((*at, "values"), len(values), _MOST_CODES)
    seen: set[int] = set()
    for index, value in enumerate(values):
        if given.get("operator") == "In" and value == 0:
            yield fields.invalid((*at, "values", index), value, "must not be 0 for the In operator")
        if value in seen:
            yield fields.duplicate((*at, "values", index), value)
        seen.add(value)
    if values != sorted(values):
        yield fields.invalid((*at, "values"), values, "must be ordered")


def _success_policy(spec: Json, at: Path) -> Errors:
    if spec.get("completionMode") != "Indexed":
        yield fields.invalid(at, spec["successPolicy"], "requires indexed completion mode")
    rules = (spec["successPolicy"] or {}).get("rules") or []
    if not rules:
        yield fields.required(
            (*at, "rules"),
            "at least one rules must be specified when the successPolicy is specified",
        )
    elif len(rules) > _MOST_SUCCESS_RULES:
        yield fields.too_many((*at, "rules"), len(rules), _MOST_SUCCESS_RULES)
    completions = spec.get("completions") or 0
    for index, rule in enumerate(rules):
        here = (*at, "rules", index)
        count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
        if count is None and indexes is None:
            yield fields.required(
                here, "at least one of succeededCount or succeededIndexes must be specified"
            )
        total = None
        if indexes is not None:
            total = _index_count(indexes, completions)
            if total is None:
                yield fields.invalid(
                    (*here, "succeededIndexes"), indexes, "error parsing succeededIndexes"
                )
        if count is not None:
            yield from not_negative(rule, ("succeededCount",), here)
            if count > completions:
                yield fields.invalid(
                    (*here, "succeededCount"), count,
                    f"must be less than or equal to {completions} (the number of specified "
                    "completions)",
                )  # fmt: skip
            if total is not None and count > total:
                yield fields.invalid(
                    (*here, "succeededCount"), count,
                    f"must be less than or equal to {total} (the number of indexes in the "
                    "specified succeededIndexes field)",
                )  # fmt: skip


def _index_count(text: str, completions: int) -> int | None:
    """How many indexes `1,3-5` names; None where it can't be read."""
    count, before = 0, -1
    for part in text.split(",") if text else ():
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if not match:
            return None
        low = int(match[1])
        high = int(match[2]) if match[2] else low
        if low <= before or high < low or high >= completions:
            return None
        count, before = count + high - low + 1, high
    return count


def _elastic(after: Json, before: Json) -> bool:
    """Whether an indexed job changes its completions together with its parallelism (KEP-3715)."""
    return (
        before.get("completionMode") == "Indexed"
        and after.get("completions") is not None
        and after.get("completions") == after.get("parallelism")
    )


def _template_update(after: Json, before: Json, old: Json) -> Errors:
    """The template stays, but for where the pods of a job that hasn't begun may run."""
    new, was = after.get("template") or {}, before.get("template") or {}
    state = old.get("status") or {}
    conditions = {c.get("type"): c.get("status") for c in state.get("conditions") or ()}
    idle = before.get("suspend") and (
        not state.get("startTime") or conditions.get("Suspended") == "True"
    )
    if idle:
        new, was = _bare(new), _bare(was)
    yield from immutable(new, was, (*_SPEC, "template"))


def _bare(given: Json) -> Json:
    meta = {k: v for k, v in (given.get("metadata") or {}).items()
            if k not in ("annotations", "labels")}  # fmt: skip
    spec = {k: v for k, v in (given.get("spec") or {}).items()
            if k not in ("nodeSelector", "affinity", "tolerations", "schedulingGates")}  # fmt: skip
    for kind in ("containers", "initContainers"):
        if kind in spec:
            spec[kind] = [{**one, "resources": {}} for one in spec[kind] or ()]
    return {**given, "metadata": meta, "spec": spec}


def _time_zone(zone: str | None, path: Path) -> Errors:
    if zone is None:
        return
    if not zone:
        yield fields.invalid(path, zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local":
        yield fields.invalid(
            path,
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        )
    else:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            if available_timezones():  # a machine without the database can't tell
                yield fields.invalid(path, zone, f"unknown time zone {zone}")


def job_status(new: Json, old: Json) -> Errors:
    """A finished job stays finished, and counts make sense."""
    state, before = new.get("status") or {}, old.get("status") or {}
    at: Path = ("status",)
    yield from not_negative(state, ("active", "succeeded", "failed", "ready", "terminating"), at)
    had = {c.get("type") for c in before.get("conditions") or () if c.get("status") == "True"}
    has = {c.get("type") for c in state.get("conditions") or () if c.get("status") == "True"}
    for kind in sorted({"Complete", "Failed"} & had):
        if kind not in has:
            yield fields.invalid(
                (*at, "conditions"),
                sorted(has),
                f"cannot disable the terminal Job condition {kind}",
            )
    if {"Complete", "Failed"} <= has:
        yield fields.invalid(
            (*at, "conditions"), sorted(has), "cannot set Complete=True and Failed=true conditions"
        )
    if "Complete" in has and not state.get("completionTime"):
        yield fields.required(
            (*at, "completionTime"), "completionTime is required for Complete jobs"
        )
