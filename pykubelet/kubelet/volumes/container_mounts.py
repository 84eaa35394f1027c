"""What one container gets mounted: its volumes, the hosts file, the termination message file.

The result is CRI's Mount, as dicts with api.proto's field names. `manager` calls this with what it
has set up; `subpath` does the dangerous part. All errors are VolumeErrors with the reason
CreateContainerConfigError.
Source: VolumeMount in the API reference, KEP-3857 (recursive read-only), KEP-127 (ID mappings).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.kubelet.pods import names
from pykubelet.kubelet.volumes import layout, mounts, subpath
from pykubelet.kubelet.volumes.layout import PodFolder
from pykubelet.kubelet.volumes.model import Host, Json, Mounted, VolumeError
from pykubelet.objects.expansion import expand

REASON = "CreateContainerConfigError"
HOSTS = "/etc/hosts"
TERMINATION_LOG = "/dev/termination-log"
#: How many attempts back a termination message is kept for the status' lastState.
_KEPT_MESSAGES = 2

_PROPAGATION = {
    "None": "PROPAGATION_PRIVATE",
    "HostToContainer": "PROPAGATION_HOST_TO_CONTAINER",
    "Bidirectional": "PROPAGATION_BIDIRECTIONAL",
}


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a container is created with besides its spec.

    `attempt` is its restart count. `pod_ips` are the sandbox's addresses. `recursive_read_only`:
    the runtime handler can do it. `id_mappings` (`host_id`, `container_id`, `length`) are those of
    the pod's user namespace, empty without one. `image_refs` are what the references of image
    volumes were resolved to when they were pulled, by volume name; the reference itself otherwise.
    """

    attempt: int = 0
    pod_ips: Sequence[str] = ()
    recursive_read_only: bool = False
    id_mappings: Sequence[Mapping[str, int]] = ()
    image_refs: Mapping[str, str] = field(default_factory=dict)


def mounts_of(
    pod: Json,
    container: Json,
    mounted: Mapping[str, Mounted],
    env: Mapping[str, str],
    *,
    folder: PodFolder,
    host: Host,
    occasion: Occasion,
) -> list[Json]:
    """CRI Mounts of `container`, volumes in the spec's order first."""
    found: list[Json] = []
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        volume = mounted.get(mount["name"])
        if volume is None or volume.device:
            raise _refused(
                f'cannot find volume "{mount["name"]}" to mount into container '
                f'"{container["name"]}"',
                mount,
            )
        found.append(_volume_mount(container, mount, index, volume, env, folder, occasion))
    taken = {os.path.normpath(one["container_path"]) for one in found}
    if HOSTS not in taken and (occasion.pod_ips or pod["spec"].get("hostNetwork")):
        found.append(_hosts_mount(pod, folder, host, occasion))
    path = container.get("terminationMessagePath", TERMINATION_LOG)
    if path:
        found.append(_termination_mount(container["name"], path, folder, occasion))
    if occasion.id_mappings:
        mappings = [dict(mapping) for mapping in occasion.id_mappings]
        for one in found:
            one["uidMappings"] = one["gidMappings"] = mappings
    return found


def devices_of(container: Json, mounted: Mapping[str, Mounted]) -> list[Json]:
    """CRI Devices: the raw block volumes that `volumeDevices` asks for."""
    found = []
    for device in container.get("volumeDevices") or ():
        volume = mounted.get(device["name"])
        if volume is None or not volume.device:
            raise VolumeError(
                f'cannot find volume "{device["name"]}" to pass into container '
                f'"{container["name"]}"',
                volume=device["name"],
                reason=REASON,
            )
        found.append(
            {
                "container_path": device["devicePath"],
                "host_path": volume.device,
                "permissions": "r" if volume.read_only else "mrw",
            }
        )
    return found


def _volume_mount(
    container: Json,
    mount: Json,
    index: int,
    volume: Mounted,
    env: Mapping[str, str],
    folder: PodFolder,
    occasion: Occasion,
) -> Json:
    propagation = _propagation(mount)
    path = _sub_path(mount, env)
    read_only = bool(mount.get("readOnly")) or volume.read_only
    result: dict[str, Any] = {
        "container_path": _absolute(mount["mountPath"]),
        "host_path": "",
        "readonly": read_only,
        "selinux_relabel": volume.owned and selinux_enabled(),
        "propagation": propagation,
        "recursive_read_only": _recursive(mount, occasion.recursive_read_only),
    }
    if volume.image:
        reference = occasion.image_refs.get(mount["name"], volume.image)
        return result | {"image": {"image": reference}, "image_sub_path": path}
    result["host_path"] = volume.path
    if propagation != "PROPAGATION_PRIVATE":
        _check_propagation(mount, volume.path)
    if path:
        target = folder.subpath(mount["name"], container["name"], index)
        try:
            shared = propagation == "PROPAGATION_BIDIRECTIONAL"
            subpath.bind(volume.path, path, target, shared=shared)
        except OSError as error:
            subpath.explain(error, volume.path, path)
            raise _refused(
                f'failed to prepare subPath for volumeMount "{mount["name"]}" of container '
                f'"{container["name"]}"',
                mount,
            ) from error
        result["host_path"] = str(target)
    return result


