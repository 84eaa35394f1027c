"""Where things lie below the agent's root folder: upstream's layout, so that people find their way.

    <root>/pods/<uid>/volumes/kubernetes.io~<type>/<volume>     the volumes
    <root>/pods/<uid>/plugins/kubernetes.io~<type>/<volume>     what their types remember
    <root>/pods/<uid>/volume-subpaths/<volume>/<container>/<n>  bind mounts of sub-paths
    <root>/pods/<uid>/containers/<container>/<attempt>          termination messages
    <root>/pods/<uid>/etc-hosts

Names come from objects, so each is checked to be one plain path component.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pykubelet.errors import Invalid


def component(name: str) -> str:
    """`name`, if it can be one component of a path and nothing else. Raises Invalid."""
    if not name or name in (".", "..") or "/" in name or "\0" in name or len(name) > 255:
        raise Invalid("not usable as a folder's name", found=repr(name))
    return name


def make(folder: Path) -> None:
    """Make a folder of the agent's own, and those above it, closed to the node's other users."""
    try:
        folder.mkdir(mode=0o750)
    except FileExistsError:
        pass
    except FileNotFoundError:
        make(folder.parent)
        folder.mkdir(mode=0o750, exist_ok=True)


@dataclass(frozen=True, slots=True)
class PodFolder:
    """The folder of one pod, and what is where in it."""

    path: Path

    @property
    def hosts_file(self) -> Path:
        return self.path / "etc-hosts"

    @property
    def volumes(self) -> Path:
        return self.path / "volumes"

    @property
    def subpaths(self) -> Path:
        return self.path / "volume-subpaths"

    def volume(self, plugin: str, name: str) -> Path:
        return self.volumes / plugin / component(name)

    def volume_state(self, plugin: str, name: str) -> Path:
        return self.path / "plugins" / plugin / component(name)

    def subpath(self, volume: str, container: str, index: int) -> Path:
        return self.subpaths / component(volume) / component(container) / str(index)

    def container(self, name: str) -> Path:
        return self.path / "containers" / component(name)


def pods_folder(root: Path) -> Path:
    return root / "pods"


def pod_folder(root: Path, uid: str) -> PodFolder:
    return PodFolder(pods_folder(root) / component(uid))
