"""What can be thrown away: dead containers and sandboxes, logs of pods gone, images nobody uses.

Pure; `collector` looks, asks here, and removes. Nothing that runs, nothing that a pod which still
exists would be diagnosed by (its last dead container, its last sandbox), and no image that is
pinned, in use or kept by name is ever in an answer.
Source: the reference on garbage collection of containers and images, KEP-4210 (maximum age).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from pykubelet.kubelet.runtime.model import Container, ContainerState, Image, PodRuntime

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ContainerPolicy:
    """`min_age` in seconds; -1 for the two numbers: no bound. Upstream's defaults."""

    min_age: float = 0.0
    max_per_pod_container: int = 1
    max_containers: int = -1


@dataclass(frozen=True, slots=True)
class Pods:
    """What the agent knows of pods, by UID. `known` still have an object, `finished` are those of
    them that will never run again. `complete`: every source has spoken, so that what is not known
    is really gone; without it nothing is taken for gone."""

    known: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    complete: bool = False

    def gone(self, uid: str) -> bool:
        return self.complete and uid not in self.known


def dead_containers(
    found: Mapping[str, PodRuntime],
    pods: Pods,
    policy: ContainerPolicy,
    now: float,
    *,
    also_finished: bool = False,
) -> list[Container]:
    """Containers to remove, oldest attempts first. `now` in wall seconds, as containers have it.

    `also_finished`: take finished pods' containers as well (when the disk is short).
    """
    removed: list[Container] = []
    kept: dict[tuple[str, str], list[Container]] = {}
    for uid, pod in found.items():
        everything = pods.gone(uid) or (also_finished and uid in pods.finished)
        for container in pod.containers:
            if container.state in (ContainerState.RUNNING, ContainerState.CREATED):
                continue
            if policy.min_age and container.created_at > (now - policy.min_age) * _NANO:
                continue
            if everything:
                removed.append(container)
            else:
                kept.setdefault((uid, container.name), []).append(container)
    for key, containers in kept.items():
        containers.sort(key=_age, reverse=True)
        removed += _beyond(kept, key, policy.max_per_pod_container)
    total = sum(map(len, kept.values()))
    if 0 <= policy.max_containers < total:
        each = max(policy.max_containers // len(kept), 1)
        for key in kept:
            removed += _beyond(kept, key, each)
        rest = sorted((c for cs in kept.values() for c in cs), key=_age, reverse=True)
        removed += rest[policy.max_containers :]
    return sorted(removed, key=_age)


def dead_sandboxes(
    found: Mapping[str, PodRuntime],
    pods: Pods,
    removed: Iterable[str] = (),
    *,
    also_finished: bool = False,
) -> list[str]:
    """Ids of sandboxes to remove: not ready, without containers, and not the last of a pod that
    still exists. `removed` are containers about to go, which don't count any more."""
    going = set(removed)
    result: list[str] = []
    for uid, pod in found.items():
        used = {c.sandbox_id for c in pod.containers if c.id not in going}
        everything = pods.gone(uid) or (also_finished and uid in pods.finished)
        newest_first = pod.sandboxes if everything else pod.sandboxes[1:]
        result += [s.id for s in reversed(newest_first) if not s.ready and s.id not in used]
    return result


#: <namespace>_<name>_<uid>, none of which may hold an underscore.
_LOG_FOLDER = re.compile(r"[^_]+_[^_]+_(?P<uid>[^_]+)")


def dead_log_folders(folders: Iterable[str], pods: Pods) -> list[str]:
    """Folders below /var/log/pods whose pod is gone. What isn't named as ours is left alone."""
    return [
        folder
        for folder in folders
        if (match := _LOG_FOLDER.fullmatch(folder)) and pods.gone(match["uid"])
    ]


# -- images -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """Percent of the images' file system, and seconds. `max_age` 0: no image is too old."""

    high_percent: int = 85
    low_percent: int = 80
    min_age: float = 120.0
    max_age: float = 0.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """When an image was first seen here, and since when nobody was seen to use it.

    Monotonic seconds: a clock that jumps makes no image old. `first_seen` is minus infinity for
    what was there before we looked: an agent's restart makes no image young.
    """

    first_seen: float
    idle_since: float


Sightings = Mapping[str, Sighting]  # by image id

_EARLIER = float("-inf")


def sight(
    before: Sightings | None, images: Iterable[Image], used: Callable[[Image], bool], now: float
) -> dict[str, Sighting]:
    """The sightings after this look. `before` None: it is the first since the agent started."""
    found: dict[str, Sighting] = {}
    for image in images:
        seen = (before or {}).get(image.id) or Sighting(_EARLIER if before is None else now, now)
        found[image.id] = replace(seen, idle_since=now) if used(image) else seen
    return found


def in_use(
    found: Mapping[str, PodRuntime], wanted: Iterable[str] = (), keep: Iterable[str] = ()
) -> Callable[[Image], bool]:
    """A test for images that must stay: of any container there is, dead or alive; named in
    `wanted` (pods that are about to start) or in `keep`; or a sandbox image.

    A sandbox's image isn't told by CRI, and runtimes before 2023 (containerd 1.6) don't tell what
    is pinned. Whatever is called `pause` is one, and what was made on this host (`localhost/…`) is
    in no registry: neither could be had again.
    """
    names = {*wanted, *keep}
    for pod in found.values():
        for container in pod.containers:
            names.update((container.image, container.image_ref, container.image_id))
    names = {spelling for name in names if name for spelling in _spellings(name)}

    def used(image: Image) -> bool:
        own = (image.id, *image.tags, *image.digests)
        return not names.isdisjoint(own) or any(map(_CANT_BE_HAD_AGAIN.search, own))

    return used


_CANT_BE_HAD_AGAIN = re.compile(r"/pause[:@]|^localhost/")


def bytes_to_free(capacity: int, available: int, policy: ImagePolicy) -> int:
    """0 while the file system is filled below the high threshold; else what brings it down to the
    low one."""
    if capacity <= 0:
        return 0
    available = min(available, capacity)
    if 100 - available * 100 // capacity < policy.high_percent:
        return 0
    return max(capacity * (100 - policy.low_percent) // 100 - available, 0)


def removable_images(
    images: Iterable[Image],
    sightings: Sightings,
    used: Callable[[Image], bool],
    policy: ImagePolicy,
    now: float,
    *,
    to_free: int | None = 0,
) -> list[Image]:
    """The images to remove, longest unused first, until their sizes make up `to_free` bytes (None:
    all that can go), and those beyond the maximum age in any case."""
    candidates = [i for i in images if not i.pinned and not used(i) and i.id in sightings]
    candidates.sort(key=lambda i: (sightings[i.id].idle_since, sightings[i.id].first_seen, i.id))
    removed: list[Image] = []
    freed = 0
    for image in candidates:
        seen = sightings[image.id]
        too_old = 0 < policy.max_age < now - seen.idle_since
        young = now - seen.first_seen < policy.min_age
        if too_old or ((to_free is None or freed < to_free) and not young):
            removed.append(image)
            freed += image.size
    return removed


def _beyond(
    kept: dict[tuple[str, str], list[Container]], key: tuple[str, str], number: int
) -> list[Container]:
    """Take what is beyond the newest `number` out of `kept`."""
    if number < 0:
        return []
    kept[key], surplus = kept[key][:number], kept[key][number:]
    return surplus


def _age(container: Container) -> tuple[int, int]:
    return container.attempt, container.created_at


def _spellings(name: str) -> tuple[str, ...]:
    """A reference as a pod may write it, and as a runtime lists it."""
    if name.startswith("sha256:"):
        return (name,)
    first, slash, _ = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        full = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    else:
        full = name
    last = full.rpartition("/")[2]
    if ":" not in last and "@" not in last:
        full += ":latest"
    if "@" in full and ":" in full.rpartition("/")[2].partition("@")[0]:
        # A name with both tag and digest goes by its digest.
        full = f"{full.partition('@')[0].rpartition(':')[0]}@{full.partition('@')[2]}"
    return (name, full)
