"""VolumeBinding: the pod's claims have, or can get, volumes that the node can reach.

A claim that is bound pins the pod to where its volume is. One that waits for its first consumer is
given a free volume that the node reaches, or left to be provisioned for the node; `plan` says
which, and the volumes planned are promised to it (`catalog.reserved`) until the server knows.

Sources: the API reference (PersistentVolume, StorageClass), upstream's binder for the order of
choice: the smallest volume that is large enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.objects import quantity, selectors
from pykubelet.scheduler.catalog import is_bound, volume_name
from pykubelet.scheduler.framework import ROOM_EVENTS, NodeFilter, Rejection
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.plugins.volumes import (
    CLAIM,
    CLASS,
    CSI_NODE,
    VOLUME,
    VolumePlugin,
    class_of,
    reaches,
    waits_for_consumer,
)
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot

Json = dict[str, Any]

SELECTED_NODE = "volume.kubernetes.io/selected-node"
_NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """What has to be so before the pod may be bound."""

    bind: tuple[tuple[str, str], ...] = ()
    """Volume name and claim key: the volume is to refer to the claim."""
    provision: tuple[str, ...] = ()
    """Claim keys: to be marked with the chosen node."""

    def __bool__(self) -> bool:
        return bool(self.bind or self.provision)


class VolumeBinding(VolumePlugin):
    name = "VolumeBinding"
    events = ROOM_EVENTS
    kinds = frozenset((CLAIM, VOLUME, CLASS, CSI_NODE))

    def prefilter(self, pod: PodInfo, view: Snapshot) -> Rejection | Collection[str] | None:
        for name, ephemeral in pod.claims():
            claim = view.catalog.get(CLAIM, f"{pod.namespace}/{name}")
            why = _unusable(name, claim, ephemeral, pod, view)
            if why:
                return Rejection(self.name, (why,), False)
        return None

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        if not pod.shape.has_claims:
            return None
        bound, waiting = _claims(pod, view)
        volumes = [view.catalog.get(VOLUME, volume_name(claim)) for claim in bound]
        wishes = _wishes(waiting, view)

        def verdict(node: NodeInfo) -> Rejection | None:
            for volume in volumes:
                if volume is None:
                    return _GONE
                if not reaches(volume, node):
                    return _ELSEWHERE
            if wishes and _plan(wishes, node) is None:
                return _NONE_FOUND
            return None

        return verdict

    def plan(self, pod: PodInfo, node: NodeInfo, view: Snapshot) -> VolumePlan:
        """What has to be done for the pod's claims, on a node that passed the filter."""
        if not pod.shape.has_claims:
            return VolumePlan()
        _, waiting = _claims(pod, view)
        return _plan(_wishes(waiting, view), node) or VolumePlan()


def ready(pod: PodInfo, view: Snapshot) -> bool:
    """Whether every claim of the pod has been bound, both ways."""
    claims = list(view.catalog.claims_of(pod))
    return all(claim is not None and is_bound(claim) for claim in claims)


def _unusable(
    name: str, claim: Json | None, ephemeral: bool, pod: PodInfo, view: Snapshot
) -> str | None:
    if claim is None:
        if ephemeral:
            return (
                "waiting for ephemeral volume controller to create the "
                f'persistentvolumeclaim "{name}"'
            )
        return f'persistentvolumeclaim "{name}" not found'
    if claim["metadata"].get("deletionTimestamp"):
        return f'persistentvolumeclaim "{name}" is being deleted'
    if ephemeral and not any(
        owner.get("uid") == pod.uid for owner in claim["metadata"].get("ownerReferences") or ()
    ):
        return (
            f'PVC "{pod.namespace}/{name}" was not created for pod "{pod.key}" (pod is not owner)'
        )
    if (claim.get("status") or {}).get("phase") == "Lost":
        lost = volume_name(claim)
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{lost}"'
    if not is_bound(claim) and (volume_name(claim) or not waits_for_consumer(claim, view)):
        return "pod has unbound immediate PersistentVolumeClaims"
    return None


