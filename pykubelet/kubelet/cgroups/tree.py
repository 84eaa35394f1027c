"""The cgroup tree, as the rest of the agent sees it.

`kubepods` holds every pod, `kubepods/burstable` and `kubepods/besteffort` those of these QoS
classes, and each pod has a group of its own in which the runtime makes the containers'. The runtime
neither limits nor removes pod groups: that is done here. This module holds what both kernels'
ways have in common; `v2` and `v1` fill in the files, `systemd` makes the folders where systemd owns
the tree, `names` says where things are, `limits` and `allocation` what to set.

Every method is idempotent, and safe to call from several threads for different pods.
"""

from __future__ import annotations

import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pykubelet.errors import Failed, NotFound
from pykubelet.kubelet.cgroups import allocation, cpu
from pykubelet.kubelet.cgroups.allocation import NodeReservations, Reservation
from pykubelet.kubelet.cgroups.limits import PodLimits
from pykubelet.kubelet.cgroups.names import Names
from pykubelet.kubelet.cgroups.pressure import Pressure
from pykubelet.objects import resources

if TYPE_CHECKING:
    from pykubelet.kubelet.cgroups.systemd import Slices

__all__ = [
    "Cgroups",
    "HostCgroups",
    "NodeReservations",
    "PodUsage",
    "Reservation",
    "detect",
]

Json = dict[str, Any]

MOUNT = "/sys/fs/cgroup"

_CONTAINER = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HostCgroups:
    """What this host's kernel can do; goes into `limits.Rules`."""

    version: int
    driver: str
    controllers: frozenset[str] = frozenset()
    swap_controller: bool = False
    page_sizes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodUsage:
    """One group's figures now: CPU in nanoseconds since it began, memory in bytes.

    None: the host does not count it. The working set is what can't be reclaimed at once: usage
    without inactive file pages, which is what eviction looks at.
    """

    cpu_nanoseconds: int | None = None
    memory_usage: int | None = None
    memory_working_set: int | None = None
    memory_rss: int | None = None
    memory_limit: int | None = None
    page_faults: int | None = None
    major_page_faults: int | None = None
    swap: int | None = None
    pids: int | None = None
    cpu_periods: int | None = None
    throttled_periods: int | None = None
    throttled_nanoseconds: int | None = None


