"""emptyDir: room of the pod's own, on the disk, in memory or in huge pages; it dies with the pod.

On the disk it survives restarts of containers, agent and host. In memory it is a tmpfs no larger
than the least of its size limit, the pod's memory limit and the node's memory. The size limit of
the other kind is watched by eviction, which reads `Volumes.usage`. A `ready` file beside the volume
tells a finished set-up from an interrupted one.
Source: EmptyDirVolumeSource in the API reference, KEP-1967 (sizes), KEP-1539 (huge pages).
"""

from __future__ import annotations

from pathlib import Path

from pykubelet.errors import Invalid
from pykubelet.kubelet.volumes import layout, mounts
from pykubelet.kubelet.volumes.model import Json, Mounted, Volume, VolumeType
from pykubelet.kubelet.volumes.ownership import give_to_group
from pykubelet.objects import quantity, resources

MEMORY = "Memory"
HUGE_PAGES = "HugePages"
_MODE = 0o777
_HUGE_PAGE_RESOURCE = "hugepages-"


def set_up(volume: Volume) -> Mounted:
    medium = volume.source.get("medium") or ""
    ready = volume.state / "ready"
    if not (ready.exists() and _is_there(volume.folder, medium)):
        make(volume, medium)
        give_to_group(volume.folder, volume.fs_group)
        layout.make(volume.state)
        ready.touch()
    return Mounted(path=str(volume.folder))


def make(volume: Volume, medium: str) -> None:
    """The folder, open to everyone, and what is mounted on it. Idempotent; raises OSError."""
    folder = volume.folder
    layout.make(folder.parent)
    folder.mkdir(exist_ok=True)
    if medium == MEMORY:
        if not mounts.is_mount_point(folder):
            mounts.tmpfs(folder, size=memory_size(volume))
    elif medium.startswith(HUGE_PAGES):
        if not mounts.is_mount_point(folder):
            size = _page_size(volume, medium)
            mounts.mount("nodev", folder, "hugetlbfs", f"pagesize={size}")
    elif medium:
        raise volume.error(f'unknown storage medium "{medium}"', waiting_may_help=False)
    if folder.stat().st_mode & _MODE != _MODE:
        folder.chmod(_MODE)


def _is_there(folder: Path, medium: str) -> bool:
    return mounts.is_mount_point(folder) if medium else folder.is_dir()


def memory_size(volume: Volume) -> int | None:
    """Bytes that a tmpfs of this pod may hold; None (the kernel's own limit) where nothing says."""
    allocatable = (volume.sources.node().get("status") or {}).get("allocatable") or {}
    bounds = (
        quantity.parse(volume.source.get("sizeLimit") or 0),
        _memory_limit(volume.pod),
        quantity.parse(allocatable.get("memory") or 0),
    )
    return min((quantity.to_int(bound) for bound in bounds if bound > 0), default=None)


def _memory_limit(pod: Json) -> quantity.Number:
    """The pod's memory limit, 0 where it has none: a container without a limit lifts it."""
    spec = pod["spec"]
    whole = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    if whole or all(resources.container_limits(c).get("memory") for c in containers):
        return resources.limits(pod).get("memory", 0)
    return 0


def _page_size(volume: Volume, medium: str) -> int:
    """Bytes a page: what the medium names, else the one size that the containers ask for."""
    asked = set()
    spec = volume.pod["spec"]
    for part in (spec, *(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        held = part.get("resources") or {}
        for name in {**(held.get("limits") or {}), **(held.get("requests") or {})}:
            if name.startswith(_HUGE_PAGE_RESOURCE):
                asked.add(quantity.to_int(quantity.parse(name.removeprefix(_HUGE_PAGE_RESOURCE))))
    if medium != HUGE_PAGES:
        try:
            named = quantity.to_int(quantity.parse(medium.removeprefix(f"{HUGE_PAGES}-")))
        except Invalid as error:
            raise volume.error(f'medium "{medium}": {error}', waiting_may_help=False) from error
        if named not in asked:
            raise volume.error(
                f"medium: {medium} used but no container requests that page size",
                waiting_may_help=False,
            )
        return named
    if len(asked) != 1:
        problem = (
            f"medium: {medium} can't be used if container requests multiple huge page sizes"
            if asked
            else "hugePages storage requested, but there is no resource request for huge pages"
        )
        raise volume.error(problem, waiting_may_help=False)
    return asked.pop()


TYPE = VolumeType("emptyDir", "kubernetes.io~empty-dir", set_up=set_up)
