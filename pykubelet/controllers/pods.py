"""What controllers ask of pods: active, ready, available? Whose? Which goes first? Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pykubelet.client.api import controller_of
from pykubelet.clock import from_rfc3339
from pykubelet.objects.selectors import Selector, matches

Json = dict[str, Any]


def is_active(pod: Mapping[str, Any]) -> bool:
    """Neither at its end nor on its way there."""
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Succeeded", "Failed") and "deletionTimestamp" not in pod["metadata"]


def condition(object_: Mapping[str, Any], kind: str) -> Json | None:
    conditions = (object_.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), None)


def is_ready(pod: Mapping[str, Any]) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def available_at(pod: Mapping[str, Any], min_ready_seconds: int) -> float | None:
    """When a ready pod counts as available: wall seconds. None while it is not ready."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return None
    if not min_ready_seconds:
        return 0.0
    since = found.get("lastTransitionTime")
    return from_rfc3339(since) + min_ready_seconds if since else None


def is_available(pod: Mapping[str, Any], min_ready_seconds: int, now: float) -> bool:
    at = available_at(pod, min_ready_seconds)
    return at is not None and at <= now


def claim(
    owner_uid: str, selector: Selector, pods: Iterable[Json]
) -> tuple[list[Json], list[Json], list[Json]]:
    """(ours, to adopt, to release): by controller reference and by what the selector says."""
    ours: list[Json] = []
    adopt: list[Json] = []
    release: list[Json] = []
    for pod in pods:
        fits = matches(selector, pod["metadata"].get("labels"))
        controller = controller_of(pod)
        if controller is not None:
            if controller["uid"] == owner_uid:
                (ours if fits else release).append(pod)
        elif fits and is_active(pod):
            adopt.append(pod)
    return ours, adopt, release


def first_to_go(
    pods: Iterable[Json], now: float, neighbours: Mapping[str, int] | None = None
) -> list[Json]:
    """In the order in which to delete: those whose loss costs least first, as upstream ranks.

    `neighbours` counts related pods by node; without it, these pods are counted.
    """
    pods = list(pods)
    if neighbours is None:
        neighbours = Counter(pod["spec"].get("nodeName", "") for pod in pods if is_active(pod))

    def rank(pod: Json) -> tuple[Any, ...]:
        status = pod.get("status") or {}
        node = pod["spec"].get("nodeName") or ""
        phase = {"Pending": 0, "Unknown": 1, "Running": 2}.get(status.get("phase", ""), 0)
        since = (condition(pod, "Ready") or {}).get("lastTransitionTime")
        restarts = max(
            (c["restartCount"] for c in status.get("containerStatuses") or ()), default=0
        )
        return (
            bool(node),
            phase,
            is_ready(pod),
            _deletion_cost(pod),
            -neighbours.get(node, 0),
            -(from_rfc3339(since) if since else now) if is_ready(pod) else 0.0,
            -restarts,
            -from_rfc3339(pod["metadata"].get("creationTimestamp") or "1970-01-01T00:00:00Z"),
        )

    return sorted(pods, key=rank)


def _deletion_cost(pod: Json) -> int:
    annotations = pod["metadata"].get("annotations") or {}
    try:
        return int(annotations.get("controller.kubernetes.io/pod-deletion-cost", "0"))
    except ValueError:
        return 0


def from_template(template: Json, owner: Json, reference: Json, prefix: str = "") -> Json:
    """A pod to be created after an owner's template, controlled by it."""
    metadata = template.get("metadata") or {}
    kept = {k: dict(v) for k, v in metadata.items() if k in ("labels", "annotations") and v}
    return {
        "metadata": {
            "generateName": prefix or f"{owner['metadata']['name']}-",
            "namespace": owner["metadata"]["namespace"],
            **kept,
            **({"finalizers": list(metadata["finalizers"])} if metadata.get("finalizers") else {}),
            "ownerReferences": [reference],
        },
        "spec": template["spec"],
    }
