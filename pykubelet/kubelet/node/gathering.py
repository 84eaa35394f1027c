"""Takes the measurements: cgroups, the runtime's own figures, file systems, network counters.

On demand only, when somebody reads stats or metrics or a pod must be chosen for eviction. A rate
(nanocores) needs two looks: the last one is remembered, one small tuple for each container. Volumes
are walked, so their sizes are believed for a while.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import psutil

from pykubelet.clock import Clock, SystemClock, from_rfc3339
from pykubelet.errors import PykubeletError
from pykubelet.kubelet.cgroups.tree import Cgroups, PodUsage
from pykubelet.kubelet.node import figures, logs, readings
from pykubelet.kubelet.node.figures import Figures, Filesystem, Interface, Volume
from pykubelet.kubelet.runtime.model import Container, ContainerState, ContainerUsage, PodRuntime
from pykubelet.kubelet.runtime.model import Filesystem as RuntimeFilesystem

Json = dict[str, Any]

_NANO = 1_000_000_000

#: A rate over less than this many seconds says little.
_SHORTEST_RATE = 1.0


class Runtime(Protocol):
    """What is needed of `..runtime.client.Runtime`."""

    def pods(self, uid: str | None = None) -> Mapping[str, PodRuntime]: ...
    def usage(self, uid: str | None = None) -> tuple[ContainerUsage, ...]: ...
    def image_filesystems(self) -> tuple[RuntimeFilesystem, ...]: ...


Volumes = Callable[[Json], Iterable[Volume]]


class Gathering:
    """`volumes(pod)` measures a pod's volumes. Thread-safe."""

    def __init__(
        self,
        node_name: str,
        runtime: Runtime,
        cgroups: Cgroups,
        *,
        root_dir: str,
        logs_dir: str = logs.POD_LOGS,
        volumes: Volumes = lambda pod: (),
        volume_period: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        self._node_name = node_name
        self._runtime = runtime
        self._cgroups = cgroups
        self._root_dir = root_dir
        self._logs_dir = logs_dir
        self._volumes = volumes
        self._volume_period = volume_period
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._rates: dict[str, tuple[float, int, int | None]] = {}
        self._sizes: dict[str, tuple[float, tuple[Volume, ...]]] = {}

    def all(self, pods: Iterable[Json], *, disk: bool = True) -> Figures:
        """The node and these pods. Without `disk`, only CPU, memory and network: cheap."""
        pods = list(pods)
        found = self.pods(pods, disk=disk)
        self._forget({pod["metadata"]["uid"] for pod in pods})
        return Figures(self.node(disk=disk), tuple(found.values()))

    def pods(self, pods: Iterable[Json], *, disk: bool = True) -> dict[str, figures.Pod]:
        """The pods' figures by UID. One that has no cgroup (any more) is left out.

        The runtime is asked for what containers wrote only with `disk`: it takes its time.
        """
        pods = list(pods)
        written: dict[str, ContainerUsage] = {}
        running: Mapping[str, PodRuntime] = {}
        try:
            running = self._runtime.pods() if pods else {}
            if disk and pods:
                one = pods[0]["metadata"]["uid"] if len(pods) == 1 else None
                written = {usage.id: usage for usage in self._runtime.usage(one)}
        except PykubeletError:
            pass  # the cgroups still tell the pods' own figures
        found: dict[str, figures.Pod] = {}
        for pod in pods:
            uid = pod["metadata"]["uid"]
            measured = self._pod(pod, running.get(uid) or PodRuntime(uid), written, disk)
            if measured:
                found[uid] = measured
        return found

    def node(self, *, disk: bool = True) -> figures.Node:
        now = self._clock.wall()
        memory, known = psutil.virtual_memory(), readings.meminfo()
        busy = psutil.cpu_times()
        used = int((sum(busy[:3]) + busy.irq + busy.softirq) * _NANO)
        working_set = memory.total - memory.free - known.get("Inactive(file)", 0)
        swap = psutil.swap_memory()
        usage = PodUsage(
            cpu_nanoseconds=used,
            memory_usage=memory.total - memory.free,
            memory_working_set=max(working_set, 0),
            memory_rss=known.get("AnonPages"),
            swap=swap.used,
        )
        return figures.Node(
            name=self._node_name,
            started_at=psutil.boot_time(),
            at=now,
            usage=usage,
            nanocores=self._rate("", used),
            memory_capacity=memory.total,
            cores=psutil.cpu_count() or 1,
            filesystem=readings.filesystem(self._root_dir) if disk else None,
            image_filesystem=self._images() if disk else None,
            max_pids=readings.max_pids(),
            processes=readings.tasks(),
            interfaces=readings.interfaces("/proc/net/dev"),
            daemons=self._daemons(),
            pressure=self._cgroups.pressure(),
        )

    # -- parts ----------------------------------------------------------------------------------

    def _pod(
        self, pod: Json, runtime: PodRuntime, written: Mapping[str, ContainerUsage], disk: bool
    ) -> figures.Pod | None:
        uid = pod["metadata"]["uid"]
        try:
            whole, pressure = self._cgroups.usage(uid), self._cgroups.pressure(uid)
            groups = self._cgroups.containers(uid)
        except PykubeletError:
            return None
        folder = logs.pod_folder(pod, self._logs_dir) if disk else ""
        sandbox = runtime.sandbox
        return figures.Pod(
            uid=uid,
            name=pod["metadata"]["name"],
            namespace=pod["metadata"].get("namespace", "default"),
            started_at=sandbox.created_at / _NANO if sandbox else _start_time(pod),
            at=self._clock.wall(),
            usage=whole,
            nanocores=self._rate(uid, whole.cpu_nanoseconds),
            containers=tuple(
                self._container(c, groups.get(c.id), written.get(c.id), folder)
                for c in runtime.containers
                if c.state is ContainerState.RUNNING
            ),
            volumes=self._sized(pod) if disk else (),
            interfaces=self._network(pod),
            pressure=pressure,
        )

    def _container(
        self,
        container: Container,
        group: PodUsage | None,
        written: ContainerUsage | None,
        logs_folder: str,
    ) -> figures.Container:
        usage = group or _as_told(written)
        return figures.Container(
            name=container.name,
            id=container.id,
            started_at=(container.started_at or container.created_at) / _NANO,
            at=self._clock.wall(),
            usage=usage,
            nanocores=self._rate(container.id, usage.cpu_nanoseconds),
            rootfs_used=written.filesystem_used if written else None,
            rootfs_inodes=written.filesystem_inodes if written else None,
            logs_used=(
                logs.size_of(os.path.join(logs_folder, container.name)) if logs_folder else None
            ),
            image=container.image,
        )

    def _network(self, pod: Json) -> tuple[Interface, ...]:
        """Through any process of the pod; a pod on the host's network has no figures of its own."""
        if (pod.get("spec") or {}).get("hostNetwork"):
            return ()
        try:
            processes = self._cgroups.processes(pod["metadata"]["uid"])
        except PykubeletError:
            return ()
        for pid in processes:
            found = readings.interfaces(f"/proc/{pid}/net/dev")
            if found:
                return found
        return ()

    def _sized(self, pod: Json) -> tuple[Volume, ...]:
        uid, now = pod["metadata"]["uid"], self._clock.monotonic()
        with self._lock:
            known = self._sizes.get(uid)
        if known and now - known[0] < self._volume_period:
            return known[1]
        sizes = tuple(self._volumes(pod))
        with self._lock:
            self._sizes[uid] = (now, sizes)
        return sizes

    def _images(self) -> Filesystem | None:
        try:
            kept = self._runtime.image_filesystems()
        except PykubeletError:
            return None
        for each in kept:
            found = readings.filesystem(each.mountpoint)
            if found:
                return replace(found, used=each.used_bytes)
        return None

    def _daemons(self) -> dict[str, PodUsage]:
        """Upstream calls them system containers: the pods together, and this agent itself."""
        found: dict[str, PodUsage] = {}
        try:
            found["pods"] = self._cgroups.usage_of(self._cgroups.names.kubepods())
        except PykubeletError:
            pass  # the tree isn't made yet
        own = psutil.Process()
        times, memory = own.cpu_times(), own.memory_info()
        found["kubelet"] = PodUsage(
            cpu_nanoseconds=int((times.user + times.system) * _NANO),
            memory_usage=memory.rss,
            memory_working_set=memory.rss,
            memory_rss=memory.rss,
        )
        return found

    def _rate(self, key: str, used: int | None) -> int | None:
        """Nanocores since the last look at this; None at the first."""
        if used is None:
            return None
        now = self._clock.monotonic()
        with self._lock:
            before = self._rates.get(key)
            if before is None or used < before[1]:
                self._rates[key] = (now, used, None)
                return None
            seconds = now - before[0]
            if seconds < _SHORTEST_RATE:
                return before[2]
            rate = int((used - before[1]) / seconds)
            self._rates[key] = (now, used, rate)
            return rate

    def _forget(self, uids: set[str]) -> None:
        """Drop what is remembered of pods and containers gone. Rates not asked for in an hour."""
        oldest = self._clock.monotonic() - 3600
        with self._lock:
            self._rates = {k: v for k, v in self._rates.items() if v[0] > oldest}
            self._sizes = {k: v for k, v in self._sizes.items() if k in uids}


def _as_told(usage: ContainerUsage | None) -> PodUsage:
    """The runtime's own figures, for a container whose group isn't where it should be."""
    if usage is None:
        return PodUsage()
    return PodUsage(
        cpu_nanoseconds=usage.cpu_nanoseconds,
        memory_usage=usage.memory_usage,
        memory_working_set=usage.memory_working_set,
        memory_rss=usage.memory_rss,
    )


def _start_time(pod: Json) -> float:
    written = (pod.get("status") or {}).get("startTime")
    return from_rfc3339(written) if written else 0.0
