"""cgroup v2 for what a real unified mount offers everywhere: groups, killing, events, PSI.

On a hybrid host that mount lacks cpu, memory and pids, which their own hierarchies have. What the
kernel enforces with all controllers is shown in a virtual machine.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pykubelet.kubelet.cgroups.limits import PodLimits
from pykubelet.kubelet.cgroups.tree import Cgroups, NodeReservations, detect
from pykubelet.kubelet.cgroups.v2 import UnifiedCgroups

UNIFIED = next(
    (m for m in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
     if Path(m, "cgroup.controllers").exists()), ""
)  # fmt: skip

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not UNIFIED, reason="no cgroup2 is mounted on this host"),
]

POD: dict[str, Any] = {"metadata": {"uid": "cd-2"}, "spec": {"containers": [{"name": "c"}]}}


@pytest.fixture
def tree(root: str) -> Cgroups:
    found = detect(root, mount=UNIFIED)
    assert isinstance(found, UnifiedCgroups)
    found.ensure_tree(NodeReservations(2000, 8 << 30))
    return found


def test_a_pods_group_is_made_with_whatever_controllers_there_are(tree: Cgroups) -> None:
    tree.ensure_pod(POD, PodLimits("BestEffort", 2, -1, hugepages={"2MB": 0}))
    folder = Path(UNIFIED + tree.parent(POD))
    for name in tree.host.controllers:
        assert name in (folder / "cgroup.controllers").read_text()
    if "hugetlb" in tree.host.controllers:
        assert (folder / "hugetlb.2MB.max").read_text().strip() == "0"


def test_removal_kills_the_whole_subtree_and_waits_for_it(
    tree: Cgroups, sleeper: subprocess.Popen[bytes]
) -> None:
    tree.ensure_pod(POD, PodLimits("BestEffort"))
    container = Path(UNIFIED + tree.parent(POD), "container")
    container.mkdir()
    (container / "cgroup.procs").write_text(str(sleeper.pid))
    assert tree.processes("cd-2") == [sleeper.pid]
    tree.remove_pod("cd-2")
    assert sleeper.wait(5) == -9
    assert not container.exists()
    tree.remove_pod("cd-2")


def test_an_empty_pod_is_removed_at_once(tree: Cgroups) -> None:
    tree.ensure_pod(POD, PodLimits("BestEffort"))
    began = time.monotonic()
    tree.remove_pod("cd-2")
    assert time.monotonic() - began < 1
    assert tree.pods() == set()


def test_pressure_is_read_by_pod_and_for_the_host(tree: Cgroups) -> None:
    if not os.path.exists("/proc/pressure/cpu"):
        pytest.skip("this kernel has no PSI")
    tree.ensure_pod(POD, PodLimits("BestEffort"))
    found = tree.pressure("cd-2")
    assert found
    assert found.some["memory"].total == 0
    host = tree.pressure()
    assert host
    assert host.some["cpu"].total > 0
