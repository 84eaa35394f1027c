"""The Summary that /stats/summary answers: `figures` as stats/v1alpha1 writes them.

Pure. A figure that nobody counts is left out, never written as 0. With `only_cpu_and_memory` the
answer is small, as metrics collectors ask for it. Source: k8s.io/kubelet, apis/stats/v1alpha1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pykubelet.clock import rfc3339
from pykubelet.kubelet.cgroups.pressure import Pressure, Stall
from pykubelet.kubelet.cgroups.tree import PodUsage
from pykubelet.kubelet.node.figures import (
    Container,
    Figures,
    Filesystem,
    Interface,
    Node,
    Pod,
    Volume,
)

Json = dict[str, Any]


def summary(found: Figures, *, only_cpu_and_memory: bool = False) -> Json:
    """stats/v1alpha1.Summary."""
    return {
        "node": _node(found.node, only_cpu_and_memory),
        "pods": [_pod(pod, found.node, only_cpu_and_memory) for pod in found.pods],
    }


def _node(node: Node, small: bool) -> Json:
    at = rfc3339(node.at)
    made: Json = {
        "nodeName": node.name,
        "startTime": rfc3339(node.started_at),
        "cpu": _cpu(at, node.usage.cpu_nanoseconds, node.nanocores),
        "memory": _memory(at, node.usage, node.memory_capacity),
    }
    if small:
        return made
    made["systemContainers"] = [
        {
            "name": name,
            "startTime": rfc3339(node.started_at),
            "cpu": _cpu(at, usage.cpu_nanoseconds, None),
            "memory": _memory(at, usage, usage.memory_limit),
        }
        for name, usage in node.daemons.items()
    ]
    if node.interfaces:
        made["network"] = _network(at, node.interfaces)
    if node.filesystem:
        made["fs"] = _filesystem(at, node.filesystem)
    if node.image_filesystem:
        images = _filesystem(at, node.image_filesystem)
        made["runtime"] = {"imageFs": images, "containerFs": images}
    made["rlimit"] = {"time": at, "maxpid": node.max_pids, "curproc": node.processes}
    _add_pressure(made, at, node.pressure)
    return made | _swap(at, node.usage.swap)


def _pod(pod: Pod, node: Node, small: bool) -> Json:
    at = rfc3339(pod.at)
    made: Json = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": rfc3339(pod.started_at),
        "containers": [_container(c, node, small) for c in pod.containers],
        "cpu": _cpu(at, pod.usage.cpu_nanoseconds, pod.nanocores),
        "memory": _memory(at, pod.usage, pod.usage.memory_limit),
    }
    if small:
        return made
    if pod.interfaces:
        made["network"] = _network(at, pod.interfaces)
    if pod.volumes:
        made["volume"] = [_volume(at, volume) for volume in pod.volumes]
    made["ephemeral-storage"] = _on_node_disk(at, node.filesystem, pod.disk, pod.inodes)
    if pod.usage.pids is not None:
        made["process_stats"] = {"process_count": pod.usage.pids}
    _add_pressure(made, at, pod.pressure)
    return made | _swap(at, pod.usage.swap)


def _container(container: Container, node: Node, small: bool) -> Json:
    at = rfc3339(container.at)
    made: Json = {
        "name": container.name,
        "startTime": rfc3339(container.started_at),
        "cpu": _cpu(at, container.usage.cpu_nanoseconds, container.nanocores),
        "memory": _memory(at, container.usage, container.usage.memory_limit),
    }
    if small:
        return made
    if container.rootfs_used is not None:
        made["rootfs"] = _on_node_disk(
            at, node.image_filesystem, container.rootfs_used, container.rootfs_inodes
        )
    if container.logs_used is not None:
        made["logs"] = _on_node_disk(at, node.filesystem, container.logs_used, None)
    return made | _swap(at, container.usage.swap)


def _cpu(at: str, nanoseconds: int | None, nanocores: int | None) -> Json:
    return _known({"time": at, "usageNanoCores": nanocores, "usageCoreNanoSeconds": nanoseconds})


def _memory(at: str, usage: PodUsage, limit: int | None) -> Json:
    working_set = usage.memory_working_set
    return _known(
        {
            "time": at,
            "availableBytes": (
                None if limit is None or working_set is None else max(limit - working_set, 0)
            ),
            "usageBytes": usage.memory_usage,
            "workingSetBytes": working_set,
            "rssBytes": usage.memory_rss,
            "pageFaults": usage.page_faults,
            "majorPageFaults": usage.major_page_faults,
        }
    )


def _swap(at: str, used: int | None) -> Json:
    return {} if used is None else {"swap": {"time": at, "swapUsageBytes": used}}


def _add_pressure(made: Json, at: str, pressure: Pressure | None) -> None:
    """PSI goes into each resource's own part; `io` has no other figure."""
    if pressure is None:
        return
    for resource, some in pressure.some.items():
        full = pressure.full.get(resource, Stall())
        part = made.setdefault(resource, {"time": at})
        part["psi"] = {"full": _stall(full), "some": _stall(some)}


def _stall(stall: Stall) -> Json:
    """The kernel counts microseconds, the API nanoseconds."""
    return {
        "total": stall.total * 1000,
        "avg10": stall.avg10,
        "avg60": stall.avg60,
        "avg300": stall.avg300,
    }


def _network(at: str, interfaces: Iterable[Interface]) -> Json:
    """The first interface's counters stand for the whole, as the type has it."""
    every = [
        {
            "name": i.name,
            "rxBytes": i.rx_bytes,
            "rxErrors": i.rx_errors,
            "txBytes": i.tx_bytes,
            "txErrors": i.tx_errors,
        }
        for i in interfaces
    ]
    main = next((i for i in every if i["name"] == "eth0"), every[0])
    return {"time": at, **main, "interfaces": every}


def _filesystem(at: str, found: Filesystem) -> Json:
    return {
        "time": at,
        "availableBytes": found.available,
        "capacityBytes": found.capacity,
        "usedBytes": found.used,
        "inodesFree": found.inodes_free,
        "inodes": found.inodes,
        "inodesUsed": found.inodes - found.inodes_free,
    }


def _on_node_disk(at: str, disk: Filesystem | None, used: int, inodes: int | None) -> Json:
    """A part of a file system: its own use, the whole one's size."""
    whole = _filesystem(at, disk) if disk else {"time": at}
    whole.pop("inodesUsed", None)
    return _known({**whole, "usedBytes": used, "inodesUsed": inodes})


def _volume(at: str, volume: Volume) -> Json:
    return {
        "time": at,
        "name": volume.name,
        "availableBytes": volume.available,
        "capacityBytes": volume.capacity,
        "usedBytes": volume.used,
        "inodesFree": volume.inodes_free,
        "inodes": volume.inodes,
        "inodesUsed": volume.inodes_used,
    }


def _known(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
