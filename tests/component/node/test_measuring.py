"""Figures of real pods, and of this host."""

from __future__ import annotations

import time

import pytest

from pykubelet.kubelet.node import metrics, stats
from pykubelet.kubelet.node.figures import Volume
from pykubelet.kubelet.node.gathering import Gathering
from pykubelet.kubelet.runtime.model import ContainerUsage
from tests.component.node.lab import Lab
from tests.support.waiting import until

pytestmark = pytest.mark.root


@pytest.fixture
def gathering(lab: Lab) -> Gathering:
    return Gathering(
        "one",
        lab.runtime,
        lab.cgroups,
        root_dir=str(lab.home),
        logs_dir=str(lab.logs),
        volumes=lambda pod: [Volume("data", 4096)],
    )


def test_a_busy_pod_shows_in_the_summary_with_cpu_memory_network_and_disk(
    lab: Lab, gathering: Gathering
) -> None:
    limit = {"limits": {"memory": "64Mi"}}
    script = (
        "echo hello; dd if=/dev/zero of=/tmp/f bs=1k count=200 2>/dev/null; while :; do :; done"
    )
    pod = lab.start("busy", "sh", "-c", script, resources=limit)

    def cpu() -> bool:
        found = gathering.pods([pod]).get("busy")
        return bool(found and (found.usage.cpu_nanoseconds or 0) > 5 * 10**7)

    until(cpu, "it has used CPU")
    time.sleep(1.1)  # a rate needs two looks
    summary = stats.summary(gathering.all([pod]))
    found = summary["pods"][0]
    assert found["podRef"] == {"name": "pod-busy", "namespace": "default", "uid": "busy"}
    assert found["cpu"]["usageNanoCores"] > 10**7
    assert 0 < found["memory"]["workingSetBytes"] < 64 << 20
    assert found["memory"]["availableBytes"] < 64 << 20
    assert found["network"]["name"] == "eth0"
    assert found["volume"][0]["usedBytes"] == 4096
    assert found["process_stats"]["process_count"] >= 2
    container = found["containers"][0]
    assert container["name"] == "c"
    assert container["cpu"]["usageCoreNanoSeconds"] > 10**7
    assert container["logs"]["usedBytes"] > 0
    assert summary["node"]["memory"]["workingSetBytes"] > found["memory"]["workingSetBytes"]
    text = metrics.cadvisor(gathering.all([pod]), [pod], names=lab.cgroups.names)
    assert f'id="{lab.cgroups.parent(pod)}"' in text
    assert 'container_network_receive_bytes_total{container="",' in text
    lab.remove("busy")


def test_cpu_and_memory_are_read_without_the_runtimes_slow_statistics(lab: Lab) -> None:
    class Impatient:
        pods = staticmethod(lab.runtime.pods)
        image_filesystems = staticmethod(lab.runtime.image_filesystems)

        def usage(self, uid: str | None = None) -> tuple[ContainerUsage, ...]:
            raise AssertionError("asked the runtime for statistics")

    pod = lab.start("plain", resources={"limits": {"memory": "32Mi", "cpu": "50m"}})
    found = Gathering("one", Impatient(), lab.cgroups, root_dir="/")
    container = found.pods([pod], disk=False)["plain"].containers[0]
    assert container.usage.memory_working_set
    assert container.usage.memory_limit == 32 << 20
    assert container.usage.cpu_periods is not None
    assert container.rootfs_used is None
    lab.remove("plain")


def test_a_pod_that_is_gone_is_left_out(lab: Lab, gathering: Gathering) -> None:
    pod = lab.start("short")
    lab.remove("short")
    assert gathering.pods([pod]) == {}


def test_volumes_are_not_walked_again_within_their_period(lab: Lab) -> None:
    walks = []

    def walk(pod: object) -> list[Volume]:
        walks.append(pod)
        return []

    found = Gathering("one", lab.runtime, lab.cgroups, root_dir="/", volumes=walk)
    pod = lab.start("quiet")
    for _ in range(3):
        found.pods([pod])
    found.pods([pod], disk=False)
    assert len(walks) == 1
    lab.remove("quiet")


def test_limits_written_by_the_agent_and_the_runtime_meet_in_the_pods_group(lab: Lab) -> None:
    pod = lab.start("bound", resources={"limits": {"memory": "48Mi", "cpu": "200m"}})
    usage = lab.cgroups.usage("bound")
    assert usage.memory_limit == 48 << 20
    assert len(lab.cgroups.processes("bound")) == 2  # the sandbox and the container
    assert lab.cgroups.pods() == {"bound"}
    assert pod["metadata"]["uid"] == "bound"
    lab.remove("bound")
    assert lab.cgroups.pods() == set()
