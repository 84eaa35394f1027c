"""What cgroup v2 enforces, with both drivers. To be run inside a virtual machine, as root.

The lab copies the tree into a machine that has systemd and a unified hierarchy with all controllers
and runs this file there; on a host without them every test is skipped, saying why. Deadlines are
for emulated machines, many times slower than real ones.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykubelet.kubelet.cgroups import limits
from pykubelet.kubelet.cgroups.limits import PodLimits, Rules
from pykubelet.kubelet.cgroups.tree import Cgroups, NodeReservations, detect
from pykubelet.objects import resources
from tests.support.waiting import until

MOUNT = Path("/sys/fs/cgroup")


def _missing() -> str:
    if os.geteuid() != 0:
        return "needs root"
    try:
        controllers = (MOUNT / "cgroup.controllers").read_text().split()
    except OSError:
        return "needs a host with cgroup v2 alone (run it in the VM lab)"
    lacking = {"cpu", "memory", "pids"} - set(controllers)
    return f"cgroup v2 lacks {', '.join(sorted(lacking))} here" if lacking else ""


pytestmark = [pytest.mark.vm, pytest.mark.skipif(bool(_missing()), reason=_missing())]


@pytest.fixture(params=["cgroupfs", "systemd"])
def tree(request: pytest.FixtureRequest) -> Iterator[Cgroups]:
    if request.param == "systemd" and not os.path.isdir("/run/systemd/system"):
        pytest.skip("systemd is not running")
    root = f"/pk{uuid.uuid4().hex[:6]}"
    found = detect(root, request.param)
    found.ensure_tree(NodeReservations(2000, 512 << 20))
    yield found
    for uid in found.pods():
        found.remove_pod(uid)
    if request.param == "systemd":
        subprocess.run(["systemctl", "stop", f"{root.strip('/')}.slice"], check=False)
    for top in (MOUNT / root.strip("/"), MOUNT / f"{root.strip('/')}.slice"):
        for folder, _, _ in os.walk(top, topdown=False):
            until(lambda f=folder: not os.path.exists(f) or os.rmdir(f) is None, f"{folder} empty")


def pod(uid: str = "ab-1", **limit: str) -> dict[str, Any]:
    asked = {"requests": {"cpu": "500m"}, "limits": limit}
    return {
        "metadata": {"uid": uid},
        "spec": {"containers": [{"name": "c", "resources": asked}]},
    }


def ensure(tree: Cgroups, one: dict[str, Any], **rules: Any) -> Path:
    """Make the pod's group and, as the runtime would, one for a container in it."""
    tree.ensure_pod(one, limits.pod_limits(one, Rules(512 << 20, **rules)))
    qos = resources.qos_class(one)
    folder = MOUNT / tree.names.pod(one["metadata"]["uid"], qos).lstrip("/")
    (folder / "container").mkdir()
    return folder


def within(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    def join() -> None:
        (folder / "container/cgroup.procs").write_text(str(os.getpid()))

    return subprocess.Popen(
        command, preexec_fn=join, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_a_pod_that_takes_too_much_memory_is_killed(tree: Cgroups) -> None:
    folder = ensure(tree, pod(memory="32Mi"))
    eats = within(folder, "python3", "-c", "import time; b = bytearray(128 << 20); time.sleep(99)")
    assert eats.wait(60) == -9
    assert "oom_kill 1" in (folder / "memory.events").read_text()


def test_a_pods_cpu_limit_throttles_it(tree: Cgroups) -> None:
    folder = ensure(tree, pod(cpu="100m"))
    spin = within(folder, "python3", "-c", "while True: pass")
    try:
        until(lambda: (tree.usage("ab-1").cpu_nanoseconds or 0) > 10**8, "it spins", timeout=60)
        before, began = tree.usage("ab-1").cpu_nanoseconds, time.monotonic()
        time.sleep(3)  # measuring takes time
        after, took = tree.usage("ab-1").cpu_nanoseconds, time.monotonic() - began
        assert before is not None
        assert after is not None
        assert (after - before) / 1e9 / took < 0.2
    finally:
        spin.kill()
        spin.wait()


def test_a_fork_bomb_stops_at_the_pods_number_of_processes(tree: Cgroups) -> None:
    folder = ensure(tree, pod(), pod_pids_limit=8)
    bomb = within(folder, "sh", "-c", "for i in $(seq 12); do sleep 5 & done; wait")
    assert b"fork" in bomb.communicate(timeout=60)[1].lower()


def test_a_resize_reaches_the_kernel(tree: Cgroups) -> None:
    one = pod(memory="64Mi", cpu="1")
    folder = ensure(tree, one)
    assert (folder / "cpu.max").read_text().split() == ["100000", "100000"]
    tree.update_pod(one, PodLimits("Burstable", 1024, -1, memory=128 << 20))
    until(lambda: (folder / "memory.max").read_text().strip() == str(128 << 20), "memory.max")
    until(lambda: (folder / "cpu.max").read_text().split()[0] == "max", "cpu.max")
    assert (folder / "cpu.weight").read_text().strip() == "100"


def test_removing_a_pod_kills_all_of_it(tree: Cgroups) -> None:
    folder = ensure(tree, pod())
    left = within(folder, "sh", "-c", "trap '' TERM; sleep 600 & wait")
    until(lambda: len(tree.processes("ab-1")) == 2, "both run", timeout=30)
    tree.remove_pod("ab-1")
    tree.remove_pod("ab-1")
    assert left.wait(30) == -9
    until(lambda: not folder.exists(), "the group is gone", timeout=30)
    assert tree.pods() == set()


def test_pods_together_stay_within_the_nodes_allocatable(tree: Cgroups) -> None:
    tree.ensure_tree(NodeReservations(2000, 256 << 20))
    kubepods = MOUNT / tree.names.kubepods().lstrip("/")
    assert (kubepods / "memory.max").read_text().strip() == str(256 << 20)
    tree.update_qos([pod("a"), pod("b")])
    burstable = MOUNT / tree.names.qos("Burstable").lstrip("/")
    assert (burstable / "cpu.weight").read_text().strip() == "100"


def test_swap_is_forbidden_file_by_file(tree: Cgroups) -> None:
    """Complaint 20: pods get no swap unless the node is told to give them some."""
    if not tree.host.swap_controller:
        pytest.skip("this kernel doesn't count swap")
    rules = Rules(512 << 20, node_swap=1 << 30, swap_controller=True)
    one = pod(memory="64Mi")
    unified = limits.container_resources(one, one["spec"]["containers"][0], rules)["unified"]
    folder = ensure(tree, one)
    (folder / "cgroup.subtree_control").write_text("+memory")
    for file, value in unified.items():
        (folder / "container" / file).write_text(value)
    assert (folder / "container/memory.swap.max").read_text().strip() == "0"


def test_systemd_knows_the_limits_and_keeps_them_over_a_reload(tree: Cgroups) -> None:
    if tree.names.driver != "systemd":
        pytest.skip("about systemd's slices")
    one = pod(memory="64Mi")
    folder = ensure(tree, one, pod_pids_limit=50)
    unit = tree.parent(one)
    shown = subprocess.run(
        ["systemctl", "show", unit, "-p", "MemoryMax,TasksMax,ActiveState"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert f"MemoryMax={64 << 20}" in shown
    assert "TasksMax=50" in shown
    assert "ActiveState=active" in shown
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert (folder / "memory.max").read_text().strip() == str(64 << 20)
    tree.remove_pod("ab-1")
    gone = subprocess.run(["systemctl", "is-active", unit], capture_output=True, check=False)
    assert gone.returncode != 0
