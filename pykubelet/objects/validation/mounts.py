"""Where a container mounts the pod's volumes."""

from __future__ import annotations

from pykubelet.objects import fields
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.rules import Errors, Json, chosen, relative_path

_PROPAGATION = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def mounts(container: Json, volumes: dict[str, Json], path: Path) -> Errors:
    """`volumeMounts` and `volumeDevices`. `volumes` are the pod's, by name."""
    devices = {device.get("devicePath") for device in container.get("volumeDevices") or ()}
    used_devices = {device.get("name") for device in container.get("volumeDevices") or ()}
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        at = (*path, "volumeMounts", index)
        yield from _known(mount, volumes, at)
        target = mount.get("mountPath")
        if not target:
            yield fields.required((*at, "mountPath"))
        elif target in seen:
            yield fields.invalid((*at, "mountPath"), target, "must be unique")
        elif target in devices:
            yield fields.invalid(
                (*at, "mountPath"), target, "must not already exist as a path in volumeDevices"
            )
        if mount.get("name") in used_devices:
            yield fields.invalid(
                (*at, "name"), mount.get("name"), "must not already exist in volumeDevices"
            )
        seen.add(target or "")
        if mount.get("subPath"):
            yield from relative_path(mount["subPath"], (*at, "subPath"))
        if mount.get("subPathExpr"):
            if mount.get("subPath"):
                yield fields.invalid(
                    (*at, "subPathExpr"),
                    mount["subPathExpr"],
                    "subPathExpr and subPath are mutually exclusive",
                )
            yield from relative_path(mount["subPathExpr"], (*at, "subPathExpr"))
        yield from _propagation(mount, container, at)
        yield from _recursive(mount, at)
    yield from _devices(container, volumes, path)


def _known(mount: Json, volumes: dict[str, Json], path: Path) -> Errors:
    name = mount.get("name")
    if not name:
        yield fields.required((*path, "name"))
    elif name not in volumes:
        yield fields.not_found((*path, "name"), name)


def _propagation(mount: Json, container: Json, path: Path) -> Errors:
    yield from chosen(mount, "mountPropagation", _PROPAGATION, path)
    privileged = (container.get("securityContext") or {}).get("privileged")
    if mount.get("mountPropagation") == "Bidirectional" and not privileged:
        yield fields.forbidden(
            (*path, "mountPropagation"),
            "Bidirectional mount propagation is available only to privileged containers",
        )


def _recursive(mount: Json, path: Path) -> Errors:
    at = (*path, "recursiveReadOnly")
    yield from chosen(mount, "recursiveReadOnly", _RECURSIVE, path)
    if mount.get("recursiveReadOnly", "Disabled") == "Disabled":
        return
    if not mount.get("readOnly"):
        yield fields.forbidden(at, "may only be specified when readOnly is true")
    if mount.get("mountPropagation", "None") != "None":
        yield fields.forbidden(
            at, "may only be specified when mountPropagation is None or not specified"
        )


def _devices(container: Json, volumes: dict[str, Json], path: Path) -> Errors:
    seen: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        at = (*path, "volumeDevices", index)
        yield from _known(device, volumes, at)
        target = device.get("devicePath")
        if not target:
            yield fields.required((*at, "devicePath"))
        elif target in seen:
            yield fields.invalid((*at, "devicePath"), target, "must be unique")
        else:
            yield from (relative_path(target.lstrip("/"), (*at, "devicePath")))
        seen.add(target or "")
        volume = volumes.get(device.get("name") or "", {"persistentVolumeClaim": {}})
        if not {"persistentVolumeClaim", "ephemeral"} & set(volume):
            yield fields.invalid(
                (*at, "name"),
                device.get("name") or "",
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block "
                "mode",
            )
