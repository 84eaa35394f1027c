"""Security contexts of pods and containers, and sysctls."""

from __future__ import annotations

import re

from pykubelet.objects import fields
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.rules import (
    INT32_MAX,
    Errors,
    Json,
    between,
    chosen,
    relative_path,
)

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}"


def container_context(given: Json, path: Path, shares_users: bool) -> Errors:
    """A container's. `shares_users`: the pod has no user namespace of its own."""
    for key in ("runAsUser", "runAsGroup"):
        yield from between(given, key, 0, INT32_MAX, path)
    yield from _profiles(given, path)
    if given.get("allowPrivilegeEscalation") is False:
        if given.get("privileged"):
            yield fields.invalid(
                path,
                given,
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            )
        if "CAP_SYS_ADMIN" in ((given.get("capabilities") or {}).get("add") or ()):
            yield fields.invalid(
                path,
                given,
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                "CAP_SYS_ADMIN",
            )
    yield from chosen(given, "procMount", ("Default", "Unmasked"), path)
    if given.get("procMount") == "Unmasked" and shares_users:
        yield fields.invalid(
            (*path, "procMount"),
            "Unmasked",
            "`hostUsers` must be false to use `Unmasked`",
        )


def pod_context(given: Json, spec: Json, path: Path) -> Errors:
    for key in ("fsGroup", "runAsUser", "runAsGroup"):
        yield from between(given, key, 0, INT32_MAX, path)
    for index, group in enumerate(given.get("supplementalGroups") or ()):
        if not 0 <= group <= INT32_MAX:
            yield fields.invalid(
                (*path, "supplementalGroups", index),
                group,
                f"must be between 0 and {INT32_MAX}, inclusive",
            )
    yield from chosen(given, "fsGroupChangePolicy", ("Always", "OnRootMismatch"), path)
    yield from chosen(given, "supplementalGroupsPolicy", ("Merge", "Strict"), path)
    yield from _profiles(given, path)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        yield fields.invalid(
            (*path, "shareProcessNamespace"),
            True,
            "ShareProcessNamespace and HostPID cannot both be enabled",
        )
    yield from _host_users(spec, path)
    yield from _sysctls(given.get("sysctls") or (), spec, (*path, "sysctls"))


def _profiles(given: Json, path: Path) -> Errors:
    for key, what in (("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")):
        profile = given.get(key)
        if profile is None:
            continue
        at = (*path, key)
        yield from chosen(profile, "type", _PROFILES, at, empty=False)
        name = profile.get("localhostProfile")
        if profile.get("type") == "Localhost":
            if not name:
                yield fields.required(
                    (*at, "localhostProfile"), f"must be set when {what} type is Localhost"
                )
            elif key == "seccompProfile":
                yield from relative_path(name, (*at, "localhostProfile"))
        elif name is not None:
            yield fields.invalid(
                (*at, "localhostProfile"), name, f"can only be set when {what} type is Localhost"
            )


def _host_users(spec: Json, path: Path) -> Errors:
    if spec.get("hostUsers") is not False:
        return
    for key in ("hostNetwork", "hostIPC", "hostPID"):
        if spec.get(key):
            yield fields.forbidden((*path, key), "when `pod.Spec.HostUsers` is false")


def _sysctls(given: list[Json] | tuple[Json, ...], spec: Json, path: Path) -> Errors:
    seen: set[str] = set()
    for index, sysctl in enumerate(given):
        at = (*path, index, "name")
        name = sysctl.get("name")
        if not name:
            yield fields.required(at)
            continue
        if len(name) > 253 or not re.fullmatch(_SYSCTL, name):
            yield fields.invalid(
                at, name, f"must have at most 253 characters and match regex ^{_SYSCTL}$"
            )
        plain = name.replace("/", ".")
        if plain in seen:
            yield fields.duplicate(at, name)
        seen.add(plain)
        if spec.get("hostNetwork") and plain.startswith("net."):
            yield fields.invalid(at, name, "may not be specified when 'hostNetwork' is true")
        if spec.get("hostIPC") and plain.startswith(("kernel.shm", "kernel.msg", "kernel.sem",
                                                     "fs.mqueue.")):  # fmt: skip
            yield fields.invalid(at, name, "may not be specified when 'hostIPC' is true")
