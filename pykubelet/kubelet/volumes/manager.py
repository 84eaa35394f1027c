"""`Volumes`: what the pod workers hold of this room.

It remembers nothing: everything is on the disk and in the mount table, so a new agent finds what
the old one left, and every method may be called again after a crash at any point, and from any
thread: what concerns one pod happens one after the other. The types are in `registry`, where things
lie in `layout`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pykubelet.errors import Failed, Invalid
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.volumes import (
    atomic,
    container_mounts,
    empty_dir,
    layout,
    mounts,
    removal,
    subpath,
    usage,
)
from pykubelet.kubelet.volumes.container_mounts import Occasion
from pykubelet.kubelet.volumes.locks import Locks
from pykubelet.kubelet.volumes.model import Host, Json, Mounted, Volume, VolumeError, VolumeType
from pykubelet.kubelet.volumes.ownership import give_folder
from pykubelet.kubelet.volumes.registry import REFUSALS, TYPES
from pykubelet.kubelet.volumes.sources import Sources

log = logging.getLogger(__name__)

#: The longest termination message that is read, in bytes.
MAX_MESSAGE = 4096
_MAX_ENV_FILE = 1 << 20


class Volumes:
    """The volumes of all pods below `root`, the agent's root folder."""

    def __init__(self, root: Path, sources: Sources, *, host: Host | None = None) -> None:
        self.root = Path(os.path.realpath(root))  # as the mount table spells it
        self.sources = sources
        self.host = host or Host()
        self._locks = Locks()

    # -- a pod's volumes ------------------------------------------------------------------------

    def setup(self, pod: Json) -> dict[str, Mounted]:
        """Make every volume usable that some container uses; what there is, by volume name.

        Idempotent. Raises VolumeError for the first volume that can't be had.
        """
        with self._locks.of(spec.uid(pod)):
            return {volume["name"]: self._set_up(pod, volume) for volume in used(pod)}

    def refresh(self, pod: Json) -> bool:
        """Bring ConfigMaps, Secrets, fields and tokens in the pod's volumes up to date.

        True if a file changed. Volumes that are not set up yet are left alone. Every volume gets
        its turn; then the first VolumeError, if any, is raised.
        """
        changed, problem = False, None
        with self._locks.of(spec.uid(pod)):
            for declared in used(pod):
                kind, volume = self._volume(pod, declared)
                if kind.payload is None or not (volume.folder / atomic.DATA).is_symlink():
                    continue
                try:
                    with _explained(volume):
                        changed |= _project(kind, volume)
                except VolumeError as error:
                    problem = problem or error
        if problem is not None:
            raise problem
        return changed

    def _set_up(self, pod: Json, declared: Json) -> Mounted:
        kind, volume = self._volume(pod, declared)
        with _explained(volume):
            if kind.set_up is not None:
                return kind.set_up(volume)
            _project(kind, volume)
        return Mounted(path=str(volume.folder), read_only=True)

    def _volume(self, pod: Json, declared: Json) -> tuple[VolumeType, Volume]:
        name = declared["name"]
        keys = [key for key, value in declared.items() if key != "name" and value is not None]
        # No source at all means emptyDir.
        key = keys[0] if keys else "emptyDir"
        kind = TYPES.get(key)
        if kind is None:
            hint = REFUSALS.get(key)
            raise VolumeError(
                f'MountVolume.SetUp failed for volume "{name}" : volumes of type {key} are not '
                f"supported{f'; {hint}' if hint else ''}",
                volume=name,
                waiting_may_help=False,
            )
        try:
            folder = layout.pod_folder(self.root, spec.uid(pod))
            return kind, Volume(
                pod=pod,
                name=name,
                source=declared.get(key) or {},
                folder=folder.volume(kind.plugin, name),
                state=folder.volume_state(kind.plugin, name),
                sources=self.sources,
                host=self.host,
            )
        except Invalid as error:
            raise VolumeError(str(error), volume=name, waiting_may_help=False) from error

    # -- a container's share --------------------------------------------------------------------

    def mounts(
        self,
        pod: Json,
        container: Json,
        mounted: Mapping[str, Mounted],
        env: Mapping[str, str],
        occasion: Occasion | None = None,
    ) -> list[Json]:
        """CRI Mounts (dicts with api.proto's field names) for one container about to be created.

        `mounted` is what `setup` returned; `env` its variables, for subPathExpr. Raises
        VolumeError with the reason CreateContainerConfigError.
        """
        folder = layout.pod_folder(self.root, spec.uid(pod))
        try:
            with self._locks.of(spec.uid(pod)):
                return container_mounts.mounts_of(
                    pod,
                    container,
                    mounted,
                    env,
                    folder=folder,
                    host=self.host,
                    occasion=occasion or Occasion(),
                )
        except OSError as error:
            raise VolumeError(
                f'can\'t prepare the mounts of container "{container["name"]}": {error}',
                reason=container_mounts.REASON,
            ) from error

    def block_devices(
        self, pod: Json, container: Json, mounted: Mapping[str, Mounted]
    ) -> list[Json]:
        """CRI Devices (`container_path`, `host_path`, `permissions`) of the container's
        volumeDevices. Raises VolumeError."""
        return container_mounts.devices_of(container, mounted)

    def termination_message(self, uid: str, container: str, attempt: int) -> str:
        """What that attempt wrote into its termination message file, at most its last 4096 bytes;
        "" for nothing."""
        folder = layout.pod_folder(self.root, uid)
        try:
            with open(folder.container(container) / str(attempt), "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - MAX_MESSAGE))
                return file.read(MAX_MESSAGE).decode(errors="replace")
        except OSError:
            return ""

    def read_file(self, mounted: Mapping[str, Mounted], volume: str, path: str) -> str | None:
        """A text file in one of a pod's volumes, None where it is not there; never outside of the
        volume. For `environment`'s fileKeyRef. Raises VolumeError."""
        where = mounted.get(volume)
        if where is None or not where.path:
            raise VolumeError(
                f'cannot find the volume "{volume}" referenced by FileKeyRef',
                volume=volume,
                reason=container_mounts.REASON,
            )
        try:
            return subpath.read(where.path, path, _MAX_ENV_FILE).decode(errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise VolumeError(
                f'can\'t read {path!r} in volume "{volume}": {error.strerror}',
                volume=volume,
                reason=container_mounts.REASON,
            ) from error

    # -- the end --------------------------------------------------------------------------------

    def teardown(self, uid: str) -> None:
        """Unmount and remove everything of a pod whose containers are gone. Idempotent.

        What volumes lead to (hostPath, local) is never touched. Raises Failed.
        """
        folder = layout.pod_folder(self.root, uid).path
        try:
            with self._locks.of(uid):
                removal.remove(folder)
        except OSError as error:
            raise Failed(f"the folder of pod {uid} can't be removed: {error}") from error

    def orphans(self) -> set[str]:
        """UIDs of all pods that have a folder here, wanted or not."""
        try:
            with os.scandir(layout.pods_folder(self.root)) as entries:
                return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except FileNotFoundError:
            return set()

    def usage(self, uid: str) -> dict[str, tuple[int, int]]:
        """Bytes and inodes used by each emptyDir of a pod, by volume name."""
        folder = layout.pod_folder(self.root, uid).volumes / empty_dir.TYPE.plugin
        found = {}
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return {}
        for name in names:
            try:
                found[name] = usage.of(folder / name)
            except OSError:
                continue  # torn down meanwhile
        return found

    # -- the root -------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the root folder, and make it a shared mount where the host's is not.

        Only below a shared mount do mounts that are made later reach running containers, and
        theirs the host (mountPropagation). `release` takes the mount away again. Where the kernel
        refuses, that is logged, and pods that ask for propagation are told.
        """
        layout.make(layout.pods_folder(self.root))
        lies_on = mounts.mount_of(self.root)
        if lies_on is not None and lies_on.is_shared:
            return
        try:
            if not mounts.is_mount_point(self.root):
                mounts.bind(self.root, self.root, recursive=True)
            mounts.set_propagation(self.root, mounts.MS_SHARED, recursive=True)
        except OSError as error:
            log.warning("%s can't be made a shared mount: %s", self.root, error)

    def release(self) -> None:
        """Take away every mount below the root, and the root's own. For uninstalling."""
        removal.unmount_below(self.root)


def used(pod: Json) -> list[Json]:
    """The pod's volumes that a container mounts, or takes variables from: no others are set up,
    and one that can't be had does not hold up a pod that never looks at it."""
    names = set()
    for _, container in spec.containers(pod):
        for key in ("volumeMounts", "volumeDevices"):
            names |= {use["name"] for use in container.get(key) or ()}
        for variable in container.get("env") or ():
            names.add(((variable.get("valueFrom") or {}).get("fileKeyRef") or {}).get("volumeName"))
    return [volume for volume in pod["spec"].get("volumes") or () if volume["name"] in names]


def _project(kind: VolumeType, volume: Volume) -> bool:
    """Write the volume's payload; True if that was a change."""
    assert kind.payload is not None
    payload = kind.payload(volume)
    empty_dir.make(volume, empty_dir.MEMORY if kind.in_memory else "")
    # The files get their group as they are written; here they are not to become writable.
    give_folder(volume.folder, volume.fs_group)
    return atomic.write(volume.folder, payload, group=volume.fs_group)


@contextmanager
def _explained(volume: Volume) -> Iterator[None]:
    """Whatever goes wrong with a volume is a VolumeError that names it."""
    try:
        yield
    except VolumeError:
        raise
    except (Invalid, ValueError) as error:
        raise volume.error(str(error), waiting_may_help=False) from error
    except (Failed, OSError) as error:  # not reachable now, the disk is full
        raise volume.error(str(error)) from error
