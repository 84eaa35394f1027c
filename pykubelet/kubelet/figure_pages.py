"""The agent's figures, page by page: /stats/summary and the four /metrics.

Computed when somebody asks and never otherwise. The figures are `node.gathering`'s, the formats
`node.stats` and `node.metrics`; the agent's own counters are put together here.
"""

from __future__ import annotations

import os
import re
import resource
from collections import Counter
from typing import Any

from pykubelet.kubelet.cgroups.names import Names
from pykubelet.kubelet.daemon.vitals import Vitals
from pykubelet.kubelet.guard import Guard
from pykubelet.kubelet.node import metrics, stats
from pykubelet.kubelet.node.gathering import Gathering
from pykubelet.kubelet.node.metrics import Page
from pykubelet.kubelet.pods.manager import PodManager
from pykubelet.kubelet.probes.manager import Probes
from pykubelet.kubelet.report import NodeReport
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import ContainerState
from pykubelet.version import KUBERNETES_VERSION

Json = dict[str, Any]


class FigurePages:
    def __init__(
        self,
        gathering: Gathering,
        guard: Guard,
        manager: PodManager,
        report: NodeReport,
        probes: Probes,
        vitals: Vitals,
        runtime: Runtime,
        names: Names,
    ) -> None:
        self._gathering = gathering
        self._guard = guard
        self._manager = manager
        self._report = report
        self._probes = probes
        self._vitals = vitals
        self._runtime = runtime
        self._names = names

    def summary(self, only_cpu_and_memory: bool) -> Json:
        found = self._gathering.all(self._pods(), disk=not only_cpu_and_memory)
        return stats.summary(found, only_cpu_and_memory=only_cpu_and_memory)

    def metrics(self, kind: str) -> str:
        """`main`, `cadvisor`, `resource` or `probes`."""
        match kind:
            case "probes":
                return self._probes.metrics()
            case "resource":
                return metrics.resource(self._gathering.all(self._pods(), disk=False))
            case "cadvisor":
                pods = self._pods()
                found = self._gathering.all(pods)
                return metrics.cadvisor(found, pods, names=self._names, system=self._report.system)
        return self._own()

    def _pods(self) -> list[Json]:
        return [
            {**r.pod, "status": r.status}
            for r in self._manager.records()
            if r.admitted and not r.released
        ]

    def _own(self) -> str:
        """What the agent counts of itself, under upstream's names where upstream has one."""
        page = Page()
        records = self._manager.records()
        states = Counter(
            c.state.value if c.state is not ContainerState.UNKNOWN else "unknown"
            for r in records
            for c in r.runtime.containers
        )
        running = sum(1 for r in records if any(b.ready for b in r.runtime.sandboxes))
        page.add("kubelet_node_name", "gauge", "The node's name.", {"node": self._report.name}, 1)
        page.add("kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox",
                 {}, running)  # fmt: skip
        for state, number in sorted(states.items()):
            page.add("kubelet_running_containers", "gauge", "Number of containers by state",
                     {"container_state": state}, number)  # fmt: skip
        for phase, number in sorted(Counter(r.status.get("phase", "") for r in records).items()):
            page.add("kubelet_pods", "gauge", "Number of pods by phase", {"phase": phase}, number)
        for signal, number in sorted(self._guard.evictor.evictions.items()):
            page.add("kubelet_evictions", "counter", "Number of pods evicted by eviction signal",
                     {"eviction_signal": signal}, number)  # fmt: skip
        page.add("kubelet_turns_total", "counter", "Number of times that a pod was looked at",
                 {}, self._manager.turns.taken)  # fmt: skip
        for loop, seconds in sorted(self._vitals.cpu_seconds().items()):
            page.add("kubelet_loop_cpu_seconds_total", "counter", "CPU time spent, by loop",
                     {"loop": loop}, seconds)  # fmt: skip
        self._runtime_calls(page)
        page.add("kubernetes_build_info", "gauge", "What this is a build of",
                 {"git_version": KUBERNETES_VERSION}, 1)  # fmt: skip
        _process(page)
        return page.text()

    def _runtime_calls(self, page: Page) -> None:
        for name, tally in sorted(self._runtime.tallies().items()):
            labels = {"operation_type": snake_case(name)}
            about = "kubelet_runtime_operations"
            page.add(f"{about}_total", "counter",
                     "Number of runtime operations by type", labels, tally.calls)  # fmt: skip
            page.add(f"{about}_errors_total", "counter",
                     "Number of failed runtime operations", labels, tally.errors)  # fmt: skip
            page.add(f"{about}_seconds_total", "counter",
                     "Time that runtime operations took", labels, tally.seconds)  # fmt: skip


def snake_case(name: str) -> str:
    """`ListPodSandbox` as upstream's metrics spell it: `list_pod_sandbox`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _process(page: Page) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    page.add("process_cpu_seconds_total", "counter", "Total user and system CPU time spent",
             {}, used.ru_utime + used.ru_stime)  # fmt: skip
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    page.add("process_resident_memory_bytes", "gauge", "Resident memory size in bytes",
             {}, pages * resource.getpagesize())  # fmt: skip
    page.add("process_open_fds", "gauge", "Number of open file descriptors",
             {}, len(os.listdir("/proc/self/fd")))  # fmt: skip
