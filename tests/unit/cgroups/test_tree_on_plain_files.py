"""cgroup v2's file writing, on a plain folder that only looks like the unified hierarchy.

That the kernel then enforces what was written is shown in a virtual machine
(tests/lab/vm_tests/test_cgroup_v2.py): this host has no unified hierarchy to show it on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pykubelet.errors import Failed, NotFound
from pykubelet.kubelet.cgroups.limits import PodLimits
from pykubelet.kubelet.cgroups.tree import Cgroups, NodeReservations, Reservation, detect
from pykubelet.kubelet.cgroups.v2 import UnifiedCgroups

GI = 1 << 30
CONTROLLERS = "cpuset cpu io memory hugetlb pids"


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text(CONTROLLERS)
    (tmp_path / "cgroup.subtree_control").write_text(CONTROLLERS)
    return tmp_path


@pytest.fixture
def tree(mount: Path) -> Cgroups:
    found = detect("/test", "cgroupfs", str(mount))
    for below in ("test", "test/kubepods", "test/kubepods/burstable", "test/kubepods/besteffort"):
        (mount / below).mkdir()
        (mount / below / "cgroup.controllers").write_text(CONTROLLERS)
        (mount / below / "cgroup.subtree_control").write_text(CONTROLLERS)
    return found


def pod(uid: str = "u-1", cpu: str = "250m", limit: str = "500m") -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu, "memory": "1Gi"}, "limits": {"cpu": limit}}
    return {
        "metadata": {"uid": uid},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
    }


def read(mount: Path, file: str) -> str:
    return (mount / "test/kubepods" / file).read_text()


def test_a_unified_mount_is_recognised(tree: Cgroups) -> None:
    assert isinstance(tree, UnifiedCgroups)
    assert tree.host.version == 2
    assert "memory" in tree.host.controllers


def test_pods_together_get_the_node_less_both_reservations(mount: Path, tree: Cgroups) -> None:
    tree.ensure_tree(
        NodeReservations(
            4000, 16 * GI, 30_000, system=Reservation(500, GI, 1000), kube=Reservation(500, GI)
        )
    )
    assert read(mount, "memory.max") == str(14 * GI)
    assert read(mount, "pids.max") == "29000"
    assert read(mount, "cpu.weight") == "240"  # three cores
    assert read(mount, "besteffort/cpu.weight") == "1"


def test_without_enforcement_pods_are_weighed_but_not_bounded(mount: Path, tree: Cgroups) -> None:
    tree.ensure_tree(NodeReservations(4000, 16 * GI, enforce=frozenset({"none"})))
    assert read(mount, "memory.max") == "max"
    assert read(mount, "cpu.weight") == "303"


def test_the_burstable_group_weighs_what_its_pods_ask_for(mount: Path, tree: Cgroups) -> None:
    tree.ensure_tree(NodeReservations(4000, 16 * GI))
    tree.update_qos([pod("a", "500m", "1"), pod("b", "500m", "1")])
    assert read(mount, "burstable/cpu.weight") == "100"
    (mount / "test/kubepods/burstable/cpu.weight").write_text("marked")
    tree.update_qos([pod("a", "500m", "1"), pod("b", "500m", "1")])
    assert read(mount, "burstable/cpu.weight") == "marked"  # nothing new, nothing written
    tree.update_qos([])
    assert read(mount, "burstable/cpu.weight") == "1"


def test_protection_is_granted_by_every_group_above(mount: Path, tree: Cgroups) -> None:
    tree.ensure_tree(NodeReservations(4000, 16 * GI, memory_reservation="TieredReservation"))
    tree.update_qos([pod("a"), pod("b")])
    assert read(mount, "burstable/memory.low") == str(2 * GI)
    assert read(mount, "memory.low") == str(2 * GI)
    assert read(mount, "memory.min") == "0"
    assert read(mount, "memory.max") == str(16 * GI)


def test_a_pods_limits_are_written_and_changed_in_place(mount: Path, tree: Cgroups) -> None:
    tree.ensure_tree(NodeReservations(4000, 16 * GI))
    one = pod()
    tree.ensure_pod(
        one,
        PodLimits(
            "Burstable", 1024, 50_000, 100_000, 64 << 20, 100, {"2MB": 0}, {"memory.high": "9"}
        ),
    )
    folder = "burstable/podu-1"
    assert tree.parent(one) == "/test/kubepods/burstable/podu-1"
    assert read(mount, f"{folder}/cpu.weight") == "100"
    assert read(mount, f"{folder}/cpu.max") == "50000 100000"
    assert read(mount, f"{folder}/memory.max") == str(64 << 20)
    assert read(mount, f"{folder}/memory.high") == "9"
    assert read(mount, f"{folder}/pids.max") == "100"
    assert read(mount, f"{folder}/hugetlb.2MB.max") == "0"
    tree.update_pod(one, PodLimits("Burstable", 2, -1, memory=-1))
    assert read(mount, f"{folder}/cpu.max") == "max 100000"
    assert read(mount, f"{folder}/memory.max") == "max"
    assert read(mount, f"{folder}/pids.max") == "100"


def test_pods_are_found_by_their_folders(tree: Cgroups) -> None:
    tree.ensure_tree(NodeReservations(4000, 16 * GI))
    for uid in ("a-1", "b-2"):
        tree.ensure_pod(pod(uid), PodLimits("Burstable"))
    assert tree.pods() == {"a-1", "b-2"}


def test_a_reserved_group_that_does_not_exist_is_named(tree: Cgroups) -> None:
    with pytest.raises(Failed, match=r"system-reserved.*/system\.slice"):
        tree.ensure_tree(
            NodeReservations(
                1000, GI, enforce=frozenset({"system-reserved"}), system_cgroup="/system.slice"
            )
        )


def test_a_compressible_reservation_bounds_no_memory(mount: Path, tree: Cgroups) -> None:
    (mount / "daemons").mkdir()
    (mount / "daemons/memory.max").write_text("set by the host")
    tree.ensure_tree(
        NodeReservations(
            4000, 16 * GI, kube=Reservation(1000, GI), kube_cgroup="/daemons",
            enforce=frozenset({"pods", "kube-reserved-compressible"}),
        )
    )  # fmt: skip
    assert (mount / "daemons/cpu.weight").read_text() == "100"
    assert (mount / "daemons/memory.max").read_text() == "set by the host"


def test_usage_is_read_with_the_working_set_that_eviction_looks_at(
    mount: Path, tree: Cgroups
) -> None:
    tree.ensure_tree(NodeReservations(4000, 16 * GI))
    tree.ensure_pod(pod(), PodLimits("Burstable", memory=1000))
    folder = mount / "test/kubepods/burstable/podu-1"
    (folder / "cpu.stat").write_text("usage_usec 1500\nuser_usec 1000\n")
    (folder / "memory.current").write_text("900\n")
    (folder / "memory.stat").write_text("anon 300\ninactive_file 500\npgfault 3\n")
    found = tree.usage("u-1")
    assert (found.cpu_nanoseconds, found.memory_usage) == (1_500_000, 900)
    assert (found.memory_working_set, found.memory_rss, found.memory_limit) == (400, 300, 1000)
    assert found.swap is None
    with pytest.raises(NotFound):
        tree.usage("nobody")


def test_what_the_kernel_lacks_is_said_in_plain_words(mount: Path, tree: Cgroups) -> None:
    (mount / "cgroup.controllers").write_text("cpu io")
    notes = " ".join(tree.notes())
    assert "memory is not available: memory limits of pods are not enforced" in notes
    assert "hugetlb" in notes
