"""/metrics/resource and /metrics/cadvisor: `figures` in Prometheus' text format 0.0.4.

Pure. Names, labels and meanings are those of upstream's kubelet and its built-in cAdvisor, so that
existing dashboards, metrics-server and the autoscaler read them unchanged. A series exists only
where its figure does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pykubelet.kubelet.cgroups.names import Names
from pykubelet.kubelet.cgroups.tree import PodUsage
from pykubelet.kubelet.node.amounts import System
from pykubelet.kubelet.node.figures import Container, Figures, Interface, Pod
from pykubelet.objects import resources

_NANO = 1_000_000_000
_QUOTE = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(slots=True)
class Page:
    """Series by name, written in one go: a name's samples stand together, under its heading."""

    _series: dict[str, list[str]] = field(default_factory=dict)

    def add(
        self,
        name: str,
        kind: str,
        text: str,
        labels: Mapping[str, str],
        value: float | int | None,
        at: float | None = None,
    ) -> None:
        """`at` in wall seconds, where the figure was not taken right now."""
        if value is None:
            return
        lines = self._series.setdefault(name, [f"# HELP {name} {text}", f"# TYPE {name} {kind}"])
        written = ",".join(f'{k}="{v.translate(_QUOTE)}"' for k, v in labels.items())
        braces = f"{{{written}}}" if written else ""
        stamp = f" {int(at * 1000)}" if at else ""
        lines.append(f"{name}{braces} {_number(value)}{stamp}")

    def text(self) -> str:
        lines = (line for series in self._series.values() for line in series)
        return "".join(f"{line}\n" for line in lines)


def resource(found: Figures) -> str:
    """/metrics/resource: what metrics-server reads."""
    page = Page()
    node = found.node
    for pod in found.pods:
        of_pod = {"namespace": pod.namespace, "pod": pod.name}
        for c in pod.containers:
            labels = {"container": c.name, **of_pod}
            page.add("container_cpu_usage_seconds_total", "counter",
                     "[STABLE] CPU time a container has used, in core-seconds",
                     labels, _seconds(c.usage.cpu_nanoseconds), c.at)  # fmt: skip
            page.add("container_memory_working_set_bytes", "gauge",
                     "[STABLE] Working set of a container in bytes",
                     labels, c.usage.memory_working_set, c.at)  # fmt: skip
            page.add("container_start_time_seconds", "gauge",
                     "[STABLE] When a container started, in seconds since the epoch",
                     labels, c.started_at or None)  # fmt: skip
        page.add("pod_cpu_usage_seconds_total", "counter",
                 "[STABLE] CPU time a pod has used, in core-seconds",
                 of_pod, _seconds(pod.usage.cpu_nanoseconds), pod.at)  # fmt: skip
        page.add("pod_memory_working_set_bytes", "gauge",
                 "[STABLE] Working set of a pod in bytes",
                 of_pod, pod.usage.memory_working_set, pod.at)  # fmt: skip
        page.add("pod_swap_usage_bytes", "gauge", "[ALPHA] Swap that a pod uses in bytes",
                 of_pod, pod.usage.swap, pod.at)  # fmt: skip
    page.add("node_cpu_usage_seconds_total", "counter",
             "[STABLE] CPU time the node has used, in core-seconds",
             {}, _seconds(node.usage.cpu_nanoseconds), node.at)  # fmt: skip
    page.add("node_memory_working_set_bytes", "gauge", "[STABLE] Working set of the node in bytes",
             {}, node.usage.memory_working_set, node.at)  # fmt: skip
    page.add("node_swap_usage_bytes", "gauge", "[ALPHA] Swap that the node uses in bytes",
             {}, node.usage.swap, node.at)  # fmt: skip
    page.add("resource_scrape_error", "gauge",
             "[STABLE] 1 if there was an error while getting metrics, 0 otherwise",
             {}, 0)  # fmt: skip
    return page.text()


def cadvisor(
    found: Figures,
    pods: Iterable[dict[str, object]] = (),
    *,
    names: Names | None = None,
    system: System | None = None,
) -> str:
    """/metrics/cadvisor: containers, pods (container="") and the machine.

    `pods` are the objects, for the QoS class that a pod's cgroup (the label `id`) is named by.
    """
    page = Page()
    names = names or Names()
    system = system or System()
    classes = {_uid(pod): resources.qos_class(pod) for pod in pods}
    for pod in found.pods:
        path = names.pod(pod.uid, classes.get(pod.uid, resources.BURSTABLE))
        _of_pod(page, pod, path)
        for container in pod.containers:
            _of_container(page, pod, container, f"{path}/{container.id}")
    node = found.node
    machine = {
        "boot_id": system.boot_id,
        "machine_id": system.machine_id,
        "system_uuid": system.system_uuid,
    }
    page.add("machine_cpu_cores", "gauge", "Number of logical CPU cores.", machine, node.cores)
    page.add("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.",
             machine, node.memory_capacity)  # fmt: skip
    page.add("cadvisor_version_info", "gauge", "Kernel and OS this was measured on.",
             {"kernelVersion": system.kernel_version, "osVersion": system.os_image}, 1)  # fmt: skip
    page.add("container_scrape_error", "gauge",
             "1 if there was an error while getting container metrics, 0 otherwise",
             {}, 0)  # fmt: skip
    return page.text()


