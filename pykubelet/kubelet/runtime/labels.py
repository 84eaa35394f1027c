"""The labels and annotations that tie what runs to the pod that it belongs to.

Spelled as upstream spells them, so that crictl, monitoring agents and log collectors understand
our containers, and a node can change its kubelet without losing sight of them. They are also all
that an agent has after a restart to adopt what is running: whose it is, which attempt, whether the
manifest has changed since, how it has to be stopped, and where it left its last words. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"

CONTAINER_HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
PRE_STOP_HANDLER = "io.kubernetes.container.preStopHandler"
CONTAINER_PORTS = "io.kubernetes.container.ports"
POD_DELETION_GRACE_PERIOD = "io.kubernetes.pod.deletionGracePeriod"
POD_TERMINATION_GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"


def container_hash(container: Json) -> str:
    """Eight hex digits over what of a running pod's container can change and needs a new one.

    That is its image (and its name, which says which container it is): everything else in a pod's
    spec is either fixed for the pod's life, so that another value means another pod, or resized in
    place. Taking in more would restart healthy containers when a newer server or agent fills in a
    default that the older did not know; upstream hashes the same two for that reason.
    """
    kept = {key: container.get(key) for key in ("name", "image")}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def sandbox_labels(pod: Json) -> dict[str, str]:
    """The pod's own labels, and whose sandbox it is."""
    metadata = pod["metadata"]
    return {**(metadata.get("labels") or {}), **_whose(metadata)}


def container_labels(pod: Json, container: Json) -> dict[str, str]:
    return {**_whose(pod["metadata"]), CONTAINER_NAME: container["name"]}


def container_annotations(pod: Json, container: Json, attempt: int) -> dict[str, str]:
    """What is needed to stop and to report this container when its manifest is gone."""
    metadata, spec = pod["metadata"], pod["spec"]
    annotations = {
        CONTAINER_HASH: container_hash(container),
        RESTART_COUNT: str(attempt),
        TERMINATION_MESSAGE_PATH: container.get("terminationMessagePath") or "/dev/termination-log",
        TERMINATION_MESSAGE_POLICY: container.get("terminationMessagePolicy") or "File",
    }
    if metadata.get("deletionGracePeriodSeconds") is not None:
        annotations[POD_DELETION_GRACE_PERIOD] = str(metadata["deletionGracePeriodSeconds"])
    if spec.get("terminationGracePeriodSeconds") is not None:
        annotations[POD_TERMINATION_GRACE_PERIOD] = str(spec["terminationGracePeriodSeconds"])
    pre_stop = (container.get("lifecycle") or {}).get("preStop")
    if pre_stop:
        annotations[PRE_STOP_HANDLER] = _compact(pre_stop)
    if container.get("ports"):
        annotations[CONTAINER_PORTS] = _compact(container["ports"])
    return annotations


def restart_count(annotations: Mapping[str, str]) -> int | None:
    """The restart count that a container was made with, where it says so."""
    text = annotations.get(RESTART_COUNT, "")
    return int(text) if text.isdigit() else None


def _whose(metadata: Json) -> dict[str, str]:
    return {
        POD_NAME: metadata["name"],
        POD_NAMESPACE: metadata["namespace"],
        POD_UID: metadata["uid"],
    }


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
