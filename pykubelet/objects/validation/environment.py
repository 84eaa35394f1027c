"""Environment variables and where their values come from."""

from __future__ import annotations

import re

from pykubelet.objects import fields, names, quantity
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.rules import (
    Errors,
    Json,
    named,
    present,
    relative_path,
    required_name,
)

ENV_FIELDS = frozenset(
    ("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
     "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs")
)  # fmt: skip
VOLUME_FIELDS = frozenset(
    ("metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations",
     "metadata.uid")
)  # fmt: skip
_KNOWN_FIELDS = ENV_FIELDS | VOLUME_FIELDS | {
    "spec.restartPolicy", "spec.schedulerName", "status.phase", "spec.host"}  # fmt: skip
_RESOURCES = frozenset(
    f"{kind}.{name}" for kind in ("limits", "requests")
    for name in ("cpu", "memory", "ephemeral-storage")
)  # fmt: skip
_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ONE_SOURCE = (
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
)
_ONLY_ONE = "may not have more than one field specified at a time"
_SUBSCRIPT = re.compile(r"(.*)\['([^']*)'\]")


def variables(env: list[Json], path: Path) -> Errors:
    for index, variable in enumerate(env):
        at = (*path, index)
        yield from required_name(variable, "name", at, names.env_name)
        if "valueFrom" in variable:
            yield from _value_from(variable, (*at, "valueFrom"))


def sources(env_from: list[Json], path: Path) -> Errors:
    for index, source in enumerate(env_from):
        at = (*path, index)
        if source.get("prefix"):
            yield from named(source["prefix"], (*at, "prefix"), names.env_name)
        given = [key for key in ("configMapRef", "secretRef") if key in source]
        for key in given:
            yield from required_name(source[key], "name", (*at, key), names.dns_subdomain)
        if not given:
            yield fields.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield fields.invalid(path, "", _ONLY_ONE)


def _value_from(variable: Json, path: Path) -> Errors:
    source = variable["valueFrom"]
    given = [key for key in _SOURCES if key in source]
    for key in given:
        at = (*path, key)
        match key:
            case "fieldRef":
                yield from field_ref(source[key], ENV_FIELDS, at)
            case "resourceFieldRef":
                yield from resource_ref(source[key], at)
            case "fileKeyRef":
                yield from present(source[key], ("volumeName", "path", "key"), at)
                yield from relative_path(source[key].get("path") or "", (*at, "path"))
            case _:
                yield from key_ref(source[key], at)
    if not given:
        yield fields.invalid(path, "", _ONE_SOURCE)
    elif variable.get("value"):
        yield fields.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield fields.invalid(path, "", _ONLY_ONE)


def key_ref(reference: Json, path: Path) -> Errors:
    """A key of a ConfigMap or Secret."""
    name = reference.get("name") or ""
    yield from named(name, (*path, "name"), names.dns_subdomain)
    yield from required_name(reference, "key", path, names.config_key)


def field_ref(reference: Json, allowed: frozenset[str], path: Path) -> Errors:
    """A field of the pod."""
    for key in ("apiVersion", "fieldPath"):
        if not reference.get(key):
            yield fields.required((*path, key))
            return
    at, wanted = (*path, "fieldPath"), reference["fieldPath"]
    subscripted = _SUBSCRIPT.fullmatch(wanted)
    label = subscripted[1] if subscripted else wanted
    problem = (
        f"unsupported pod version: {reference['apiVersion']}"
        if reference["apiVersion"] != "v1"
        else f"field label not supported: {label}"
        if label not in _KNOWN_FIELDS
        else ""
    )
    if problem:
        yield fields.invalid(at, wanted, f"error converting fieldPath: {problem}")
    elif subscripted:
        key = subscripted[2]
        if label not in ("metadata.annotations", "metadata.labels"):
            yield fields.invalid(path, label, "does not support subscript")
        else:
            lowered = key.lower() if label == "metadata.annotations" else key
            for said in names.qualified(lowered):
                yield fields.invalid(path, key, said)
    elif label not in allowed:
        yield fields.not_supported(at, label, allowed)


def resource_ref(reference: Json, path: Path, in_volume: bool = False) -> Errors:
    """A resource of a container."""
    wanted = reference.get("resource") or ""
    if in_volume and not reference.get("containerName"):
        yield fields.required((*path, "containerName"))
    elif not wanted:
        yield fields.required((*path, "resource"))
    elif wanted not in _RESOURCES and not wanted.startswith(
        ("limits.hugepages-", "requests.hugepages-")
    ):
        yield fields.not_supported((*path, "resource"), wanted, _RESOURCES)
    divisor = quantity.canonical(reference.get("divisor") or "0")
    allowed = ("1m", "1") if wanted.endswith(".cpu") else _DIVISORS
    if divisor != "0" and divisor not in allowed:
        name = wanted.partition(".")[2].replace("ephemeral-storage", "local ephemeral storage")
        listed = "1m and 1" if wanted.endswith(".cpu") else ", ".join(_DIVISORS)
        yield fields.invalid(
            (*path, "divisor"),
            wanted,
            f"only divisor's values {listed} are supported with the {name} resource",
        )