def _of_pod(page: Page, pod: Pod, path: str) -> None:
    labels = _labels(pod, "", path)
    _usage(page, labels, pod.usage, pod.at, pod.started_at)
    if pod.pressure:
        for way, kind in (("waiting", pod.pressure.some), ("stalled", pod.pressure.full)):
            whose = "some" if way == "waiting" else "all"
            for resource, stall in kind.items():
                page.add(f"container_pressure_{resource}_{way}_seconds_total", "counter",
                         f"Total time that {whose} tasks waited for {resource}",
                         labels, stall.total / 1e6, pod.at)  # fmt: skip
    for interface in pod.interfaces:
        _network(page, {**labels, "interface": interface.name}, interface, pod.at)


def _of_container(page: Page, pod: Pod, container: Container, path: str) -> None:
    labels = _labels(pod, container.name, path, container.image, container.id)
    _usage(page, labels, container.usage, container.at, container.started_at)
    page.add("container_fs_usage_bytes", "gauge",
             "Number of bytes that are consumed by the container on this filesystem.",
             labels, container.rootfs_used, container.at)  # fmt: skip
    page.add("container_last_seen", "gauge", "Last time a container was seen by the exporter",
             labels, container.at)  # fmt: skip


def _usage(
    page: Page, labels: Mapping[str, str], usage: PodUsage, at: float, started_at: float
) -> None:
    """What every cgroup has: a pod's and a container's alike."""
    for name, kind, text, value in (
        ("cpu_cfs_periods_total", "counter",
         "Number of elapsed enforcement period intervals.", usage.cpu_periods),
        ("cpu_cfs_throttled_periods_total", "counter",
         "Number of throttled period intervals.", usage.throttled_periods),
        ("cpu_cfs_throttled_seconds_total", "counter",
         "Total time duration the container has been throttled.",
         _seconds(usage.throttled_nanoseconds)),
        ("memory_usage_bytes", "gauge",
         "Current memory usage in bytes, including all memory regardless of when it was accessed",
         usage.memory_usage),
        ("memory_working_set_bytes", "gauge", "Current working set in bytes.",
         usage.memory_working_set),
        ("memory_rss", "gauge", "Size of RSS in bytes.", usage.memory_rss),
        ("memory_swap", "gauge", "Container swap usage in bytes.", usage.swap),
        ("processes", "gauge", "Number of processes running inside the container.", usage.pids),
    ):  # fmt: skip
        page.add(f"container_{name}", kind, text, labels, value, at)
    page.add("container_cpu_usage_seconds_total", "counter",
             "Cumulative cpu time consumed in seconds.",
             {**labels, "cpu": "total"}, _seconds(usage.cpu_nanoseconds), at)  # fmt: skip
    page.add("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.",
             labels, usage.memory_limit or 0)  # fmt: skip
    page.add("container_start_time_seconds", "gauge",
             "Start time of the container since unix epoch in seconds.",
             labels, started_at or None)  # fmt: skip


def _network(page: Page, labels: Mapping[str, str], found: Interface, at: float) -> None:
    for way, word, n_bytes, packets, errors, dropped in (
        ("receive", "received", found.rx_bytes, found.rx_packets, found.rx_errors,
         found.rx_dropped),
        ("transmit", "transmitted", found.tx_bytes, found.tx_packets, found.tx_errors,
         found.tx_dropped),
    ):  # fmt: skip
        for what, value in (
            ("bytes", n_bytes),
            ("packets", packets),
            ("errors", errors),
            ("packets_dropped", dropped),
        ):
            text = f"Cumulative count of {what.replace('_', ' ')} {word}"
            page.add(f"container_network_{way}_{what}_total", "counter", text, labels, value, at)


def _labels(pod: Pod, container: str, path: str, image: str = "", name: str = "") -> dict[str, str]:
    return {
        "container": container,
        "id": path,
        "image": image,
        "name": name,
        "namespace": pod.namespace,
        "pod": pod.name,
    }


def _uid(pod: Mapping[str, object]) -> str:
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["uid"])


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / _NANO


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