class Cgroups(ABC):
    """The tree of one agent. Made by `detect`.

    Raises Failed (naming file and cause) where the kernel or systemd refuses, TimedOut where
    killed processes don't go away.
    """

    def __init__(self, names: Names, mount: str = MOUNT, slices: Slices | None = None) -> None:
        self.names = names
        self.mount = Path(mount)
        self._slices = slices
        self._node: NodeReservations | None = None
        self._qos_lock = threading.Lock()
        self._qos_set: Mapping[str, PodLimits] = {}

    # -- the tree -------------------------------------------------------------------------------

    def ensure_tree(self, node: NodeReservations) -> None:
        """Make `kubepods` and the QoS groups; limit them to what the pods may have."""
        self._node, self._qos_set = node, {}
        self._make(self.names.kubepods(), allocation.of_all_pods(node))
        for qos in (resources.BURSTABLE, resources.BEST_EFFORT):
            self._make(self.names.qos(qos), PodLimits(qos, cpu_shares=cpu.MIN_SHARES))
        for word, path, reserved in (
            ("system-reserved", node.system_cgroup, node.system),
            ("kube-reserved", node.kube_cgroup, node.kube),
        ):
            compressible = f"{word}-compressible" in node.enforce
            if word in node.enforce or compressible:
                self._reserve(word, path, reserved, compressible)

    def update_qos(self, pods: Iterable[Json]) -> None:
        """Weigh the QoS groups anew, from the pods that are active. Unchanged: nothing written.

        A burstable group weighs what its pods asked for together; best effort always the least.
        """
        wanted = allocation.of_classes(pods, self._node)
        with self._qos_lock:
            for qos, limits in wanted.items():
                if self._qos_set.get(qos) != limits:
                    self._apply(self.names.qos(qos), limits)
            self._qos_set = wanted

    # -- pods -----------------------------------------------------------------------------------

    def ensure_pod(self, pod: Json, limits: PodLimits) -> None:
        """Make the pod's group, limited. To be called before its sandbox is made."""
        self._make(self._of(pod), limits)

    def update_pod(self, pod: Json, limits: PodLimits) -> None:
        """New limits for a pod that runs (in-place resize)."""
        self._apply(self._of(pod), limits)

    def parent(self, pod: Json) -> str:
        """CRI's cgroup_parent for the pod's sandbox and containers."""
        return self.names.parent(pod["metadata"]["uid"], resources.qos_class(pod))

    def remove_pod(self, uid: str) -> None:
        """Kill what is left in the pod's group and remove it. Nothing there is fine."""
        for path in self.names.places(uid):
            self._remove(path)

    def pods(self) -> set[str]:
        """The UIDs that have a group in the tree, wanted or orphaned."""
        found: set[str] = set()
        for qos in (resources.GUARANTEED, resources.BURSTABLE, resources.BEST_EFFORT):
            for folder in self._folders(self.names.qos(qos)):
                uid = self.names.uid(folder)
                if uid:
                    found.add(uid)
        return found

    def usage(self, uid: str) -> PodUsage:
        """The pod's figures. Raises NotFound if it has no group."""
        return self.usage_of(self._place(uid))

    def containers(self, uid: str) -> dict[str, PodUsage]:
        """Figures of the pod's containers, sandbox included, by id. Raises NotFound as `usage`.

        The runtime makes their groups below the pod's, named `<id>` or `<runtime>-<id>.scope`.
        Reading them costs a fraction of asking the runtime for all of its statistics.
        """
        path = self._place(uid)
        found: dict[str, PodUsage] = {}
        for folder in self._folders(path):
            match = _CONTAINER.search(folder)
            if match:
                try:
                    found[match[0]] = self.usage_of(f"{path}/{folder}")
                except NotFound:
                    continue  # it ended just now
        return found

    def processes(self, uid: str) -> list[int]:
        """The ids of the pod's processes now, sandbox included. Raises NotFound without a group."""
        return self._processes(self._place(uid))

    # -- what the kernels differ in -------------------------------------------------------------

    @property
    @abstractmethod
    def host(self) -> HostCgroups:
        """What the host can do."""

    @abstractmethod
    def usage_of(self, path: str) -> PodUsage:
        """Figures of any group by its path below the mount point, `/` being the host."""

    @abstractmethod
    def pressure(self, uid: str | None = None) -> Pressure | None:
        """PSI of a pod, of the host for None. None if the kernel doesn't say."""

    @abstractmethod
    def notes(self) -> list[str]:
        """Plain sentences on what this host can't do for its pods."""

    @abstractmethod
    def _make(self, path: str, limits: PodLimits) -> None: ...

    @abstractmethod
    def _apply(self, path: str, limits: PodLimits) -> None: ...

    @abstractmethod
    def _remove(self, path: str) -> None: ...

    @abstractmethod
    def _exists(self, path: str) -> bool: ...

    @abstractmethod
    def _folders(self, path: str) -> set[str]: ...

    @abstractmethod
    def _processes(self, path: str) -> list[int]: ...

    # -- helpers --------------------------------------------------------------------------------

    def _of(self, pod: Json) -> str:
        return self.names.pod(pod["metadata"]["uid"], resources.qos_class(pod))

    def _place(self, uid: str) -> str:
        for path in self.names.places(uid):
            if self._exists(path):
                return path
        raise NotFound(f"no cgroup of pod {uid} below {self.names.kubepods()}")

    def _reserve(self, word: str, path: str, reserved: Reservation, compressible: bool) -> None:
        if not path or not self._exists(path):
            raise Failed(
                f"enforceNodeAllocatable asks for {word}, but its cgroup {path or '(not named)'} "
                f"does not exist below {self.mount}; make it, or take {word} off the list"
            )
        self._apply(
            path,
            PodLimits(
                cpu_shares=cpu.milli_to_shares(reserved.cpu_milli) if reserved.cpu_milli else None,
                memory=None if compressible else reserved.memory or None,
                pids=None if compressible else reserved.pids or None,
            ),
        )


def detect(root: str, driver: str = "cgroupfs", mount: str = MOUNT) -> Cgroups:
    """The tree for this host: cgroup v2 where `mount` is the unified hierarchy, else v1.

    `root` is the group below which `kubepods` goes (upstream's cgroupRoot), `driver` the runtime's
    own answer, `cgroupfs` or `systemd`. Raises Failed if no cgroups are mounted.
    """
    slices = None
    if driver == "systemd":
        from pykubelet.kubelet.cgroups.systemd import Slices

        slices = Slices()
    names = Names(root, driver)
    if os.path.exists(os.path.join(mount, "cgroup.controllers")):
        from pykubelet.kubelet.cgroups.v2 import UnifiedCgroups

        return UnifiedCgroups(names, mount, slices)
    from pykubelet.kubelet.cgroups.v1 import LegacyCgroups

    return LegacyCgroups(names, mount, slices)


@contextmanager
def rim(doing: str, path: str) -> Iterator[None]:
    """Map what the kernel says to the project's errors, with the words that find the cause."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"{doing} cgroup {path}: {error}") from error
    except OSError as error:
        raise Failed(f"{doing} cgroup {path}: {error}") from error


def processes_below(folder: str) -> list[int]:
    """The processes in a group's folder and all below it."""
    found: list[int] = []
    for below, _, _ in os.walk(folder):
        try:
            with open(os.path.join(below, "cgroup.procs")) as procs:
                found.extend(map(int, procs.read().split()))
        except OSError:
            continue  # gone meanwhile, or a threaded group
    return found
