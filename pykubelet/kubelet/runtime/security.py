"""A pod's security contexts in CRI's words.

What a container says wins over what its pod says, field by field; what neither says is the node's
default. Nothing that was asked for is dropped in silence: where the node or the image can't do it,
the container is refused with the reason. Pure; `sandboxes` and `containers` are the callers.

Sources: the API reference (SecurityContext, PodSecurityContext), KEP-135 (seccomp), KEP-24
(AppArmor), KEP-2862 (fine-grained groups), KEP-127 (user namespaces), KEP-4265 (procMount).
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.kubelet.runtime.model import Image

Json = dict[str, Any]

_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"

# What upstream hides from and protects against every container that is not privileged.
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)


@dataclass(frozen=True, slots=True)
class NodeSecurity:
    """What the node brings to every pod.

    `seccomp` is the profile of who asks for none (`RuntimeDefault`, or `Unconfined` as a kubelet
    without seccompDefault has it), `seccomp_root` the folder that Localhost profiles are relative
    to, `apparmor` whether the kernel enforces it, `cpus` how many to hide the thermal state of.
    """

    seccomp: str = "RuntimeDefault"
    seccomp_root: str = "/var/lib/kubelet/seccomp"
    apparmor: bool = True
    cpus: int = 0


def effective(pod: Json, container: Json) -> Json:
    """The SecurityContext that holds for a container, as one dict."""
    whole = pod["spec"].get("securityContext") or {}
    shared = (
        "seLinuxOptions",
        "runAsUser",
        "runAsGroup",
        "runAsNonRoot",
        "seccompProfile",
        "appArmorProfile",
    )
    own = container.get("securityContext") or {}
    merged = {name: whole[name] for name in shared if whole.get(name) is not None}
    return merged | {name: value for name, value in own.items() if value is not None}


def container_security(
    pod: Json,
    container: Json,
    image: Image,
    node: NodeSecurity,
    namespaces: Mapping[str, Any],
) -> dict[str, Any]:
    """CRI's LinuxContainerSecurityContext.

    Raises `Invalid` where runAsNonRoot can't be kept or a profile can't be enforced.
    """
    context = effective(pod, container)
    _verify_non_root(context, container, image)
    made: dict[str, Any] = {
        "privileged": bool(context.get("privileged")),
        "readonly_rootfs": bool(context.get("readOnlyRootFilesystem")),
        "no_new_privs": context.get("allowPrivilegeEscalation") is False,
        "namespace_options": dict(namespaces),
        "seccomp": _seccomp(context, container, node),
        **_user(context, image),
        **pod_groups(pod),
    }
    if context.get("procMount") != "Unmasked":
        hot = (f"/sys/devices/system/cpu/cpu{n}/thermal_throttle" for n in range(node.cpus))
        made["masked_paths"] = [*MASKED_PATHS, *hot]
        made["readonly_paths"] = list(READONLY_PATHS)
    capabilities = context.get("capabilities") or {}
    if capabilities:
        made["capabilities"] = {
            "add_capabilities": [_capability(each) for each in capabilities.get("add") or ()],
            "drop_capabilities": [_capability(each) for each in capabilities.get("drop") or ()],
        }
    apparmor = _apparmor(pod, context, container, node)
    if apparmor:
        made["apparmor"] = apparmor
    if context.get("seLinuxOptions"):
        made["selinux_options"] = selinux(context["seLinuxOptions"])
    return made


def pod_groups(pod: Json) -> dict[str, Any]:
    """The groups that every process of the pod is in, and whether the image may add to them."""
    context = pod["spec"].get("securityContext") or {}
    groups = [] if context.get("fsGroup") is None else [context["fsGroup"]]
    made: dict[str, Any] = {
        "supplemental_groups": [*groups, *(context.get("supplementalGroups") or ())]
    }
    if context.get("supplementalGroupsPolicy"):
        made["supplemental_groups_policy"] = context["supplementalGroupsPolicy"]
    return made


def selinux(options: Json) -> dict[str, str]:
    return {name: options[name] for name in ("user", "role", "type", "level") if options.get(name)}


def is_privileged(container: Json) -> bool:
    return bool((container.get("securityContext") or {}).get("privileged"))


def _user(context: Json, image: Image) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if context.get("runAsUser") is not None:
        made["run_as_user"] = {"value": context["runAsUser"]}
    elif image.uid is not None:
        made["run_as_user"] = {"value": image.uid}
    elif image.username:
        made["run_as_username"] = image.username
    else:
        made["run_as_user"] = {"value": 0}  # an image that says nothing runs as root
    if context.get("runAsGroup") is not None:
        made["run_as_group"] = {"value": context["runAsGroup"]}
    return made


def _verify_non_root(context: Json, container: Json, image: Image) -> None:
    if not context.get("runAsNonRoot"):
        return
    where = f'container "{container["name"]}"'
    if context.get("runAsUser") is not None:
        if context["runAsUser"] == 0:
            raise Invalid(
                "container's runAsUser breaks non-root policy",
                where=where,
                expected="a runAsUser above 0, for runAsNonRoot is true",
                found="runAsUser 0",
            )
        return
    remedy = "set runAsUser, or use an image whose USER is a number above 0"
    if image.uid is None and image.username:
        raise Invalid(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            "cannot verify user is non-root",
            where=where,
            remedy=remedy,
        )
    if not image.uid:
        raise Invalid(
            "container has runAsNonRoot and image will run as root", where=where, remedy=remedy
        )


def _seccomp(context: Json, container: Json, node: NodeSecurity) -> dict[str, str]:
    profile = context.get("seccompProfile") or {"type": node.seccomp}
    kind = profile.get("type", "")
    if kind in ("RuntimeDefault", "Unconfined"):
        return {"profile_type": kind}
    where = f'container "{container["name"]}": securityContext.seccompProfile'
    if kind != "Localhost":
        raise Invalid(
            "no such seccomp profile type",
            where=where,
            expected="RuntimeDefault, Unconfined or Localhost",
            found=repr(kind),
        )
    if not profile.get("localhostProfile"):
        raise Invalid(
            "localhostProfile must be set if seccompProfile type is Localhost.",
            where=where,
            expected=f"a path below {node.seccomp_root}",
        )
    path = posixpath.join(node.seccomp_root, profile["localhostProfile"])
    return {"profile_type": kind, "localhost_ref": path}


def _apparmor(pod: Json, context: Json, container: Json, node: NodeSecurity) -> dict[str, str]:
    profile = context.get("appArmorProfile") or _annotated_apparmor(pod, container)
    if not profile:
        return {}
    kind = profile.get("type", "")
    if kind == "Unconfined":
        return {"profile_type": kind} if node.apparmor else {}
    where = f'container "{container["name"]}": securityContext.appArmorProfile'
    if not node.apparmor:
        raise Invalid(
            "cannot enforce AppArmor: AppArmor is not enabled on the host",
            where=where,
            found=kind,
            remedy="boot with the AppArmor module, or take the profile out of the pod",
        )
    if kind == "RuntimeDefault":
        return {"profile_type": kind}
    if kind == "Localhost" and profile.get("localhostProfile"):
        return {"profile_type": kind, "localhost_ref": profile["localhostProfile"]}
    raise Invalid(
        "no such AppArmor profile",
        where=where,
        expected="RuntimeDefault, Unconfined, or Localhost with a localhostProfile",
        found=repr(profile),
    )


def _annotated_apparmor(pod: Json, container: Json) -> Json:
    """The way that manifests had before Kubernetes 1.30, still found in the field."""
    annotations = pod["metadata"].get("annotations") or {}
    text: str = annotations.get(_APPARMOR_ANNOTATION + container["name"], "")
    if text.startswith("localhost/"):
        return {"type": "Localhost", "localhostProfile": text.removeprefix("localhost/")}
    kinds = {"runtime/default": "RuntimeDefault", "unconfined": "Unconfined"}
    return {"type": kinds.get(text, text)} if text else {}


def _capability(name: str) -> str:
    """CRI's spelling. With the kernel's prefix, runtimes look for CAP_CAP_… and grant nothing."""
    return name.upper().removeprefix("CAP_")
