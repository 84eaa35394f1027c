"""What the agent knows of the runtime, as plain immutable values.

The CRI client (`client`) makes these from its answers; the lifecycle (`..pods.lifecycle`), garbage
collection, stats and the local API read them and nothing else. Times are nanoseconds since the
epoch, as CRI gives them; 0 means "not yet".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class ContainerState(Enum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod sandbox. `ready` is CRI's SANDBOX_READY; `ips` is empty on the host network."""

    id: str
    uid: str
    name: str
    namespace: str
    attempt: int
    ready: bool
    created_at: int
    ips: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    runtime_handler: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """One attempt at running one container of a pod.

    `attempt` is the restart count. `image` is the reference that the pod asked for, `image_ref`
    what it resolved to (a digest where the runtime knows one). `resources` are the limits that the
    runtime says are in force, in CRI's LinuxContainerResources words, where it says so.
    """

    id: str
    name: str
    sandbox_id: str
    uid: str
    attempt: int
    state: ContainerState
    image: str = ""
    image_ref: str = ""
    image_id: str = ""
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""
    resources: Mapping[str, object] | None = None
    user: tuple[int, int, tuple[int, ...]] | None = None  # uid, gid, supplementary groups


@dataclass(frozen=True, slots=True)
class PodRuntime:
    """All sandboxes and containers that carry one pod's UID, newest first."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    def latest(self, container_name: str) -> Container | None:
        """The newest attempt at this container, whatever its state."""
        return next((c for c in self.containers if c.name == container_name), None)

    @property
    def sandbox(self) -> Sandbox | None:
        """The newest sandbox, ready or not."""
        return self.sandboxes[0] if self.sandboxes else None


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the runtime's store. `size` in bytes; `user` as the image's config says it."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size: int = 0
    pinned: bool = False
    uid: int | None = None
    username: str = ""


@dataclass(frozen=True, slots=True)
class HandlerFeatures:
    """What one runtime handler (RuntimeClass) can do, where the runtime says (CRI of 2024 on)."""

    user_namespaces: bool = False
    recursive_read_only_mounts: bool = False


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """CRI Status. `message` explains whichever of the two is false.

    `handlers` and `supplemental_groups_policy` (whether `Strict` is obeyed) are what the runtime
    says of itself; a runtime from before CRI of 2024 says nothing.
    """

    ready: bool
    network_ready: bool
    message: str = ""
    handlers: Mapping[str, HandlerFeatures] = field(default_factory=dict)
    supplemental_groups_policy: bool = False


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    name: str
    version: str
    api_version: str


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """One container's figures at one moment. CPU in nanoseconds since its start, the rest in bytes.

    None means that the runtime did not say.
    """

    id: str
    name: str
    uid: str
    at: int
    cpu_nanoseconds: int | None = None
    memory_working_set: int | None = None
    memory_usage: int | None = None
    memory_rss: int | None = None
    filesystem_used: int | None = None
    filesystem_inodes: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A hint that something about this pod may have changed: look again. Never the state itself.

    An empty `uid` means any pod: events may have been missed, so look at all.
    """

    uid: str


@dataclass(frozen=True, slots=True)
class Filesystem:
    """What the runtime keeps on one file system: images, or containers' writable layers."""

    mountpoint: str
    used_bytes: int
    inodes_used: int
    at: int


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    stdout: bytes
    stderr: bytes
