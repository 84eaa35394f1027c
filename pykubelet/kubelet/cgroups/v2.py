"""The tree on cgroup v2, the unified hierarchy: what this project is built for.

A controller's files appear in a group when its parent switches the controller on for its children
(cgroup.subtree_control), so making a group begins at the mount point. Killing is the kernel's work
here: one write to cgroup.kill reaches every process below, and cgroup.events tells when they are
gone. Files and their types are `controllers`', what to write `limits`'.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from pykubelet.errors import Failed, NotFound, TimedOut
from pykubelet.kubelet.cgroups import cpu, pressure
from pykubelet.kubelet.cgroups.controllers import Group
from pykubelet.kubelet.cgroups.hugepages import page_sizes
from pykubelet.kubelet.cgroups.limits import PodLimits
from pykubelet.kubelet.cgroups.names import Names
from pykubelet.kubelet.cgroups.pressure import Pressure
from pykubelet.kubelet.cgroups.tree import Cgroups, HostCgroups, PodUsage, processes_below, rim

if TYPE_CHECKING:
    from pykubelet.kubelet.cgroups.systemd import Slices

log = logging.getLogger(__name__)

WANTED = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")

_LOST = {
    "cpu": "CPU requests and limits of pods are not enforced",
    "cpuset": "containers can't be bound to CPUs",
    "memory": "memory limits of pods are not enforced",
    "pids": "the number of a pod's processes is not limited",
    "io": "there are no I/O figures",
    "hugetlb": "huge page limits are not enforced",
}

#: Seconds that killed processes have to go. One in uninterruptible sleep may take longer: the
#: caller comes again.
KILL_TIMEOUT = 5.0


class UnifiedCgroups(Cgroups):
    def __init__(self, names: Names, mount: str, slices: Slices | None = None) -> None:
        super().__init__(names, mount, slices)
        self._refused: set[tuple[str, str]] = set()

    @property
    def host(self) -> HostCgroups:
        root = Group(str(self.mount))
        with rim("reading", str(self.mount)):
            available = root.controller.controllers & set(WANTED)
        return HostCgroups(
            version=2,
            driver=self.names.driver,
            controllers=available,
            swap_controller="memory" in available and _counts_swap(str(self.mount)),
            page_sizes=page_sizes() if "hugetlb" in available else (),
        )

    def notes(self) -> list[str]:
        missing = [name for name in WANTED if name not in self.host.controllers]
        found = [
            f"The cgroup controller {name} is not available: {_LOST[name]}." for name in missing
        ]
        if not os.path.exists("/proc/pressure/memory"):
            found.append("The kernel tells no pressure figures (PSI): start it with psi=1.")
        if "memory" not in missing and not self.host.swap_controller:
            found.append("The kernel can't limit swap by group: a container may use the host's.")
        return found

    def usage_of(self, path: str) -> PodUsage:
        group = self._group(path)
        if not os.path.isdir(group.folder):
            raise NotFound(f"no cgroup {path}")
        cpu_stat = group.cpu.get_content("stat") or {}
        memory = group.memory.get_content("stat") or {}
        current = group.memory.get_content("current")
        return PodUsage(
            cpu_nanoseconds=_nano(cpu_stat.get("usage_usec")),
            memory_usage=current,
            memory_working_set=(
                None if current is None else max(current - memory.get("inactive_file", 0), 0)
            ),
            memory_rss=memory.get("anon"),
            memory_limit=group.memory.get_content("max"),
            page_faults=memory.get("pgfault"),
            major_page_faults=memory.get("pgmajfault"),
            swap=group.memory.get_content("swap_current"),
            pids=group.pids.get_content("current"),
            cpu_periods=cpu_stat.get("nr_periods"),
            throttled_periods=cpu_stat.get("nr_throttled"),
            throttled_nanoseconds=_nano(cpu_stat.get("throttled_usec")),
        )

    def pressure(self, uid: str | None = None) -> Pressure | None:
        if uid is None:
            return pressure.of_host()
        group = self._group(self._place(uid))
        texts: dict[str, str] = {}
        for resource in pressure.RESOURCES:
            try:
                texts[resource] = getattr(group, resource).pressure
            except OSError:
                continue  # switched off (cgroup.pressure), or no PSI in this kernel
        return pressure.parse(texts) if texts else None

    # -- making ---------------------------------------------------------------------------------

    def _make(self, path: str, limits: PodLimits) -> None:
        if self._slices:
            self._slices.start(path.rpartition("/")[2], limits, self.mount / path.lstrip("/"))
        with rim("making", path):
            for group in self._group(path).line()[1:]:
                self._delegate(group.parent)
                os.makedirs(group.folder, exist_ok=True)
        self._write(path, limits)

    def _apply(self, path: str, limits: PodLimits) -> None:
        if self._slices:
            self._slices.set(path.rpartition("/")[2], limits)
        self._write(path, limits)

    def _delegate(self, group: Group) -> None:
        """Switch on, for the group's children, every controller of ours that it has."""
        core = group.controller
        wanted = (core.get_content("controllers") or frozenset()) & set(WANTED)
        for name in sorted(wanted - (core.get_content("subtree_control") or frozenset())):
            try:
                core.set_property(b"cgroup.subtree_control", f"+{name}")
            except OSError as error:
                # One that can't be had (EBUSY: the group holds processes itself) is no reason
                # to do without the others, nor to say so for every pod.
                if (group.folder, name) not in self._refused:
                    self._refused.add((group.folder, name))
                    log.warning("cgroup %s can't pass on %s: %s", group.folder, name, error)

    def _write(self, path: str, limits: PodLimits) -> None:
        group = self._group(path)
        enabled = self._group(path.rpartition("/")[0]).controller.get_content("subtree_control")
        enabled = enabled or frozenset()
        with rim("limiting", path):
            if "cpu" in enabled:
                if limits.cpu_shares is not None:
                    group.cpu.weight = cpu.shares_to_weight(limits.cpu_shares)
                if limits.cpu_quota is not None:
                    group.cpu.max = (_or_max(limits.cpu_quota), limits.cpu_period)
            if "memory" in enabled and limits.memory is not None:
                group.memory.max = _or_max(limits.memory)
            if "pids" in enabled and limits.pids is not None:
                group.pids.max = _or_max(limits.pids)
            if "hugetlb" in enabled:
                for size, limit in limits.hugepages.items():
                    group.hugetlb.set_max(size, limit)
            for file, value in limits.unified.items():
                if file.partition(".")[0] in enabled:
                    group.controller.set_property(file.encode(), value)

    # -- removing -------------------------------------------------------------------------------

    def _remove(self, path: str) -> None:
        group = self._group(path)
        if not os.path.isdir(group.folder):
            return
        self._kill(group)
        if self._slices:
            self._slices.stop(path.rpartition("/")[2])
        with rim("removing", path):
            for folder, _, _ in os.walk(group.folder, topdown=False):
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    continue  # systemd, or the runtime, was faster

    def _kill(self, group: Group) -> None:
        deadline = time.monotonic() + KILL_TIMEOUT
        try:
            with open(os.path.join(group.folder, "cgroup.events")) as events:
                poll = select.poll()
                poll.register(events, select.POLLPRI | select.POLLERR)
                while _populated(events.read()):
                    _kill_all(group)
                    if time.monotonic() > deadline:
                        raise TimedOut(
                            f"processes in cgroup {group.folder} outlive SIGKILL by "
                            f"{KILL_TIMEOUT:g} s: {processes_below(group.folder)}"
                        )
                    poll.poll(200)
                    events.seek(0)
        except FileNotFoundError:
            return  # gone meanwhile
        except OSError as error:
            raise Failed(f"killing what is in cgroup {group.folder}: {error}") from error

    # -- looking --------------------------------------------------------------------------------

    def _exists(self, path: str) -> bool:
        return os.path.isdir(self._group(path).folder)

    def _folders(self, path: str) -> set[str]:
        try:
            with os.scandir(self._group(path).folder) as entries:
                return {entry.name for entry in entries if entry.is_dir()}
        except FileNotFoundError:
            return set()

    def _processes(self, path: str) -> list[int]:
        return processes_below(self._group(path).folder)

    def _group(self, path: str) -> Group:
        return Group(str(self.mount)).below(path)


def _nano(microseconds: int | None) -> int | None:
    return None if microseconds is None else microseconds * 1000


def _counts_swap(mount: str) -> bool:
    """Whether groups have memory.swap.max. The root has none, so look at what is below it."""
    with os.scandir(mount) as entries:
        groups = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    limiting = [group for group in groups if os.path.exists(f"{group}/memory.max")]
    if limiting:
        return any(os.path.exists(f"{group}/memory.swap.max") for group in limiting)
    return os.path.exists("/proc/swaps")  # no group to look at: a kernel with swap counts it


def _or_max(limit: int) -> int | None:
    return None if limit == cpu.UNLIMITED else limit


def _populated(events: str) -> bool:
    return "populated 1" in events


def _kill_all(group: Group) -> None:
    try:
        group.controller.kill = 1
    except FileNotFoundError:
        # Before Linux 5.14: one by one. What forks meanwhile is caught by the next round.
        for pid in processes_below(group.folder):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
