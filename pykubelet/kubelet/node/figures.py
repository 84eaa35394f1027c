"""What is measured of the node, its pods and their containers, at one moment, as plain values.

`gathering` takes the measurements; `stats` and `metrics` write them down for others; `eviction`
ranks pods by them. CPU in nanoseconds since the thing began, nanocores over the last while, all
sizes in bytes, times in wall seconds. None: nobody counts it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pykubelet.kubelet.cgroups.pressure import Pressure
from pykubelet.kubelet.cgroups.tree import PodUsage


@dataclass(frozen=True, slots=True)
class Filesystem:
    capacity: int
    available: int
    used: int
    inodes: int = 0
    inodes_free: int = 0


@dataclass(frozen=True, slots=True)
class Interface:
    """One line of /proc/net/dev."""

    name: str
    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Volume:
    """What a volume takes. `of_pod`: it lives and dies with the pod, on the node's own disk."""

    name: str
    used: int
    inodes_used: int = 0
    capacity: int = 0
    available: int = 0
    inodes: int = 0
    inodes_free: int = 0
    of_pod: bool = True


@dataclass(frozen=True, slots=True)
class Container:
    """`usage` is its cgroup's, or what the runtime says where its group can't be found."""

    name: str
    id: str
    started_at: float
    at: float
    usage: PodUsage = field(default_factory=PodUsage)
    nanocores: int | None = None
    rootfs_used: int | None = None
    rootfs_inodes: int | None = None
    logs_used: int | None = None
    image: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """`usage` is the pod's own cgroup's: all containers and the sandbox together."""

    uid: str
    name: str
    namespace: str
    started_at: float
    at: float
    usage: PodUsage = field(default_factory=PodUsage)
    nanocores: int | None = None
    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    pressure: Pressure | None = None

    @property
    def disk(self) -> int:
        """Local storage: writable layers, logs, and volumes that are the pod's own."""
        layers = sum((c.rootfs_used or 0) + (c.logs_used or 0) for c in self.containers)
        return layers + sum(v.used for v in self.volumes if v.of_pod)

    @property
    def inodes(self) -> int:
        layers = sum(c.rootfs_inodes or 0 for c in self.containers)
        return layers + sum(v.inodes_used for v in self.volumes if v.of_pod)


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    started_at: float
    at: float
    usage: PodUsage = field(default_factory=PodUsage)
    nanocores: int | None = None
    memory_capacity: int = 0
    cores: int = 0
    filesystem: Filesystem | None = None
    image_filesystem: Filesystem | None = None
    max_pids: int = 0
    processes: int = 0
    interfaces: tuple[Interface, ...] = ()
    daemons: Mapping[str, PodUsage] = field(default_factory=dict)
    pressure: Pressure | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    node: Node
    pods: tuple[Pod, ...] = ()
