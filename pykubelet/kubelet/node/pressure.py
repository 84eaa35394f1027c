"""How much memory, disk and how many processes the node has left.

`Observer` reads the figures that `eviction`'s thresholds are compared with, by upstream's formulas:
a dozen small reads, no process is started. `Alarm` sleeps until the next look is due, and wakes
earlier when the kernel reports that tasks stall for memory (a PSI trigger), so that looking every
ten seconds is soon enough.
"""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable, Iterable

from pykubelet.errors import PykubeletError
from pykubelet.kubelet.cgroups.tree import Cgroups
from pykubelet.kubelet.node import readings
from pykubelet.kubelet.node.eviction import Observation

log = logging.getLogger(__name__)

#: Upstream's eviction monitoring period, in seconds.
PERIOD = 10.0

#: Wake when tasks lost 300 ms to memory within two seconds; shorter windows need CAP_SYS_RESOURCE.
_TRIGGER = b"some 300000 2000000\0"  # the kernel overwrites the last byte


class Observer:
    """`root_dir` is on nodefs; `image_dirs()` are where the runtime keeps images."""

    def __init__(
        self,
        root_dir: str,
        cgroups: Cgroups | None = None,
        image_dirs: Callable[[], Iterable[str]] = tuple,
        proc: str = "/proc",
    ) -> None:
        self._root_dir = root_dir
        self._cgroups = cgroups
        self._image_dirs = image_dirs
        self._proc = proc

    def observe(self) -> dict[str, Observation]:
        """By signal. What can't be read is left out: no pod is evicted on a guess."""
        found: dict[str, Observation] = {}
        memory = self._memory()
        if memory:
            found["memory.available"] = memory
        of_pods = self._memory_of_pods()
        if of_pods:
            found["allocatableMemory.available"] = of_pods
        found.update(_filesystem("nodefs", self._root_dir))
        image_dir = next(iter(self._image_dirs()), None)
        if image_dir:
            for name in ("imagefs", "containerfs"):
                found.update(_filesystem(name, image_dir))
        processes = self._processes()
        if processes:
            found["pid.available"] = processes
        return found

    def _memory(self) -> Observation | None:
        """Capacity less the working set: what is free, and file pages that nobody used lately."""
        known = readings.meminfo(self._proc)
        if not known.keys() >= {"MemTotal", "MemFree", "Inactive(file)"}:
            return None
        return Observation(known["MemFree"] + known["Inactive(file)"], known["MemTotal"])

    def _memory_of_pods(self) -> Observation | None:
        if self._cgroups is None:
            return None
        try:
            usage = self._cgroups.usage_of(self._cgroups.names.kubepods())
        except PykubeletError:
            return None  # the tree isn't made yet
        if usage.memory_limit is None or usage.memory_working_set is None:
            return None
        left = max(usage.memory_limit - usage.memory_working_set, 0)
        return Observation(left, usage.memory_limit)

    def _processes(self) -> Observation | None:
        most, now = readings.max_pids(self._proc), readings.tasks(self._proc)
        return Observation(max(most - now, 0), most) if most and now else None


class Alarm:
    """Waits for the next look: `wait` ends after its time, when memory stalls, or by `ring`."""

    def __init__(self, proc: str = "/proc") -> None:
        self._poll = select.poll()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._bell, select.POLLIN)
        self._trigger = self._open_trigger(f"{proc}/pressure/memory")

    def wait(self, seconds: float = PERIOD) -> bool:
        """Whether something woke us before the time was up."""
        woken = False
        for fd, event in self._poll.poll(seconds * 1000):
            woken = True
            if fd == self._bell:
                os.eventfd_read(self._bell)
            elif event & select.POLLERR:
                self._drop_trigger()  # its group is gone; look by the clock alone
        return woken

    def ring(self) -> None:
        """Wake the one who waits: to stop, or to look now."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        self._drop_trigger()
        os.close(self._bell)

    def _open_trigger(self, path: str) -> int | None:
        try:
            fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None  # a kernel without PSI
        try:
            os.write(fd, _TRIGGER)
        except OSError:
            os.close(fd)
            return None  # not allowed here
        self._poll.register(fd, select.POLLPRI)
        return fd

    def _drop_trigger(self) -> None:
        if self._trigger is not None:
            self._poll.unregister(self._trigger)
            os.close(self._trigger)
            self._trigger = None


def _filesystem(name: str, folder: str) -> dict[str, Observation]:
    seen = readings.filesystem(folder)
    if seen is None:
        return {}
    found = {f"{name}.available": Observation(seen.available, seen.capacity)}
    if seen.inodes:  # btrfs and others count none
        found[f"{name}.inodesFree"] = Observation(seen.inodes_free, seen.inodes)
    return found
