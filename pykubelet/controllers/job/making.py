"""The pods of a Job: made, read and counted by their index. Pure."""

from __future__ import annotations

from typing import Any

from pykubelet.client.api import owner_reference
from pykubelet.client.resources import JOBS
from pykubelet.clock import from_rfc3339
from pykubelet.controllers import pods

Json = dict[str, Any]

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


def is_indexed(job: Json) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def limit_per_index(job: Json) -> int | None:
    limit: int | None = job["spec"].get("backoffLimitPerIndex")
    return limit


def new_pod(job: Json, index: int | None = None, failures: int = 0, ignored: int = 0) -> Json:
    """A pod to be created; in an indexed Job for this index, after so many failures of it."""
    name = job["metadata"]["name"]
    made = pods.from_template(job["spec"]["template"], job, owner_reference(job, JOBS))
    metadata = made["metadata"]
    metadata["finalizers"] = [*metadata.get("finalizers", []), FINALIZER]
    if index is None:
        return made
    marks = {INDEX: str(index)}
    metadata["labels"] = {**(metadata.get("labels") or {}), **marks}
    if limit_per_index(job) is not None:
        marks |= {FAILURES: str(failures)}
        if ignored:
            marks |= {IGNORED: str(ignored)}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
    metadata["generateName"] = f"{name[:52]}-{index}-"
    made["spec"] = _indexed(made["spec"], name, index)
    return made


def _indexed(spec: Json, name: str, index: int) -> Json:
    """With the index in every container's environment and in the host's name."""
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}

    def told(container: Json) -> Json:
        present = container.get("env") or []
        if any(one["name"] == variable["name"] for one in present):
            return container
        return {**container, "env": [*present, variable]}

    made = {**spec, "hostname": f"{name}-{index}"[:63]}
    for field in ("containers", "initContainers"):
        if spec.get(field):
            made[field] = [told(one) for one in spec[field]]
    return made


def index_of(pod: Json) -> int | None:
    """The completion index; None where there is none that can be read."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(text) if text.isdigit() else None


def count_of(pod: Json, annotation: str) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(annotation, "")
    return int(text) if text.isdigit() else 0


def is_tracked(pod: Json) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_going(object_: Json) -> bool:
    return "deletionTimestamp" in object_["metadata"]


def replaces_only_failed(job: Json) -> bool:
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def has_failed(job: Json, pod: Json) -> bool:
    """Its phase says so, or it was deleted before it had an end. Where only failed pods are
    replaced, one that is being deleted counts when it has really ended."""
    if phase(pod) == "Failed":
        return True
    if replaces_only_failed(job):
        return is_going(pod) and phase(pod) == "Pending" and not pod["spec"].get("nodeName")
    return is_going(pod) and phase(pod) != "Succeeded"


def ended_at(pod: Json) -> float:
    """When a pod came to its end, as well as can be told: wall seconds."""
    status = pod.get("status") or {}
    times = [
        (one.get("state") or {}).get("terminated", {}).get("finishedAt")
        for one in status.get("containerStatuses") or ()
    ]
    found = [from_rfc3339(time) for time in times if time]
    if found:
        return max(found)
    ready = pods.condition(pod, "Ready") or {}
    late = pod["metadata"].get("deletionTimestamp") or ready.get("lastTransitionTime")
    return from_rfc3339(late or pod["metadata"].get("creationTimestamp", "1970-01-01T00:00:00Z"))


def without_finalizer(pod: Json) -> list[str] | None:
    left = [one for one in pod["metadata"].get("finalizers") or () if one != FINALIZER]
    return left or None
