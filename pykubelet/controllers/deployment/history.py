"""Revisions: each template that a Deployment has had is kept as a replica set with a number.

Going back to an old template gives its replica set a new number. Pure.
"""

from __future__ import annotations

from typing import Any

from pykubelet.client.api import owner_reference
from pykubelet.client.resources import DEPLOYMENTS
from pykubelet.controllers.deployment.model import (
    DESIRED,
    MAXIMUM,
    REVISION,
    REVISION_HISTORY,
    acknowledged,
    is_going,
    replicas,
    reported,
    size_annotations,
)
from pykubelet.controllers.hashes import POD_TEMPLATE_HASH, short

Json = dict[str, Any]

#: Annotations of a Deployment that say nothing about its replica sets.
_NOT_COPIED = frozenset(
    [
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        REVISION,
        REVISION_HISTORY,
        DESIRED,
        MAXIMUM,
    ]
)
_LONGEST_HISTORY = 2000


def revision(object_: Json) -> int:
    text = (object_["metadata"].get("annotations") or {}).get(REVISION) or "0"
    return int(text) if text.isdigit() else 0


def next_revision(old: list[Json]) -> int:
    return max((revision(one) for one in old), default=0) + 1


def new_replica_set(deployment: Json, old: list[Json], size: int) -> Json:
    """The replica set of the present template, to be created."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    name = short(template, (deployment.get("status") or {}).get("collisionCount"))
    mark = {POD_TEMPLATE_HASH: name}
    labels = {**((template.get("metadata") or {}).get("labels") or {}), **mark}
    selector = spec.get("selector") or {}
    made: Json = {
        "replicas": size,
        "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), **mark}},
        "template": {
            **template,
            "metadata": {**(template.get("metadata") or {}), "labels": labels},
        },
    }
    if spec.get("minReadySeconds"):
        made["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "metadata": {
            "name": f"{metadata['name']}-{name}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {
                **_copied(deployment),
                REVISION: str(next_revision(old)),
                **size_annotations(deployment),
            },
            "ownerReferences": [owner_reference(deployment, DEPLOYMENTS)],
        },
        "spec": made,
    }


def brought_up_to_date(deployment: Json, new: Json, old: list[Json]) -> Json:
    """The new replica set with what it takes over from the Deployment; itself if nothing."""
    present = new["metadata"].get("annotations") or {}
    annotations = {**present, **_copied(deployment)}
    number, latest = revision(new), next_revision(old)
    if number < latest:
        annotations[REVISION] = str(latest)
        if number:
            past = [*filter(None, present.get(REVISION_HISTORY, "").split(",")), str(number)]
            while len(",".join(past)) > _LONGEST_HISTORY:
                del past[0]
            annotations[REVISION_HISTORY] = ",".join(past)
    ready_for = deployment["spec"].get("minReadySeconds") or 0
    if annotations == present and (new["spec"].get("minReadySeconds") or 0) == ready_for:
        return new
    return {
        **new,
        "metadata": {**new["metadata"], "annotations": annotations},
        "spec": {**new["spec"], "minReadySeconds": ready_for},
    }


def _copied(deployment: Json) -> dict[str, str]:
    annotations = deployment["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if key not in _NOT_COPIED}


def to_clear_away(deployment: Json, old: list[Json]) -> list[Json]:
    """The old replica sets beyond the limit of the history, the oldest revisions first. One that
    still has pods, or may, stays."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    limit = 10 if limit is None else limit
    kept = [one for one in old if not is_going(one)]
    surplus = sorted(kept, key=revision)[: max(len(kept) - limit, 0)]
    return [
        one
        for one in surplus
        if not replicas(one) and not reported(one, "replicas") and acknowledged(one)
    ]
