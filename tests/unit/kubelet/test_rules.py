"""What the configuration means to each room."""

from __future__ import annotations

import dataclasses
from typing import Any

from pykubelet.kubelet import rules
from pykubelet.kubelet.config import Configuration
from pykubelet.kubelet.config.configuration import TABLE
from pykubelet.kubelet.node.amounts import Amounts

GI = 2**30
WHOLE = Amounts(cpu_milli=4000, memory=8 * GI, pids=32768, swap=GI)
GIVEN = Amounts(cpu_milli=3500, memory=7 * GI, pids=30000)


def config(**settings: Any) -> Configuration:
    return dataclasses.replace(Configuration(), **settings)


def test_limits_are_worked_out_from_the_node_and_the_settings() -> None:
    found = rules.limits(
        config(cpu_cfs_quota_period=0.05, pod_pids_limit=100, swap_behavior="LimitedSwap"),
        WHOLE,
        GIVEN,
        cgroup_version=2,
        swap_controller=True,
        page_sizes=("2MB",),
    )
    assert (found.node_memory, found.allocatable_memory, found.node_swap) == (8 * GI, 7 * GI, GI)
    assert found.cpu_cfs_period == 50_000
    assert found.pod_pids_limit == 100
    assert found.swap_behavior == "LimitedSwap"


def test_no_swap_is_given_unless_asked_for() -> None:
    """Complaint: refuses to start with swap on. It starts; pods get none unless asked."""
    found = rules.limits(
        config(), WHOLE, GIVEN, cgroup_version=2, swap_controller=True, page_sizes=()
    )
    assert found.swap_behavior == "NoSwap"


def test_the_node_is_dealt_out_between_system_daemons_and_pods() -> None:
    found = rules.reservations(
        config(
            system_reserved={"cpu": "300m", "memory": "512Mi"},
            kube_reserved={"cpu": "200m", "pid": "1000"},
            enforce_node_allocatable=("pods", "system-reserved"),
            system_reserved_cgroup="/system.slice",
        ),
        WHOLE,
    )
    assert (found.cpu_milli, found.memory) == (WHOLE.cpu_milli, WHOLE.memory)
    assert (found.system.cpu_milli, found.system.memory) == (300, GI // 2)
    assert (found.kube.cpu_milli, found.kube.pids) == (200, 1000)
    assert found.enforce == {"pods", "system-reserved"}
    assert found.system_cgroup == "/system.slice"


def test_evictions_follow_the_thresholds() -> None:
    found = rules.evictions(
        config(
            eviction_hard={"memory.available": "200Mi"},
            eviction_soft={"memory.available": "10%"},
            eviction_soft_grace_period={"memory.available": 90.0},
            eviction_max_pod_grace_period=20,
        )
    )
    signals = [t.signal for t in found.thresholds]
    assert signals.count("memory.available") == 2
    assert found.max_pod_grace == 20


def test_images_are_pulled_one_at_a_time_unless_told_otherwise() -> None:
    assert rules.parallel_pulls(config()) == 1
    assert rules.parallel_pulls(config(serialize_image_pulls=False)) == 5
    assert rules.parallel_pulls(config(max_parallel_image_pulls=3)) == 3


def test_every_setting_is_read_by_somebody() -> None:
    """What is in the table is acted on; what is not belongs to `config.ignored`."""
    from pathlib import Path

    import pykubelet.kubelet

    room = Path(pykubelet.kubelet.__file__).parent
    text = "\n".join(
        file.read_text()
        for file in (*room.rglob("*.py"), room.parent / "cli" / "run.py")
        if file.name not in ("configuration.py", "checks.py", "views.py")
    )
    unread = [s.attribute for s in TABLE if f"config.{s.attribute}" not in text]
    # It changes how another is read, in `config.loading`.
    assert unread == ["merge_default_eviction_settings"]
