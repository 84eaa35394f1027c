"""A pod's volumes, one rule for each type that has one."""

from __future__ import annotations

from collections.abc import Callable

from pykubelet.objects import fields, names, quantity
from pykubelet.objects.fields import FieldError, Path
from pykubelet.objects.validation.environment import VOLUME_FIELDS, field_ref, resource_ref
from pykubelet.objects.validation.rules import (
    Errors,
    Json,
    chosen,
    exactly_one,
    no_backsteps,
    present,
    relative_path,
    required_name,
    unique,
)

_HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File",
                    "FileOrCreate", "Socket")  # fmt: skip
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_MUST_HAVE: dict[str, tuple[str, ...]] = {
    "emptyDir": (),
    "hostPath": ("path",),
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "gitRepo": ("repository",),
    "secret": ("secretName",),
    "nfs": ("server", "path"),
    "iscsi": ("targetPortal", "iqn"),
    "glusterfs": ("endpoints", "path"),
    "persistentVolumeClaim": ("claimName",),
    "rbd": ("monitors", "image"),
    "flexVolume": ("driver",),
    "cinder": ("volumeID",),
    "cephfs": ("monitors",),
    "azureFile": ("secretName", "shareName"),
    "configMap": ("name",),
    "vsphereVolume": ("volumePath",),
    "quobyte": ("registry", "volume"),
    "azureDisk": ("diskName", "diskURI"),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "scaleIO": ("gateway", "system", "volumeName"),
    "csi": ("driver",),
    "image": ("reference",),
    "ephemeral": ("volumeClaimTemplate",),
}
TYPES = (*_MUST_HAVE, "downwardAPI", "projected", "flocker", "fc", "storageos")


def volumes(given: list[Json], path: Path) -> Errors:
    for index, volume in enumerate(given):
        at = (*path, index)
        yield from source(volume, at)
        yield from required_name(volume, "name", at, names.dns_label)
    yield from unique(given, "name", path)


def source(volume: Json, path: Path) -> Errors:
    """The one source of a volume."""
    for found in exactly_one(volume, TYPES, path, "volume type", "must specify a volume type"):
        if isinstance(found, FieldError):
            yield found
            continue
        yield from present(volume[found], _MUST_HAVE.get(found, ()), (*path, found))
        if found in _RULES:
            yield from _RULES[found](volume[found], (*path, found))


def _host_path(given: Json, path: Path) -> Errors:
    yield from no_backsteps(given.get("path") or "", (*path, "path"))
    yield from chosen(given, "type", _HOST_PATH_TYPES, path)


def _empty_dir(given: Json, path: Path) -> Errors:
    if "sizeLimit" in given and quantity.parse(given["sizeLimit"]) < 0:
        yield fields.forbidden(
            (*path, "sizeLimit"), "SizeLimit field must be a valid resource quantity"
        )


def _keys(given: Json, path: Path) -> Errors:
    """ConfigMap and Secret: the mode, and which keys go where."""
    yield from _mode(given, "defaultMode", path)
    for index, item in enumerate(given.get("items") or ()):
        at = (*path, "items", index)
        yield from present(item, ("key", "path"), at)
        yield from _file_path(item, at)
        yield from _mode(item, "mode", at)


def _downward(given: Json, path: Path) -> Errors:
    yield from _mode(given, "defaultMode", path)
    for index, item in enumerate(given.get("items") or ()):
        at = (*path, "items", index)
        yield from present(item, ("path",), at)
        yield from _file_path(item, at)
        yield from _mode(item, "mode", at)
        if "fieldRef" in item:
            yield from field_ref(item["fieldRef"], VOLUME_FIELDS, (*at, "fieldRef"))
            if "resourceFieldRef" in item:
                yield fields.invalid(
                    at,
                    "resource",
                    "fieldRef and resourceFieldRef can not be specified simultaneously",
                )
        elif "resourceFieldRef" in item:
            yield from resource_ref(item["resourceFieldRef"], (*at, "resourceFieldRef"), True)
        else:
            yield fields.required(at, "one of fieldRef and resourceFieldRef is required")


def _projected(given: Json, path: Path) -> Errors:
    yield from _mode(given, "defaultMode", path)
    for index, one in enumerate(given.get("sources") or ()):
        at = (*path, "sources", index)
        if not one:
            yield fields.required(at, "must specify a volume source")
        elif len(one) > 1:
            yield fields.forbidden(at, "may not specify more than 1 volume type")
        for kind, projection in one.items():
            here = (*at, kind)
            match kind:
                case "secret" | "configMap":
                    yield from present(projection, ("name",), here)
                    yield from _keys(projection, here)
                case "downwardAPI":
                    yield from _downward(projection, here)
                case "serviceAccountToken":
                    yield from _token(projection, here)
                case "clusterTrustBundle":
                    yield from present(projection, ("path",), here)
                    yield from _file_path(projection, here)


def _token(projection: Json, path: Path) -> Errors:
    seconds = projection.get("expirationSeconds", 3600)
    if seconds < 600:
        yield fields.invalid(
            (*path, "expirationSeconds"),
            seconds,
            "may not specify a duration less than 10 minutes",
        )
    if seconds > 2**32:
        yield fields.invalid(
            (*path, "expirationSeconds"),
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        )
    yield from present(projection, ("path",), path)
    yield from _file_path(projection, path)


def _image(given: Json, path: Path) -> Errors:
    yield from chosen(given, "pullPolicy", ("Always", "IfNotPresent", "Never"), path, empty=False)


def _csi(given: Json, path: Path) -> Errors:
    if len(given.get("driver") or "") > 63:
        yield fields.too_long((*path, "driver"), 63)


def _mode(owner: Json, key: str, path: Path) -> Errors:
    value = owner.get(key)
    if value is not None and not 0 <= value <= 0o777:
        yield fields.invalid((*path, key), value, _MODE)


def _file_path(item: Json, path: Path) -> Errors:
    """Where in the volume a file goes."""
    value = item.get("path") or ""
    yield from relative_path(value, (*path, "path"))
    if value.startswith("..") and not value.startswith("../") and value != "..":
        yield fields.invalid((*path, "path"), value, "must not start with '..'")


_RULES: dict[str, Callable[[Json, Path], Errors]] = {
    "hostPath": _host_path,
    "emptyDir": _empty_dir,
    "secret": _keys,
    "configMap": _keys,
    "downwardAPI": _downward,
    "projected": _projected,
    "image": _image,
    "csi": _csi,
}
