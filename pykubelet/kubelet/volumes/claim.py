"""persistentVolumeClaim and ephemeral: from a claim to the PersistentVolume behind it.

The claim says which PersistentVolume is bound; that volume's own source (`local`, `hostPath`) is
then set up as if the pod had named it. `ephemeral` is a claim that was made for the pod, named
after it. Source: "Persistent Volumes", KEP-1698 (ephemeral).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.volumes import host_path, local
from pykubelet.kubelet.volumes.model import Json, Mounted, Volume, VolumeType

#: What a PersistentVolume may be made of here.
_BACKINGS: dict[str, Callable[[Volume], Mounted]] = {
    "local": local.set_up,
    "hostPath": host_path.set_up,
}
#: Fields of a PersistentVolume's spec that are not its source.
_NOT_A_SOURCE = frozenset((
    "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity",
    "persistentVolumeReclaimPolicy", "storageClassName", "volumeAttributesClassName",
    "volumeMode",
))  # fmt: skip


def set_up(volume: Volume) -> Mounted:
    name = volume.source.get("claimName") or ""
    return _claimed(volume, name, bool(volume.source.get("readOnly")), owned_by_pod=False)


def set_up_ephemeral(volume: Volume) -> Mounted:
    name = f"{spec.name(volume.pod)}-{volume.name}"
    return _claimed(volume, name, False, owned_by_pod=True)


def _claimed(volume: Volume, name: str, read_only: bool, *, owned_by_pod: bool) -> Mounted:
    namespace = spec.namespace(volume.pod)
    where = f"error processing PVC {namespace}/{name}"
    claim = volume.sources.persistent_volume_claim(namespace, name)
    if claim is None:
        raise volume.error(f'{where}: persistentvolumeclaim "{name}" not found')
    if owned_by_pod and not _owns(volume.pod, claim):
        raise volume.error(
            f"PVC {namespace}/{name} was not created for pod {spec.full_name(volume.pod)} "
            "(pod is not owner)",
            waiting_may_help=False,
        )
    if claim["metadata"].get("deletionTimestamp") and owned_by_pod:
        raise volume.error(f"{where}: PVC is being deleted")
    bound = (claim.get("spec") or {}).get("volumeName")
    if not bound or (claim.get("status") or {}).get("phase", "Bound") != "Bound":
        raise volume.error(f"{where}: PVC is not bound")
    persistent = volume.sources.persistent_volume(bound)
    if persistent is None:
        raise volume.error(f'{where}: persistentvolume "{bound}" not found')
    holder = (persistent["spec"].get("claimRef") or {}).get("uid")
    if holder and holder != claim["metadata"].get("uid", holder):
        raise volume.error(f'{where}: PV "{bound}" is bound to another claim')
    return _backed(volume, persistent, read_only)


def _backed(volume: Volume, persistent: Json, read_only: bool) -> Mounted:
    held = persistent["spec"]
    if not fits_node(held.get("nodeAffinity"), volume.sources.node()):
        raise volume.error(
            f'storage node affinity check failed for volume "{persistent["metadata"]["name"]}": '
            "no matching NodeSelectorTerms"
        )
    for key, source in held.items():
        if key in _NOT_A_SOURCE:
            continue
        if key not in _BACKINGS:
            raise volume.error(
                f'PersistentVolume "{persistent["metadata"]["name"]}" is of type {key}, '
                "which this node can't mount; local and hostPath it can",
                waiting_may_help=False,
            )
        source = {**source, "volumeMode": held.get("volumeMode") or "Filesystem"}
        mounted = _BACKINGS[key](replace(volume, source=source))
        return replace(mounted, read_only=mounted.read_only or read_only)
    raise volume.error(f'PersistentVolume "{persistent["metadata"]["name"]}" has no source')


def _owns(pod: Json, claim: Json) -> bool:
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(o.get("controller") and o.get("uid") == spec.uid(pod) for o in owners)


# -- node affinity of a PersistentVolume ----------------------------------------------------------


def fits_node(affinity: Json | None, node: Json) -> bool:
    """Whether `nodeAffinity.required` (alternatives, each a list of conditions) admits the node."""
    terms = ((affinity or {}).get("required") or {}).get("nodeSelectorTerms")
    if terms is None:
        return True
    labels = node["metadata"].get("labels") or {}
    own_fields = {"metadata.name": node["metadata"].get("name", "")}
    return any(
        (term.get("matchExpressions") or term.get("matchFields"))
        and all(_holds(e, labels) for e in term.get("matchExpressions") or ())
        and all(_holds(e, own_fields) for e in term.get("matchFields") or ())
        for term in terms
    )


def _holds(expression: Json, labels: dict[str, Any]) -> bool:
    value, wanted = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as order:
            try:
                difference = int(value or "") - int(next(iter(wanted), ""))
            except ValueError:
                return False
            return difference > 0 if order == "Gt" else difference < 0
    return False


TYPE = VolumeType("persistentVolumeClaim", "kubernetes.io~claim", set_up=set_up)
EPHEMERAL = VolumeType("ephemeral", "kubernetes.io~claim", set_up=set_up_ephemeral)
