"""Removes what `garbage` names, through the runtime and from the log folders.

One `Collector` per agent, called by its housekeeping once a minute (containers) and every five
minutes (images), and by `evictor` when the disk is short. One failure never stops the rest; each is
logged once, and the next turn tries again.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from pykubelet.clock import Clock, SystemClock
from pykubelet.errors import PykubeletError
from pykubelet.kubelet.node import garbage
from pykubelet.kubelet.node.garbage import ContainerPolicy, ImagePolicy, Pods
from pykubelet.kubelet.runtime.model import Container, ContainerState, Filesystem, Image, PodRuntime

T = TypeVar("T")

log = logging.getLogger(__name__)


class Runtime(Protocol):
    """What is needed of `..runtime.client.Runtime`."""

    def pods(self, uid: str | None = None) -> Mapping[str, PodRuntime]: ...
    def stop_container(self, id: str, grace: float) -> None: ...
    def remove_container(self, id: str) -> None: ...
    def stop_sandbox(self, id: str) -> None: ...
    def remove_sandbox(self, id: str) -> None: ...
    def images(self) -> tuple[Image, ...]: ...
    def remove_image(self, ref: str) -> None: ...
    def image_filesystems(self) -> tuple[Filesystem, ...]: ...


class Collector:
    """`logs_dir` is /var/log/pods; `keep` are image names that always stay; `say` is told a reason
    and a sentence where a person should know of it (an event)."""

    def __init__(
        self,
        runtime: Runtime,
        logs_dir: Path,
        *,
        keep: Callable[[], Iterable[str]] = tuple,
        say: Callable[[str, str], None] = lambda reason, sentence: None,
        clock: Clock | None = None,
    ) -> None:
        self._runtime = runtime
        self._logs_dir = logs_dir
        self._keep = keep
        self._say = say
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._sightings: garbage.Sightings | None = None
        self._told: set[str] = set()

    # -- containers, sandboxes, logs ------------------------------------------------------------

    def containers(
        self, pods: Pods, policy: ContainerPolicy, *, also_finished: bool = False
    ) -> int:
        """Remove dead containers, dead sandboxes and log folders of pods gone; how many."""
        with self._lock:
            found = self._runtime.pods()
            now = self._clock.wall()
            dead = garbage.dead_containers(found, pods, policy, now, also_finished=also_finished)
            going = {c.id for c in dead if self._try(c.id, self._remove_container, c)}
            sandboxes = garbage.dead_sandboxes(found, pods, going, also_finished=also_finished)
            done = [s for s in sandboxes if self._try(s, self._remove_sandbox, s)]
            return len(going) + len(done) + self._logs(pods)

    def _remove_container(self, container: Container) -> None:
        if container.state is ContainerState.UNKNOWN:
            self._runtime.stop_container(container.id, 0)  # it may be running
        self._runtime.remove_container(container.id)

    def _remove_sandbox(self, sandbox: str) -> None:
        # Stopping again is free, and gives back the network of one that died by itself.
        self._runtime.stop_sandbox(sandbox)
        self._runtime.remove_sandbox(sandbox)

    def _logs(self, pods: Pods) -> int:
        try:
            folders = os.listdir(self._logs_dir)
        except FileNotFoundError:
            return 0
        dead = garbage.dead_log_folders(folders, pods)
        for folder in dead:
            shutil.rmtree(self._logs_dir / folder, ignore_errors=True)
        return len(dead)

    # -- images ---------------------------------------------------------------------------------

    def look_at_images(self, wanted: Iterable[str] = ()) -> tuple[Image, ...]:
        """Note which images are in use now; all images. To be called every few minutes."""
        with self._lock:
            return self._look(wanted)[0]

    def images(self, policy: ImagePolicy, wanted: Iterable[str] = ()) -> int:
        """Keep the images' file system below its threshold, and no image beyond its age; the bytes
        freed. `wanted` are the images of the pods that the node was told to run."""
        with self._lock:
            to_free = self._excess(policy)
            freed = self._remove_images(policy, wanted, to_free)
            if freed < to_free:
                self._tell_once(
                    "FreeDiskSpaceFailed",
                    f"the disk of the images is filled above {policy.high_percent} %, and "
                    f"{to_free - freed} bytes more than all unused images would have to go",
                )
            return freed

    def unused_images(self, wanted: Iterable[str] = ()) -> int:
        """Remove every image that can go, however young; the bytes freed."""
        with self._lock:
            return self._remove_images(ImagePolicy(min_age=0.0), wanted, None)

    def _excess(self, policy: ImagePolicy) -> int:
        most = 0
        for filesystem in self._runtime.image_filesystems():
            try:
                stat = os.statvfs(filesystem.mountpoint)
            except OSError:
                continue  # the runtime lives in another mount namespace
            most = max(
                most,
                garbage.bytes_to_free(
                    stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize, policy
                ),
            )
        return most

    def _look(
        self, wanted: Iterable[str]
    ) -> tuple[tuple[Image, ...], garbage.Sightings, Callable[[Image], bool]]:
        images = self._runtime.images()
        used = garbage.in_use(self._runtime.pods(), wanted, self._keep())
        self._sightings = garbage.sight(self._sightings, images, used, self._clock.monotonic())
        return images, self._sightings, used

    def _remove_images(
        self, policy: ImagePolicy, wanted: Iterable[str], to_free: int | None
    ) -> int:
        images, sightings, used = self._look(wanted)
        freed = 0
        for image in garbage.removable_images(
            images, sightings, used, policy, self._clock.monotonic(), to_free=to_free
        ):
            if self._try(image.id, self._runtime.remove_image, image.id):
                log.info("image %s removed: unused, %d bytes", _name(image), image.size)
                freed += image.size
        return freed

    # -- helpers --------------------------------------------------------------------------------

    def _try(self, id: str, remove: Callable[[T], None], what: T) -> bool:
        try:
            remove(what)
        except PykubeletError as error:
            self._tell_once("", f"{id} can't be removed: {error}")
            return False
        return True

    def _tell_once(self, reason: str, sentence: str) -> None:
        if sentence in self._told:
            return
        if len(self._told) > 100:
            self._told.clear()
        self._told.add(sentence)
        log.warning("%s", sentence)
        if reason:
            self._say(reason, sentence)


def _name(image: Image) -> str:
    return next(iter((*image.tags, *image.digests)), image.id)
