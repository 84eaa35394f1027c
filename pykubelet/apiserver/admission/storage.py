"""The plugins for volumes and ingresses: DefaultStorageClass, DefaultIngressClass,
StorageObjectInUseProtection, PersistentVolumeClaimResize. Source: "Admission Control in
Kubernetes".
"""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin
from pykubelet.objects import quantity

Json = dict[str, Any]

_DEFAULT_STORAGE = ("storageclass.kubernetes.io/is-default-class",
                    "storageclass.beta.kubernetes.io/is-default-class")  # fmt: skip
_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_INGRESS = ("ingressclass.kubernetes.io/is-default-class",)
_INGRESS_CLASS = "kubernetes.io/ingress.class"
_PROTECTION = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}


def _default(asked: Asked, resource: str, marks: tuple[str, ...]) -> Json | None:
    """The class that is marked as default; of several the newest, then the first by name."""
    marked = [
        one for one in asked.objects(resource)
        if any((one["metadata"].get("annotations") or {}).get(mark) == "true" for mark in marks)
    ]  # fmt: skip
    marked.sort(key=lambda one: one["metadata"]["name"])
    marked.sort(key=lambda one: one["metadata"]["creationTimestamp"], reverse=True)
    return marked[0] if marked else None


async def _choose_storage_class(asked: Asked) -> None:
    if not asked.is_of("persistentvolumeclaims", CREATE):
        return
    spec = asked.new.setdefault("spec", {})
    annotations = asked.new["metadata"].get("annotations") or {}
    if "storageClassName" in spec or _STORAGE_CLASS in annotations:
        return
    chosen = _default(asked, "storageclasses.storage.k8s.io", _DEFAULT_STORAGE)
    if chosen is not None:
        spec["storageClassName"] = chosen["metadata"]["name"]


async def _choose_ingress_class(asked: Asked) -> None:
    if not asked.is_of("ingresses.networking.k8s.io", CREATE):
        return
    spec = asked.new.setdefault("spec", {})
    annotations = asked.new["metadata"].get("annotations") or {}
    if "ingressClassName" in spec or _INGRESS_CLASS in annotations:
        return
    resource = "ingressclasses.networking.k8s.io"
    chosen = _default(asked, resource, _DEFAULT_INGRESS)
    if chosen is not None:
        spec["ingressClassName"] = chosen["metadata"]["name"]


async def _protect(asked: Asked) -> None:
    """What may be in use goes away only when its controller says that nobody uses it."""
    finalizer = _PROTECTION.get(asked.resource)
    if finalizer is None or asked.operation != CREATE or asked.subresource:
        return
    meta = asked.new["metadata"]
    given = meta.get("finalizers") or []
    if finalizer not in given:
        meta["finalizers"] = [*given, finalizer]


async def _check_growth(asked: Asked) -> None:
    """A claim can only grow where its class can make it grow."""
    if not asked.is_of("persistentvolumeclaims", UPDATE):
        return
    before, after = _size(asked.old or {}), _size(asked.new)
    if before is None or after is None or quantity.compare(after, before) <= 0:
        return
    if ((asked.old or {}).get("status") or {}).get("phase") != "Bound":
        raise asked.forbidden("Only bound persistent volume claims can be expanded")
    name = (asked.new.get("spec") or {}).get("storageClassName")
    chosen = asked.object("storageclasses.storage.k8s.io", name) if name else None
    if not (chosen or {}).get("allowVolumeExpansion"):
        raise asked.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions "
            "the pvc must support resize"
        )


def _size(claim: Json) -> Any:
    spec = claim.get("spec") or {}
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage")


STORAGE_CLASS = Plugin("DefaultStorageClass", _choose_storage_class)
INGRESS_CLASS = Plugin("DefaultIngressClass", _choose_ingress_class)
PROTECTION = Plugin("StorageObjectInUseProtection", _protect)
RESIZE = Plugin("PersistentVolumeClaimResize", check=_check_growth)
