"""NodeVolumeLimits: a node attaches as many volumes of a CSI driver as its CSINode allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pykubelet.scheduler.catalog import volume_name
from pykubelet.scheduler.framework import NODE_ADD, POD_DELETE, NodeFilter, Rejection
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.plugins.volumes import (
    CLAIM,
    CLASS,
    CSI_NODE,
    VOLUME,
    VolumePlugin,
    class_of,
)
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot

Json = dict[str, Any]


class NodeVolumeLimits(VolumePlugin):
    name = "NodeVolumeLimits"
    events = frozenset((NODE_ADD, POD_DELETE))
    kinds = frozenset((CSI_NODE, CLAIM, VOLUME, "VolumeAttachment"))

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        mine = dict(_attached(pod, view))
        if not mine:
            return None

        def verdict(node: NodeInfo) -> Rejection | None:
            limits = _limits(view.catalog.get(CSI_NODE, node.name))
            if not limits:
                return None
            there: dict[str, str] = {}
            for other in node.pods.values():
                there.update(_attached(other, view))
            for driver in set(mine.values()) & limits.keys():
                new = [v for v, d in mine.items() if d == driver and v not in there]
                used = sum(d == driver for d in there.values())
                if new and used + len(new) > limits[driver]:
                    return _TOO_MANY
            return None

        return verdict


def _attached(pod: PodInfo, view: Snapshot) -> Iterator[tuple[str, str]]:
    """What identifies each of the pod's CSI volumes, and its driver. A claim whose volume is yet to
    be made counts by itself, for the driver that will make it."""
    if not pod.shape.volumes:
        return
    catalog = view.catalog
    for name, _ in pod.claims():
        claim = catalog.get(CLAIM, f"{pod.namespace}/{name}")
        if claim is None:
            continue
        volume = catalog.get(VOLUME, volume_name(claim)) if volume_name(claim) else None
        if volume is None:
            driver = (catalog.get(CLASS, class_of(claim)) or {}).get("provisioner")
            if driver:
                yield f"{driver}/{pod.namespace}/{name}", driver
            continue
        csi = (volume.get("spec") or {}).get("csi")
        if csi:
            yield f"{csi['driver']}/{csi['volumeHandle']}", csi["driver"]


def _limits(csi_node: Json | None) -> dict[str, int]:
    drivers = ((csi_node or {}).get("spec") or {}).get("drivers") or ()
    return {
        driver["name"]: int(driver["allocatable"]["count"])
        for driver in drivers
        if (driver.get("allocatable") or {}).get("count") is not None
    }


_TOO_MANY = Rejection(NodeVolumeLimits.name, ("node(s) exceed max volume count",))
