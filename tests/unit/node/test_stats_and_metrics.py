"""What is measured, in the two forms that others read."""

from __future__ import annotations

import re
from typing import Any

from pykubelet.kubelet.cgroups.pressure import Pressure, Stall
from pykubelet.kubelet.cgroups.tree import PodUsage
from pykubelet.kubelet.node import metrics, stats
from pykubelet.kubelet.node.amounts import System
from pykubelet.kubelet.node.figures import (
    Container,
    Figures,
    Filesystem,
    Interface,
    Node,
    Pod,
    Volume,
)

DISK = Filesystem(1000, 600, 400, 100, 90)
CONTAINER = Container(
    "app", "abc", 900.0, 1000.5,
    PodUsage(2_000_000_000, 300, 200, 100, cpu_periods=9, throttled_nanoseconds=5 * 10**8),
    50, 10, 2, 5, "img",
)  # fmt: skip
POD = Pod(
    "u-1", "web", "default", 890.0, 1000.0,
    PodUsage(3_000_000_000, 500, 400, 300, 1000, 7, 1, None, 4),
    60, (CONTAINER,), (Volume("data", 20, 3), Volume("share", 999, of_pod=False)),
    (Interface("eth0", 1, 2, 3, 4, 5, 6, 7, 8),),
    Pressure({"cpu": Stall(1.5, 1, 0.5, 2_000_000), "io": Stall(total=7)}, {"io": Stall(total=3)}),
)  # fmt: skip
NODE = Node(
    "one", 100.0, 1000.0, PodUsage(9_000_000_000, 5000, 4000, 3000), None, 16_000, 2, DISK, DISK,
    32768, 99, (Interface("lan0", 10),), {"pods": PodUsage(1, memory_working_set=2)},
)  # fmt: skip
FIGURES = Figures(NODE, (POD,))


def test_a_summary_has_node_pods_and_containers() -> None:
    found = stats.summary(FIGURES)
    assert found["node"]["nodeName"] == "one"
    assert found["node"]["memory"]["availableBytes"] == 12_000
    assert found["node"]["rlimit"]["curproc"] == 99
    assert found["node"]["runtime"]["imageFs"]["usedBytes"] == 400
    assert found["node"]["systemContainers"][0]["name"] == "pods"
    pod = found["pods"][0]
    assert pod["podRef"] == {"name": "web", "namespace": "default", "uid": "u-1"}
    assert pod["memory"]["workingSetBytes"] == 400
    assert pod["memory"]["availableBytes"] == 600
    assert pod["network"]["rxBytes"] == 1
    assert pod["process_stats"] == {"process_count": 4}
    container = pod["containers"][0]
    assert container["cpu"]["usageNanoCores"] == 50
    assert container["rootfs"]["usedBytes"] == 10
    assert container["logs"]["usedBytes"] == 5


def test_pressure_stands_with_its_resource() -> None:
    pod = stats.summary(FIGURES)["pods"][0]
    assert pod["cpu"]["psi"]["some"]["total"] == 2_000_000_000
    assert pod["cpu"]["psi"]["some"]["avg10"] == 1.5
    assert pod["io"]["psi"]["full"]["total"] == 3000
    assert "psi" not in pod["memory"]
    text = metrics.cadvisor(FIGURES)
    assert "container_pressure_cpu_waiting_seconds_total{" in text
    assert "container_pressure_cpu_stalled_seconds_total" not in text


def test_ephemeral_storage_is_layers_logs_and_the_pods_own_volumes() -> None:
    pod = stats.summary(FIGURES)["pods"][0]
    assert pod["ephemeral-storage"]["usedBytes"] == 10 + 5 + 20
    assert pod["ephemeral-storage"]["capacityBytes"] == 1000
    assert [v["name"] for v in pod["volume"]] == ["data", "share"]


def test_what_nobody_counts_is_left_out_rather_than_zero() -> None:
    bare = Figures(Node("one", 0, 0), (Pod("u", "p", "n", 0, 0),))
    found = stats.summary(bare)
    assert "usageNanoCores" not in found["node"]["cpu"]
    assert set(found["pods"][0]["memory"]) == {"time"}
    assert "swap" not in found["pods"][0]


def test_the_small_summary_has_cpu_and_memory_alone() -> None:
    found = stats.summary(FIGURES, only_cpu_and_memory=True)
    assert set(found["node"]) == {"nodeName", "startTime", "cpu", "memory"}
    assert set(found["pods"][0]["containers"][0]) == {"name", "startTime", "cpu", "memory"}


def series(text: str) -> dict[str, tuple[float, str]]:
    """Samples by name and labels; fails on anything that is not the text format."""
    found: dict[str, tuple[float, str]] = {}
    headed: set[str] = set()
    pattern = re.compile(r"(?P<name>[a-z_]+)(?P<labels>\{[^}]*\})? (?P<value>\S+)( (?P<at>\d+))?")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in headed, f"{name} is headed twice"
            headed.add(name)
        elif not line.startswith("#"):
            match = pattern.fullmatch(line)
            assert match, line
            assert match["name"] in headed, f"{match['name']} stands outside its heading"
            found[match["name"] + (match["labels"] or "")] = (float(match["value"]), match["at"])
    return found


def test_resource_metrics_are_what_metrics_server_reads() -> None:
    found = series(metrics.resource(FIGURES))
    labels = '{container="app",namespace="default",pod="web"}'
    assert found[f"container_cpu_usage_seconds_total{labels}"] == (2.0, "1000500")
    assert found[f"container_memory_working_set_bytes{labels}"][0] == 200
    assert found['pod_memory_working_set_bytes{namespace="default",pod="web"}'][0] == 400
    assert found["node_cpu_usage_seconds_total"] == (9.0, "1000000")
    assert found["resource_scrape_error"][0] == 0


def test_cadvisor_metrics_have_pods_containers_and_the_machine() -> None:
    pods: list[dict[str, Any]] = [
        {"metadata": {"uid": "u-1"}, "spec": {"containers": [{"name": "app"}]}}
    ]
    found = series(metrics.cadvisor(FIGURES, pods, system=System(boot_id="b")))
    of_pod = 'container="",id="/kubepods/besteffort/podu-1",image="",name="",namespace="default",'
    assert found[f'container_memory_rss{{{of_pod}pod="web"}}'][0] == 300
    received = f'container_network_receive_bytes_total{{{of_pod}pod="web",interface="eth0"}}'
    assert found[received][0] == 1
    of_app = 'container="app",id="/kubepods/besteffort/podu-1/abc",image="img",name="abc",'
    throttled = "container_cpu_cfs_throttled_seconds_total"
    assert found[f'{throttled}{{{of_app}namespace="default",pod="web"}}'][0] == 0.5
    names = {name.partition("{")[0] for name in found}
    assert {
        "container_cpu_usage_seconds_total", "container_memory_working_set_bytes",
        "container_memory_usage_bytes", "container_fs_usage_bytes", "container_last_seen",
        "container_network_transmit_packets_dropped_total", "container_start_time_seconds",
        "machine_cpu_cores", "machine_memory_bytes", "container_spec_memory_limit_bytes",
    } <= names  # fmt: skip


def test_labels_are_escaped() -> None:
    page = metrics.Page()
    page.add("a", "gauge", "text", {"l": 'say "hi"\\\n'}, 1)
    assert 'a{l="say \\"hi\\"\\\\\\n"} 1' in page.text()
