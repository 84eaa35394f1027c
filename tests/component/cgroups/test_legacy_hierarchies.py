"""The tree on the real cgroup v1 (or hybrid) hierarchies of this host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pykubelet.kubelet.cgroups import limits
from pykubelet.kubelet.cgroups.limits import PodLimits, Rules
from pykubelet.kubelet.cgroups.tree import Cgroups, NodeReservations, detect
from pykubelet.kubelet.cgroups.v1 import LegacyCgroups

MOUNT = Path("/sys/fs/cgroup")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        (MOUNT / "cgroup.controllers").exists(), reason="this host has cgroup v2 alone"
    ),
]


@pytest.fixture
def tree(root: str) -> Cgroups:
    found = detect(root)
    found.ensure_tree(NodeReservations(2000, 8 << 30))
    return found


def pod(uid: str = "ab-1", memory: str = "32Mi") -> dict[str, Any]:
    resources = {"requests": {"cpu": "500m"}, "limits": {"cpu": "500m", "memory": memory}}
    return {
        "metadata": {"uid": uid},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
    }


def ensure(tree: Cgroups, one: dict[str, Any], **rules: Any) -> str:
    tree.ensure_pod(one, limits.pod_limits(one, Rules(8 << 30, cgroup_version=1, **rules)))
    return tree.parent(one)


def enter(tree: Cgroups, path: str, pid: int) -> None:
    assert isinstance(tree, LegacyCgroups)
    for hierarchy in tree.hierarchies:
        Path(hierarchy.folder + path, "cgroup.procs").write_text(str(pid))


def within(path: str, *command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in the group of the memory and pids hierarchies."""

    def join() -> None:
        for controller in ("memory", "pids"):
            Path(f"{MOUNT}/{controller}{path}/cgroup.procs").write_text(str(os.getpid()))

    return subprocess.run(command, preexec_fn=join, capture_output=True, check=False)


def test_a_pod_has_a_group_in_every_hierarchy_the_runtime_uses(tree: Cgroups, root: str) -> None:
    assert isinstance(tree, LegacyCgroups)
    path = ensure(tree, pod(memory="0"))
    assert path == f"{root}/kubepods/burstable/podab-1"
    for hierarchy in tree.hierarchies:
        assert os.path.isdir(hierarchy.folder + path), hierarchy.folder
    assert tree.pods() == {"ab-1"}


def test_the_kernel_has_the_pods_limits(tree: Cgroups) -> None:
    path = ensure(tree, pod(), pod_pids_limit=50)

    def read(controller: str, file: str) -> str:
        return Path(f"{MOUNT}/{controller}{path}/{file}").read_text().strip()

    assert read("cpu", "cpu.shares") == "512"
    assert read("cpu", "cpu.cfs_quota_us") == "50000"
    assert read("memory", "memory.limit_in_bytes") == str(32 << 20)
    assert read("pids", "pids.max") == "50"
    assert read("cpuset", "cpuset.cpus"), "nothing could run in an empty cpuset"


def test_a_pod_that_takes_too_much_memory_is_killed_and_the_host_is_not(tree: Cgroups) -> None:
    path = ensure(tree, pod(memory="16Mi"))
    eats = "import time; b = bytearray(64 << 20); time.sleep(9)"
    assert within(path, "python3", "-c", eats).returncode == -9
    assert within(path, "true").returncode == 0


def test_a_fork_bomb_stops_at_the_pods_number_of_processes(tree: Cgroups) -> None:
    path = ensure(tree, pod(memory="256Mi"), pod_pids_limit=8)
    done = within(path, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.3 & done; wait")
    assert b"fork" in done.stderr.lower()


def test_a_resize_changes_a_running_pods_limits(tree: Cgroups) -> None:
    path = ensure(tree, pod())
    tree.update_pod(pod(), PodLimits("Burstable", 1024, -1, memory=-1))
    assert Path(f"{MOUNT}/cpu{path}/cpu.cfs_quota_us").read_text().strip() == "-1"
    assert int(Path(f"{MOUNT}/memory{path}/memory.limit_in_bytes").read_text()) > 1 << 60


def test_removing_a_pod_kills_what_is_left_in_it_and_can_be_repeated(
    tree: Cgroups, sleeper: subprocess.Popen[bytes]
) -> None:
    path = ensure(tree, pod(memory="0"))
    for hierarchy in tree.hierarchies:  # type: ignore[attr-defined]
        os.mkdir(f"{hierarchy.folder}{path}/container")
        if "cpuset" in hierarchy.controllers:
            for file in ("cpuset.cpus", "cpuset.mems"):
                inherited = Path(f"{hierarchy.folder}{path}/{file}").read_text()
                Path(f"{hierarchy.folder}{path}/container/{file}").write_text(inherited)
    enter(tree, f"{path}/container", sleeper.pid)
    assert tree.processes("ab-1") == [sleeper.pid]
    tree.remove_pod("ab-1")
    tree.remove_pod("ab-1")
    assert sleeper.wait(5) == -9
    assert tree.pods() == set()


def test_usage_counts_what_the_pod_does(tree: Cgroups) -> None:
    path = ensure(tree, pod(memory="128Mi"))
    assert tree.usage("ab-1").cpu_nanoseconds == 0
    burn = Path(f"{MOUNT}/cpuacct{path}/cgroup.procs")

    def join() -> None:
        burn.write_text(str(os.getpid()))
        Path(f"{MOUNT}/memory{path}/cgroup.procs").write_text(str(os.getpid()))

    subprocess.run(["python3", "-c", "sum(range(10**6))"], preexec_fn=join, check=True)
    found = tree.usage("ab-1")
    assert found.cpu_nanoseconds
    assert found.cpu_nanoseconds > 5_000_000
    assert found.memory_limit == 128 << 20


def test_the_host_says_plainly_what_it_cannot_do(tree: Cgroups) -> None:
    assert "boot with systemd.unified_cgroup_hierarchy=1" in tree.notes()[0]
    assert tree.pressure("ab-1") is None
