"""The words that this room shares: a volume to set up, what came of it, and what went wrong.

`registry` maps the key of a volume source to its `VolumeType`; `manager` asks the type to set a
`Volume` up and gets a `Mounted`, which `container_mounts` turns into mounts of a container.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykubelet.errors import Failed
from pykubelet.kubelet.volumes.sources import Sources

Json = dict[str, Any]


class VolumeError(Failed):
    """A volume or a mount that can't be had, in one sentence for a person.

    `volume` is its name in the pod. `waiting_may_help` is False where only a change of the pod
    could (a type that is not supported, a path that leads out). `reason` is the reason to show:
    `FailedMount` while volumes are set up, `CreateContainerConfigError` for one container's mounts.
    """

    def __init__(
        self,
        message: str,
        *,
        volume: str = "",
        waiting_may_help: bool = True,
        reason: str = "FailedMount",
    ) -> None:
        super().__init__(message)
        self.volume = volume
        self.waiting_may_help = waiting_may_help
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Host:
    """The few facts about the node that volumes need.

    `image_volumes`: whether the runtime can mount images (CRI of containerd 2.1 on).
    """

    cluster_domain: str = "cluster.local"
    hosts_file: Path = Path("/etc/hosts")
    image_volumes: bool = False


@dataclass(frozen=True, slots=True)
class Mounted:
    """A volume that is ready. Exactly one of `path`, `device` and `image` says where.

    `path` is a folder (for hostPath also a file, socket or device) on the host, `device` a block
    device, `image` the reference of an image that the runtime mounts. `owned` is False for what
    is not the pod's alone (hostPath, local): never relabelled.
    """

    path: str = ""
    device: str = ""
    image: str = ""
    read_only: bool = False
    owned: bool = True


@dataclass(frozen=True, slots=True)
class File:
    """One file of a projected volume. `uid` is its owner, root where None."""

    data: bytes
    mode: int
    uid: int | None = None


#: Files by their path within a volume.
Payload = Mapping[str, File]


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of a pod, about to be set up.

    `source` is what stands below the type's key; `folder` is the volume's own folder below the
    pod's, and `state` one beside it for what the type has to remember across restarts.
    """

    pod: Json
    name: str
    source: Json
    folder: Path
    state: Path
    sources: Sources
    host: Host = field(default_factory=Host)

    @property
    def fs_group(self) -> int | None:
        return security_context(self.pod).get("fsGroup")

    def error(self, message: str, *, waiting_may_help: bool = True) -> VolumeError:
        """As upstream words the event of a volume that can't be set up."""
        return VolumeError(
            f'MountVolume.SetUp failed for volume "{self.name}" : {message}',
            volume=self.name,
            waiting_may_help=waiting_may_help,
        )


@dataclass(frozen=True, slots=True)
class VolumeType:
    """One kind of volume. `key` is its field in a volume's JSON, `plugin` its folder's name.

    `set_up` makes the volume usable, or finds it so: it is called again after any crash, at any
    point. `payload` is there for types whose content follows something that changes; those have no
    `set_up` of their own, since writing their payload is all there is to do. Both raise VolumeError
    for what they have words for; the manager finds words for any Failed, Invalid, ValueError and
    OSError.
    """

    key: str
    plugin: str
    set_up: Callable[[Volume], Mounted] | None = None
    payload: Callable[[Volume], Payload] | None = None
    #: Whether payloads are kept in memory rather than on the disk.
    in_memory: bool = False


def security_context(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return pod["spec"].get("securityContext") or {}