def _claims(pod: PodInfo, view: Snapshot) -> tuple[list[Json], list[Json]]:
    """Bound ones, and those that wait for this pod, the smallest first."""
    found = [claim for claim in view.catalog.claims_of(pod) if claim is not None]
    bound = [claim for claim in found if is_bound(claim)]
    waiting = [claim for claim in found if not is_bound(claim)]
    return bound, sorted(waiting, key=_size)


@dataclass(frozen=True, slots=True)
class _Wish:
    """A claim that waits, with what could serve it anywhere: found once, asked for each node."""

    key: str
    chosen: str
    """The node for which it is being provisioned already."""
    volumes: tuple[Json, ...]
    """Free ones that suit it, the best first: made for it, else the smallest."""
    storage_class: Json


def _wishes(waiting: Iterable[Json], view: Snapshot) -> list[_Wish]:
    made = []
    for claim in waiting:
        metadata = claim["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        suitable = [
            volume
            for volume in view.catalog.all(VOLUME)
            if view.catalog.reserved.get(volume["metadata"]["name"], key) == key
            and _suits(volume, claim)
        ]
        made.append(
            _Wish(
                key,
                str((metadata.get("annotations") or {}).get(SELECTED_NODE) or ""),
                tuple(sorted(suitable, key=_preference)),
                view.catalog.get(CLASS, class_of(claim)) or {},
            )
        )
    return made


def _preference(volume: Json) -> tuple[bool, Any, str]:
    spec = volume["spec"]
    size = quantity.parse(spec["capacity"]["storage"])
    return not spec.get("claimRef"), size, str(volume["metadata"]["name"])


def _plan(wishes: Iterable[_Wish], node: NodeInfo) -> VolumePlan | None:
    bind: dict[str, str] = {}
    provision: list[str] = []
    for wish in wishes:
        if wish.chosen:
            if wish.chosen != node.name:
                return None
            provision.append(wish.key)
            continue
        for volume in wish.volumes:
            name = volume["metadata"]["name"]
            if name not in bind and reaches(volume, node):
                bind[name] = wish.key
                break
        else:
            if not _can_provision(wish.storage_class, node):
                return None
            provision.append(wish.key)
    return VolumePlan(tuple(bind.items()), tuple(provision))


def _suits(volume: Json, claim: Json) -> bool:
    spec, wanted = volume["spec"], claim["spec"]
    metadata = claim["metadata"]
    reference = spec.get("claimRef")
    if reference:
        same = (reference.get("namespace"), reference.get("name")) == (
            metadata["namespace"],
            metadata["name"],
        )
        if not same or reference.get("uid") not in (None, "", metadata.get("uid")):
            return False
    elif (volume.get("status") or {}).get("phase") not in (None, "", "Available", "Pending"):
        return False
    if volume["metadata"].get("deletionTimestamp"):
        return False
    return (
        class_of(volume) == class_of(claim)
        and (spec.get("volumeMode") or "Filesystem") == (wanted.get("volumeMode") or "Filesystem")
        and set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())
        and (spec.get("volumeAttributesClassName") or "")
        == (wanted.get("volumeAttributesClassName") or "")
        and _selected(wanted.get("selector"), volume["metadata"].get("labels") or {})
        and quantity.parse((spec.get("capacity") or {}).get("storage", 0)) >= _size(claim)
    )


def _selected(selector: Json | None, labels: Mapping[str, str]) -> bool:
    return selector is None or selectors.matches(selectors.from_object(selector), labels)


def _can_provision(storage_class: Json, node: NodeInfo) -> bool:
    if storage_class.get("provisioner") in (None, "", _NO_PROVISIONER):
        return False
    terms = storage_class.get("allowedTopologies") or ()
    return not terms or any(
        all(
            node.labels.get(one["key"]) in one["values"]
            for one in term.get("matchLabelExpressions") or ()
        )
        for term in terms
    )


def _size(claim: Json) -> Any:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return quantity.parse(requests.get("storage", 0))


_GONE = Rejection(
    VolumeBinding.name,
    ("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",),
    False,
)
_ELSEWHERE = Rejection(
    VolumeBinding.name, ("node(s) didn't match PersistentVolume's node affinity",), False
)
_NONE_FOUND = Rejection(
    VolumeBinding.name,
    ("node(s) didn't find available persistent volumes to bind",),
    False,
)