def _refused(message: str, mount: Json) -> VolumeError:
    return VolumeError(message, volume=mount["name"], reason=REASON)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _sub_path(mount: Json, env: Mapping[str, str]) -> str:
    expression = mount.get("subPathExpr")
    path = _expanded(mount, expression, env) if expression else mount.get("subPath") or ""
    try:
        subpath.check(path)
    except subpath.Refused as refused:
        raise _refused(str(refused), mount) from refused
    return path


def _expanded(mount: Json, expression: str, env: Mapping[str, str]) -> str:
    def value(name: str) -> str:
        if name not in env:
            raise _refused(f'missing value for "{name}" in subPathExpr `{expression}`', mount)
        return env[name]

    return expand(expression, value)


# -- modes --------------------------------------------------------------------------------------


def _propagation(mount: Json) -> str:
    mode = mount.get("mountPropagation") or "None"
    if mode not in _PROPAGATION:
        raise _refused(f'invalid MountPropagation mode: "{mode}"', mount)
    return _PROPAGATION[mode]


def _check_propagation(mount: Json, path: str) -> None:
    """The runtime would refuse it too, but says neither for which volume nor what to do."""
    source = mounts.mount_of(path)
    mode = mount["mountPropagation"]
    if source is None or source.is_shared:
        return
    if mode == "HostToContainer" and source.propagation == "slave":
        return
    raise _refused(
        f'mountPropagation {mode} of volume "{mount["name"]}" needs a shared mount, but '
        f"{source.point}, on which {path} lies, is {source.propagation}; on the node, run "
        f"`mount --make-rshared {source.point}`",
        mount,
    )


def _recursive(mount: Json, supported: bool) -> bool:
    mode = mount.get("recursiveReadOnly") or "Disabled"
    if mode == "Disabled":
        return False
    if mode not in ("Enabled", "IfPossible"):
        raise _refused(f'unknown recursive read-only mode "{mode}"', mount)
    propagation = mount.get("mountPropagation") or "None"
    problem = ""
    if not mount.get("readOnly"):
        problem = "it is not read-only"
    elif propagation != "None":
        problem = f"it is not compatible with propagation {propagation}"
    elif mode == "Enabled" and not supported:
        problem = "it is not supported by the runtime"
    if problem:
        raise _refused(
            f'volume "{mount["name"]}" requested recursive read-only mode, but {problem}', mount
        )
    return supported


@cache
def selinux_enabled() -> bool:
    return os.path.exists("/sys/fs/selinux/enforce")


# -- files of the agent's own -------------------------------------------------------------------


def _hosts_mount(pod: Json, folder: PodFolder, host: Host, occasion: Occasion) -> Json:
    try:
        text = names.hosts_file(
            pod,
            host.cluster_domain,
            pod_ips=occasion.pod_ips,
            node_hosts=_node_hosts(host) if pod["spec"].get("hostNetwork") else "",
        )
    except Invalid as error:
        raise VolumeError(str(error), waiting_may_help=False, reason=REASON) from error
    _write_in_place(folder.hosts_file, text)
    return _plain_mount(HOSTS, folder.hosts_file)


def _node_hosts(host: Host) -> str:
    try:
        return host.hosts_file.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _write_in_place(path: Path, text: str) -> None:
    """Not by rename: containers that have the file mounted go on seeing this very one."""
    try:
        if path.read_text(errors="replace") == text:
            return
    except FileNotFoundError:
        layout.make(path.parent)
    path.write_text(text)
    path.chmod(0o644)


def _termination_mount(container: str, path: str, folder: PodFolder, occasion: Occasion) -> Json:
    home = folder.container(container)
    layout.make(home)
    for entry in home.iterdir():
        if entry.name.isdigit() and int(entry.name) < occasion.attempt - _KEPT_MESSAGES:
            entry.unlink()
    file = home / str(occasion.attempt)
    with open(file, "w"):
        pass  # what an earlier container with this number wrote is not this one's message
    file.chmod(0o666)  # whatever user the container runs as
    return _plain_mount(_absolute(path), file)


def _plain_mount(container_path: str, host_path: Path) -> Json:
    return {
        "container_path": container_path,
        "host_path": str(host_path),
        "readonly": False,
        "selinux_relabel": selinux_enabled(),
        "propagation": "PROPAGATION_PRIVATE",
        "recursive_read_only": False,
    }
