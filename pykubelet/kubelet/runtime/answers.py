"""CRI's answers as the plain values of `model`. Pure; `client` and `relist` are its callers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykubelet.kubelet.runtime import labels
from pykubelet.kubelet.runtime.model import (
    Container,
    ContainerState,
    ContainerUsage,
    Filesystem,
    HandlerFeatures,
    Image,
    RuntimeStatus,
    Sandbox,
)
from pykubelet.objects.wire.messages import Message

# The order of CRI's enum ContainerState.
_STATES = (
    ContainerState.CREATED,
    ContainerState.RUNNING,
    ContainerState.EXITED,
    ContainerState.UNKNOWN,
)
_SANDBOX_READY = 0


def container_state(number: int) -> ContainerState:
    return _STATES[number] if 0 <= number < len(_STATES) else ContainerState.UNKNOWN


def sandbox_ready(number: int) -> bool:
    return number == _SANDBOX_READY


def sandbox(listed: Message, ips: tuple[str, ...]) -> Sandbox:
    return Sandbox(
        id=listed.id,
        uid=listed.labels.get(labels.POD_UID) or listed.metadata.uid,
        name=listed.metadata.name,
        namespace=listed.metadata.namespace,
        attempt=listed.metadata.attempt,
        ready=sandbox_ready(listed.state),
        created_at=listed.created_at,
        ips=ips,
        labels=dict(listed.labels),
        annotations=dict(listed.annotations),
        runtime_handler=listed.runtime_handler,
    )


def ips(status: Message) -> tuple[str, ...]:
    """The addresses in a PodSandboxStatus, the primary one first."""
    network = status.network
    return tuple(ip for ip in (network.ip, *(more.ip for more in network.additional_ips)) if ip)


def container(listed: Message, status: Message) -> Container:
    """One container from its line in ListContainers and its ContainerStatus."""
    linux_user = status.user.linux
    return Container(
        id=listed.id,
        name=listed.metadata.name,
        sandbox_id=listed.pod_sandbox_id,
        uid=listed.labels.get(labels.POD_UID, ""),
        attempt=listed.metadata.attempt,
        state=container_state(status.state),
        image=status.image.user_specified_image or status.image.image or listed.image.image,
        image_ref=status.image_ref,
        image_id=status.image_id or listed.image_id,
        created_at=status.created_at,
        started_at=status.started_at,
        finished_at=status.finished_at,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        labels=dict(listed.labels),
        annotations=dict(listed.annotations),
        log_path=status.log_path,
        resources=plain(status.resources.linux) if status.resources.HasField("linux") else None,
        user=(linux_user.uid, linux_user.gid, tuple(linux_user.supplemental_groups))
        if status.user.HasField("linux")
        else None,
    )


def image(message: Message) -> Image:
    return Image(
        id=message.id,
        tags=tuple(message.repo_tags),
        digests=tuple(message.repo_digests),
        size=message.size,
        pinned=message.pinned,
        uid=message.uid.value if message.HasField("uid") else None,
        username=message.username,
    )


def runtime_status(response: Message) -> RuntimeStatus:
    conditions = {condition.type: condition for condition in response.status.conditions}
    wrong = [
        f"{name}: {conditions[name].message or conditions[name].reason or 'no'}"
        if name in conditions
        else f"{name}: the runtime does not say"
        for name in ("RuntimeReady", "NetworkReady")
        if name not in conditions or not conditions[name].status
    ]
    handlers = {
        handler.name: HandlerFeatures(
            user_namespaces=handler.features.user_namespaces,
            recursive_read_only_mounts=handler.features.recursive_read_only_mounts,
        )
        for handler in response.runtime_handlers
    }
    return RuntimeStatus(
        ready="RuntimeReady" in conditions and conditions["RuntimeReady"].status,
        network_ready="NetworkReady" in conditions and conditions["NetworkReady"].status,
        message="; ".join(wrong),
        handlers=handlers,
        supplemental_groups_policy=response.features.supplemental_groups_policy,
    )


def usage(stats: Message) -> ContainerUsage:
    attributes = stats.attributes
    return ContainerUsage(
        id=attributes.id,
        name=attributes.metadata.name,
        uid=attributes.labels.get(labels.POD_UID, ""),
        at=max(stats.cpu.timestamp, stats.memory.timestamp),
        cpu_nanoseconds=_value(stats.cpu, "usage_core_nano_seconds"),
        memory_working_set=_value(stats.memory, "working_set_bytes"),
        memory_usage=_value(stats.memory, "usage_bytes"),
        memory_rss=_value(stats.memory, "rss_bytes"),
        filesystem_used=_value(stats.writable_layer, "used_bytes"),
        filesystem_inodes=_value(stats.writable_layer, "inodes_used"),
    )


def filesystem(message: Message) -> Filesystem:
    return Filesystem(
        mountpoint=message.fs_id.mountpoint,
        used_bytes=message.used_bytes.value,
        inodes_used=message.inodes_used.value,
        at=message.timestamp,
    )


def plain(message: Message) -> dict[str, Any]:
    """A message's fields that are set, as nested dicts and lists in the message's own names."""
    return {field.name: _plain(value) for field, value in message.ListFields()}


def _plain(value: Any) -> Any:
    if hasattr(value, "ListFields"):
        return plain(value)
    if isinstance(value, Mapping) or hasattr(value, "items"):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, str | bytes | int | float):
        return value
    return [_plain(each) for each in value]


def _value(message: Message, field: str) -> int | None:
    return getattr(message, field).value if message.HasField(field) else None
