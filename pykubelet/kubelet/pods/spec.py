"""Reading a pod's spec: the few questions that every module of this room asks of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

Json = dict[str, Any]

CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_SEEN = "kubernetes.io/config.seen"
CONFIG_MIRROR = "kubernetes.io/config.mirror"

DEFAULT_GRACE_SECONDS = 30
#: Pods at or above this priority are never evicted for others (system-cluster-critical and up).
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000


class Kind(Enum):
    """Which of a pod's lists a container stands in; a sidecar is a restartable init container."""

    INIT = "init"
    SIDECAR = "sidecar"
    REGULAR = "regular"
    EPHEMERAL = "ephemeral"


def uid(pod: Mapping[str, Any]) -> str:
    return pod["metadata"].get("uid", "")


def name(pod: Mapping[str, Any]) -> str:
    return pod["metadata"]["name"]


def namespace(pod: Mapping[str, Any]) -> str:
    return pod["metadata"].get("namespace") or "default"


def full_name(pod: Mapping[str, Any]) -> str:
    """`namespace/name`: what at most one pod on a node may have at a time."""
    return f"{namespace(pod)}/{name(pod)}"


def annotations_of(pod: Mapping[str, Any]) -> Mapping[str, str]:
    return pod["metadata"].get("annotations") or {}


def is_static(pod: Mapping[str, Any]) -> bool:
    return annotations_of(pod).get(CONFIG_SOURCE, "api") != "api"


def is_mirror(pod: Mapping[str, Any]) -> bool:
    return CONFIG_MIRROR in annotations_of(pod)


def is_critical(pod: Mapping[str, Any]) -> bool:
    return is_static(pod) or (pod["spec"].get("priority") or 0) >= SYSTEM_CRITICAL_PRIORITY


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """True for an init container that keeps running beside the regular ones (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def containers(pod: Mapping[str, Any]) -> Iterator[tuple[Kind, Json]]:
    """Every container with its kind, init containers first, in the spec's order."""
    spec = pod["spec"]
    for container in spec.get("initContainers") or ():
        yield (Kind.SIDECAR if is_sidecar(container) else Kind.INIT), container
    for container in spec.get("containers") or ():
        yield Kind.REGULAR, container
    for container in spec.get("ephemeralContainers") or ():
        yield Kind.EPHEMERAL, container


def container_named(pod: Mapping[str, Any], container_name: str) -> tuple[Kind, Json] | None:
    return next((kc for kc in containers(pod) if kc[1]["name"] == container_name), None)


def init_containers(pod: Mapping[str, Any]) -> list[Json]:
    return pod["spec"].get("initContainers") or []


def regular_containers(pod: Mapping[str, Any]) -> list[Json]:
    return pod["spec"].get("containers") or []


def ephemeral_containers(pod: Mapping[str, Any]) -> list[Json]:
    return pod["spec"].get("ephemeralContainers") or []


def restart_policy(pod: Mapping[str, Any]) -> str:
    return pod["spec"].get("restartPolicy") or "Always"


def host_network(pod: Mapping[str, Any]) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def grace_seconds(pod: Mapping[str, Any]) -> int:
    """Seconds between asking and killing: the deletion's own, else the spec's, else 30."""
    for value in (
        pod["metadata"].get("deletionGracePeriodSeconds"),
        pod["spec"].get("terminationGracePeriodSeconds"),
    ):
        if value is not None:
            return int(value)
    return DEFAULT_GRACE_SECONDS
