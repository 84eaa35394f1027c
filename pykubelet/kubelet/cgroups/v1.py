"""The tree on cgroup v1, and on hosts that mix both versions (hybrid).

Each controller has a hierarchy of its own here, so a pod's group is a folder in every one of them:
in those with limits (cpu, memory, pids, hugetlb), and in all others that the runtime puts the pod's
processes into. Container limits are the runtime's work and hold; at the pod's level the simple ones
are set; what there is none of, `notes` says. cgroupspy's own nodes and v1 controllers carry it.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cgroupspy.controllers import Controller
from cgroupspy.nodes import Node

from pykubelet.errors import Failed, NotFound, TimedOut
from pykubelet.kubelet.cgroups import pressure
from pykubelet.kubelet.cgroups.controllers import PidsController
from pykubelet.kubelet.cgroups.hugepages import page_sizes
from pykubelet.kubelet.cgroups.limits import PodLimits
from pykubelet.kubelet.cgroups.names import Names
from pykubelet.kubelet.cgroups.pressure import Pressure
from pykubelet.kubelet.cgroups.tree import Cgroups, HostCgroups, PodUsage, processes_below, rim

if TYPE_CHECKING:
    from pykubelet.kubelet.cgroups.systemd import Slices

KILL_TIMEOUT = 5.0
_UNLIMITED = -1

#: Mount options that are controllers.
_KNOWN = frozenset(
    (
        *("cpu", "cpuacct", "cpuset", "memory", "devices", "blkio", "pids", "hugetlb"),
        *("freezer", "net_cls", "net_prio", "perf_event", "rdma", "misc"),
    )
)


class HugetlbController(Controller):
    """hugetlb.<size>.limit_in_bytes, the size being an argument."""

    def set_limit(self, page_size: str, limit: int) -> None:
        self.set_property(f"hugetlb.{page_size}.limit_in_bytes".encode(), limit)


class LegacyNode(Node):
    """cgroupspy's node, with the controllers that it lacks."""

    CONTROLLERS = {  # noqa: RUF012 - as the base class has it
        **Node.CONTROLLERS,
        b"pids": PidsController,
        b"hugetlb": HugetlbController,
    }


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mount: its folder, and the controllers there (none for systemd's, and for unified)."""

    folder: str
    controllers: frozenset[str]


class LegacyCgroups(Cgroups):
    def __init__(self, names: Names, mount: str, slices: Slices | None = None) -> None:
        super().__init__(names, mount, slices)
        self.hierarchies = _hierarchies(mount)
        if not self.hierarchies:
            raise Failed(
                f"no cgroups below {mount}: mount them "
                f"(`mount -t cgroup2 none {mount}`), or start with systemd"
            )

    @property
    def host(self) -> HostCgroups:
        controllers = frozenset(c for h in self.hierarchies for c in h.controllers)
        memory = self._hierarchy("memory")
        return HostCgroups(
            version=1,
            driver=self.names.driver,
            controllers=controllers,
            swap_controller=bool(memory)
            and os.path.exists(os.path.join(memory or "", "memory.memsw.limit_in_bytes")),
            page_sizes=page_sizes() if "hugetlb" in controllers else (),
        )

    def notes(self) -> list[str]:
        kind = "mixes cgroup v1 and v2" if self._hybrid() else "has cgroup v1"
        found = [
            f"This host {kind}: containers are limited by the runtime, but pods get no memory "
            "protection, no throttling before the limit and no pressure figures of their own; "
            "boot with systemd.unified_cgroup_hierarchy=1 for cgroup v2."
        ]
        for name, lost in (
            ("cpu", "CPU limits don't hold"),
            ("memory", "memory limits don't hold"),
            ("pids", "the number of a pod's processes is not limited"),
            ("hugetlb", "huge page limits don't hold"),
        ):
            if name not in self.host.controllers:
                found.append(f"The cgroup controller {name} is not mounted: {lost}.")
        if not self.host.swap_controller:
            found.append("The kernel can't limit swap by group: a container may use the host's.")
        return found

    def usage_of(self, path: str) -> PodUsage:
        if not self._exists(path):
            raise NotFound(f"no cgroup {path}")
        names = ("cpu", "cpuacct", "memory", "pids")
        cpu, acct, memory, pids = (self._controller(name, path) for name in names)
        cpu_stat = (cpu.get_content("stat") if cpu else None) or {}
        stat = (memory.get_content("stat") if memory else None) or {}
        usage = memory.get_content("usage_in_bytes") if memory else None
        limit = stat.get("hierarchical_memory_limit")
        return PodUsage(
            cpu_nanoseconds=acct.get_content("usage") if acct else None,
            memory_usage=usage,
            memory_working_set=(
                None if usage is None else max(usage - stat.get("total_inactive_file", 0), 0)
            ),
            memory_rss=stat.get("total_rss"),
            # The kernel's "none" is the largest multiple of a page.
            memory_limit=None if limit is None or limit >= 1 << 62 else limit,
            page_faults=stat.get("total_pgfault"),
            major_page_faults=stat.get("total_pgmajfault"),
            swap=stat.get("total_swap"),
            pids=pids.get_content("current") if pids else None,
            cpu_periods=cpu_stat.get("nr_periods"),
            throttled_periods=cpu_stat.get("nr_throttled"),
            throttled_nanoseconds=cpu_stat.get("throttled_time"),
        )

    def pressure(self, uid: str | None = None) -> Pressure | None:
        """The host's; cgroup v1 knows no pressure by group."""
        return pressure.of_host() if uid is None else None

    # -- making ---------------------------------------------------------------------------------

    def _make(self, path: str, limits: PodLimits) -> None:
        if self._slices:
            systemd = self._systemd_folder()
            if systemd:
                folder = os.path.join(systemd, path.lstrip("/"))
                self._slices.start(path.rpartition("/")[2], limits, Path(folder))
        with rim("making", path):
            for hierarchy in self.hierarchies:
                self._make_in(hierarchy, path)
        self._write(path, limits)

    def _make_in(self, hierarchy: Hierarchy, path: str) -> None:
        leaf = hierarchy.folder + path
        try:
            os.mkdir(leaf)  # the groups above are there but for the first time
            if "cpuset" in hierarchy.controllers:
                _inherit_cpuset(os.path.dirname(leaf), leaf)
            return
        except (FileExistsError, FileNotFoundError):
            folder = hierarchy.folder
        for step in path.strip("/").split("/"):
            parent, folder = folder, os.path.join(folder, step)
            os.makedirs(folder, exist_ok=True)
            if "cpuset" in hierarchy.controllers:
                _inherit_cpuset(parent, folder)

    def _apply(self, path: str, limits: PodLimits) -> None:
        if self._slices:
            self._slices.set(path.rpartition("/")[2], limits)
        self._write(path, limits)

    def _write(self, path: str, limits: PodLimits) -> None:
        with rim("limiting", path):
            cpu = self._controller("cpu", path)
            if cpu and limits.cpu_shares is not None:
                cpu.shares = limits.cpu_shares
            if cpu and limits.cpu_quota is not None:
                # The period first: a quota is checked against the parent's by their ratio.
                cpu.cfs_quota_us = _UNLIMITED
                cpu.cfs_period_us = limits.cpu_period
                cpu.cfs_quota_us = limits.cpu_quota
            memory = self._controller("memory", path)
            if memory and limits.memory is not None:
                memory.limit_in_bytes = limits.memory
            pids = self._controller("pids", path)
            if pids and limits.pids is not None:
                pids.max = None if limits.pids == _UNLIMITED else limits.pids
            hugetlb = self._controller("hugetlb", path)
            if hugetlb:
                for size, limit in limits.hugepages.items():
                    hugetlb.set_limit(size, limit)

    # -- removing -------------------------------------------------------------------------------

    def _remove(self, path: str) -> None:
        folders = [os.path.join(h.folder, path.lstrip("/")) for h in self.hierarchies]
        present = [folder for folder in folders if os.path.isdir(folder)]
        if not present:
            return
        deadline = time.monotonic() + KILL_TIMEOUT
        while processes := {pid for folder in present for pid in processes_below(folder)}:
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"processes in cgroup {path} outlive SIGKILL by {KILL_TIMEOUT:g} s: "
                    f"{sorted(processes)}"
                )
            for pid in processes:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.01)  # cgroup v1 has no event for it
        if self._slices:
            self._slices.stop(path.rpartition("/")[2])
        with rim("removing", path):
            for top in present:
                for folder, _, _ in os.walk(top, topdown=False):
                    _rmdir(folder, deadline)

    # -- looking --------------------------------------------------------------------------------

    def _exists(self, path: str) -> bool:
        return any(
            os.path.isdir(os.path.join(h.folder, path.lstrip("/"))) for h in self.hierarchies
        )

    def _folders(self, path: str) -> set[str]:
        found: set[str] = set()
        for hierarchy in self.hierarchies:
            try:
                with os.scandir(os.path.join(hierarchy.folder, path.lstrip("/"))) as entries:
                    found.update(entry.name for entry in entries if entry.is_dir())
            except FileNotFoundError:
                continue
        return found

    def _processes(self, path: str) -> list[int]:
        folders = (os.path.join(h.folder, path.lstrip("/")) for h in self.hierarchies)
        return sorted({pid for folder in folders for pid in processes_below(folder)})

    def _hierarchy(self, controller: str) -> str | None:
        return next((h.folder for h in self.hierarchies if controller in h.controllers), None)

    def _hybrid(self) -> bool:
        return any(
            os.path.exists(os.path.join(h.folder, "cgroup.controllers")) for h in self.hierarchies
        )

    def _systemd_folder(self) -> str | None:
        return next((h.folder for h in self.hierarchies if h.folder.endswith("/systemd")), None)

    def _controller(self, name: str, path: str) -> Controller | None:
        """cgroupspy's typed files of one controller in a group; None if it isn't mounted."""
        folder = self._hierarchy(name)
        if folder is None:
            return None
        # cgroupspy tells controllers by the folder's name; co-mounted ones ("cpu,cpuacct") need
        # to be told: the controller is looked up by name, and the node only carries the path.
        node = LegacyNode(folder)
        for step in path.strip("/").split("/"):
            node = LegacyNode(step, node) if step else node
        return LegacyNode.CONTROLLERS[name.encode()](node)


def _hierarchies(mount: str) -> list[Hierarchy]:
    """The cgroup mounts at or below `mount`, of both versions, each once."""
    found: list[Hierarchy] = []
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            fields, _, rest = line.partition(" - ")
            folder = fields.split()[4]
            kind, _, options = rest.split()[:3]
            if kind not in ("cgroup", "cgroup2") or not f"{folder}/".startswith(f"{mount}/"):
                continue
            controllers = frozenset() if kind == "cgroup2" else frozenset(options.split(","))
            found.append(Hierarchy(folder, controllers & _KNOWN))
    return found


def _inherit_cpuset(parent: str, folder: str) -> None:
    """A new cpuset is empty, and nothing can run in an empty one."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        with open(os.path.join(folder, file)) as own:
            if own.read().strip():
                continue
        with open(os.path.join(parent, file)) as above:
            inherited = above.read().strip()
        with open(os.path.join(folder, file), "w") as own:
            own.write(inherited)


def _rmdir(folder: str, deadline: float) -> None:
    """The last process leaves a group a moment after it is gone from the list (EBUSY)."""
    while True:
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        return
