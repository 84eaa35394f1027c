"""Defaults of volumes and their kin, each filled in in place. Source: the API reference."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_SOURCES: dict[str, Json] = {
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "kind": "Shared",
                  "readOnly": False},
}  # fmt: skip
_DRIVER = {"attachRequired": True, "podInfoOnMount": False, "storageCapacity": False,
           "fsGroupPolicy": "ReadWriteOnceWithFSType", "requiresRepublish": False,
           "seLinuxMount": False}  # fmt: skip


def persistent_volume(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    spec.setdefault("volumeMode", "Filesystem")
    obj.setdefault("status", {}).setdefault("phase", "Pending")
    for kind, values in _SOURCES.items():
        if spec.get(kind) is not None:
            spec[kind] = {**values, **spec[kind]}


def persistent_volume_claim(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    _same_sources(spec)
    obj.setdefault("status", {}).setdefault("phase", "Pending")


def _same_sources(spec: Json) -> None:
    """`dataSource` is the older name of `dataSourceRef`, for sources in the same namespace."""
    old, new = spec.get("dataSource"), spec.get("dataSourceRef")
    if old is not None and new is None:
        spec["dataSourceRef"] = dict(old)
    elif new is not None and old is None and not new.get("namespace"):
        spec["dataSource"] = dict(new)


def storage_class(obj: Json) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def csi_driver(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    for key, value in _DRIVER.items():
        spec.setdefault(key, value)
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]
