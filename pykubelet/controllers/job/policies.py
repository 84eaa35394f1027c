"""What a Job's rules make of a failed pod, and of the indexes that have succeeded. Pure."""

from __future__ import annotations

from typing import Any

from pykubelet.controllers.job import indexes

Json = dict[str, Any]


def verdict(job: Json, pod: Json) -> tuple[str, str]:
    """(action, message) of the first rule of `podFailurePolicy` that a failed pod matches. The
    action is FailJob, FailIndex, Ignore or Count, which also stands where no rule matches."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        action = rule["action"]
        if action == "FailIndex" and job["spec"].get("backoffLimitPerIndex") is None:
            continue
        why = _exit_code(rule.get("onExitCodes"), pod) or _condition(
            rule.get("onPodConditions") or (), pod
        )
        if why:
            name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            message = why.format(pod=name) + f" matching {action} rule at index {number}"
            return action, message
    return "Count", ""


def _exit_code(wanted: Json | None, pod: Json) -> str:
    if not wanted:
        return ""
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses"):
        for one in status.get(field) or ():
            ended = (one.get("state") or {}).get("terminated") or {}
            code = ended.get("exitCode", 0)
            if wanted.get("containerName") not in (None, one["name"]) or code == 0:
                continue
            listed = code in wanted["values"]
            if listed == (wanted["operator"] == "In"):
                return f"Container {one['name']} for pod {{pod}} failed with exit code {code}"
    return ""


def _condition(patterns: Any, pod: Json) -> str:
    present = (pod.get("status") or {}).get("conditions") or ()
    for pattern in patterns:
        for one in present:
            if (one["type"], one["status"]) == (pattern["type"], pattern.get("status", "True")):
                return f"Pod {{pod}} has condition {one['type']}"
    return ""


def success(job: Json, completed: set[int]) -> str:
    """Which rule of `successPolicy` is met, as a sentence; empty if none."""
    rules = (job["spec"].get("successPolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        count = rule.get("succeededCount")
        if rule.get("succeededIndexes") is not None:
            wanted = indexes.read(rule["succeededIndexes"], job["spec"]["completions"])
            enough = len(completed & wanted) >= (len(wanted) if count is None else count)
        else:
            enough = len(completed) >= count
        if enough:
            return f"Matched rules at index {number}"
    return ""
