"""A container of a pod as CRI's ContainerConfig.

Pure. Environment, mounts, devices and limits are made by the rooms that know them and come in
ready; this puts them together with what the container's own spec says. A sidecar or an ephemeral
container is a container like any other here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pykubelet.kubelet.runtime import labels
from pykubelet.kubelet.runtime.model import Image
from pykubelet.kubelet.runtime.sandboxes import UserNamespace, namespaces
from pykubelet.kubelet.runtime.security import NodeSecurity, container_security
from pykubelet.objects.expansion import expand

Json = dict[str, Any]


def container_config(
    pod: Json,
    container: Json,
    *,
    attempt: int,
    image: Image,
    image_ref: str,
    env: Sequence[tuple[str, str]],
    mounts: Iterable[Mapping[str, Any]] = (),
    devices: Iterable[Mapping[str, Any]] = (),
    cdi_devices: Iterable[str] = (),
    resources: Mapping[str, Any] | None = None,
    log_path: str,
    target_id: str = "",
    user_namespace: UserNamespace | None = None,
    node: NodeSecurity | None = None,
) -> dict[str, Any]:
    """CRI's ContainerConfig as nested dicts.

    `image_ref` is what to run (an id or digest), `image` what is known of it; `env` in order, a
    later pair winning; `mounts`, `devices`, `resources` in CRI's words; `cdi_devices` by their full
    names; `log_path` relative to the sandbox's log directory; `target_id` the container whose
    processes an ephemeral one is to see. Raises `Invalid` where the security context can't be kept.
    """
    values = dict(env)
    options = namespaces(pod, user_namespace)
    if target_id and options["pid"] == "CONTAINER":
        options |= {"pid": "TARGET", "target_id": target_id}
    made: dict[str, Any] = {
        "metadata": {"name": container["name"], "attempt": attempt},
        "image": {"image": image_ref, "user_specified_image": container.get("image") or ""},
        "command": [expand(each, values) for each in container.get("command") or ()],
        "args": [expand(each, values) for each in container.get("args") or ()],
        "working_dir": container.get("workingDir") or "",
        "envs": [{"key": key, "value": value.encode()} for key, value in values.items()],
        "mounts": [dict(each) for each in mounts],
        "devices": [dict(each) for each in devices],
        "CDI_devices": [{"name": each} for each in cdi_devices],
        "labels": labels.container_labels(pod, container),
        "annotations": labels.container_annotations(pod, container, attempt),
        "log_path": log_path,
        "stdin": bool(container.get("stdin")),
        "stdin_once": bool(container.get("stdinOnce")),
        "tty": bool(container.get("tty")),
        "linux": {
            "resources": dict(resources or {}),
            "security_context": container_security(
                pod, container, image, node or NodeSecurity(), options
            ),
        },
    }
    signal = (container.get("lifecycle") or {}).get("stopSignal")
    if signal:
        made["stop_signal"] = _signal(signal)
    return made


def log_path(container: Json, attempt: int) -> str:
    """Where a container logs to, relative to its pod's log directory."""
    return f"{container['name']}/{attempt}.log"


def _signal(name: str) -> str:
    """The API's `SIGRTMIN+3` as CRI's `SIGNAL_SIGRTMINPLUS3` (KEP-4960)."""
    return "SIGNAL_" + name.replace("+", "PLUS").replace("-", "MINUS")
