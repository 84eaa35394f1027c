"""VolumeRestrictions: a claim of one pod alone (ReadWriteOncePod) has one pod, and a network disk
that can be written from one place is on a node once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pykubelet.scheduler.framework import ROOM_EVENTS, NodeFilter, Rejection
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.plugins.volumes import CLAIM, VolumePlugin
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot

Json = dict[str, Any]

_DISKS = ("gcePersistentDisk", "awsElasticBlockStore", "iscsi", "rbd")


class VolumeRestrictions(VolumePlugin):
    name = "VolumeRestrictions"
    events = ROOM_EVENTS
    kinds = frozenset((CLAIM,))

    def prefilter(self, pod: PodInfo, view: Snapshot) -> Rejection | Collection[str] | None:
        for name in _exclusive(pod, view):
            if view.catalog.get(CLAIM, f"{pod.namespace}/{name}") is None:
                return Rejection(self.name, (f'persistentvolumeclaim "{name}" not found',), False)
        return None

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        if not pod.shape.volumes:
            return None
        disks = [v for v in pod.shape.volumes if any(kind in v for kind in _DISKS)]
        alone = [f"{pod.namespace}/{name}" for name in _exclusive(pod, view)]
        if not disks and not alone:
            return None

        def verdict(node: NodeInfo) -> Rejection | None:
            for other in node.pods.values():
                for mine in disks:
                    if any(_clash(mine, theirs) for theirs in other.shape.volumes):
                        return _TAKEN
            # Whoever has the claim on another node has it for itself all the same.
            used = [claim for claim in alone if view.claimed[claim]]
            if used:
                here = {f"{p.namespace}/{n}" for p in node.pods.values() for n, _ in p.claims()}
                if any(claim in here or not _leaving(view, claim, node) for claim in used):
                    return _ALONE
            return None

        return verdict


def _exclusive(pod: PodInfo, view: Snapshot) -> list[str]:
    found = []
    for name, _ in pod.claims():
        claim = view.catalog.get(CLAIM, f"{pod.namespace}/{name}") or {}
        if "ReadWriteOncePod" in ((claim.get("spec") or {}).get("accessModes") or ()):
            found.append(name)
    return found


def _leaving(view: Snapshot, claim: str, node: NodeInfo) -> bool:
    """Whether, with this node's pods as supposed here, nobody uses the claim any more: that is
    how preemption asks."""
    real = view.node(node.name)
    before = sum(_uses(pod, claim) for pod in real.pods.values()) if real else 0
    after = sum(_uses(pod, claim) for pod in node.pods.values())
    return view.claimed[claim] - before + after <= 0


def _uses(pod: PodInfo, claim: str) -> bool:
    return any(f"{pod.namespace}/{name}" == claim for name, _ in pod.claims())


def _clash(mine: Json, theirs: Json) -> bool:
    """Whether two volumes of pods are one disk that can't be shared."""
    for kind, same in _SAME.items():
        if kind in mine and kind in theirs:
            a, b = mine[kind], theirs[kind]
            if same(a, b):
                shared = kind != "awsElasticBlockStore" and a.get("readOnly") and b.get("readOnly")
                return not shared
    return False


def _same_rbd(a: Json, b: Json) -> bool:
    return (
        bool(set(a.get("monitors") or ()) & set(b.get("monitors") or ()))
        and (a.get("pool") or "rbd") == (b.get("pool") or "rbd")
        and a.get("image") == b.get("image")
    )


_SAME: dict[str, Any] = {
    "gcePersistentDisk": lambda a, b: a.get("pdName") == b.get("pdName"),
    "awsElasticBlockStore": lambda a, b: a.get("volumeID") == b.get("volumeID"),
    "iscsi": lambda a, b: a.get("iqn") == b.get("iqn"),
    "rbd": _same_rbd,
}

_TAKEN = Rejection(VolumeRestrictions.name, ("node(s) had no available disk",))
_ALONE = Rejection(
    VolumeRestrictions.name,
    (
        "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod "
        "access mode",
    ),
)
