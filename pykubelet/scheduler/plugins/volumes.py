"""What the volume plugins share: reading claims, volumes and classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pykubelet.objects import selectors
from pykubelet.scheduler.catalog import volume_name
from pykubelet.scheduler.framework import Event, Plugin
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot

Json = dict[str, Any]

CLAIM, VOLUME, CLASS = "PersistentVolumeClaim", "PersistentVolume", "StorageClass"
CSI_NODE = "CSINode"

_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


class VolumePlugin(Plugin):
    """The base of those to which only a pod's own volumes matter."""

    def hint(self, pod: PodInfo, event: Event, view: Snapshot) -> bool:
        return bool(pod.shape.volumes) and super().hint(pod, event, view)


def class_of(object_: Json) -> str:
    """The storage class of a claim or volume; empty for none."""
    annotations = object_["metadata"].get("annotations") or {}
    spec = object_.get("spec") or {}
    return str(annotations.get(_OLD_CLASS) or spec.get("storageClassName") or "")


def waits_for_consumer(claim: Json, view: Snapshot) -> bool:
    """Whether the claim's volume is to be chosen, or made, where its first pod will be."""
    storage_class = view.catalog.get(CLASS, class_of(claim))
    return bool(storage_class) and (
        (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    )


def reaches(volume: Json, node: NodeInfo) -> bool:
    """Whether a volume can be used on a node, by the node affinity that it has."""
    required = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required")
    return not required or selectors.node_selector_matches(required, node.labels, node.name)


def bound_volumes(pod: PodInfo, view: Snapshot) -> Iterator[tuple[Json, Json | None]]:
    """The pod's claims that have a volume, each with it (None where it is gone)."""
    for claim in view.catalog.claims_of(pod):
        if claim is not None and volume_name(claim):
            yield claim, view.catalog.get(VOLUME, volume_name(claim))
