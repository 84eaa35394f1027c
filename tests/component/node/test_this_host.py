"""What is read of the machine that the tests run on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pykubelet.kubelet.node import addresses, host, info
from pykubelet.kubelet.node.pressure import Alarm, Observer


def test_the_machine_says_who_it_is() -> None:
    found = info.system()
    assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert found.kernel_version == os.uname().release
    assert found.os_image
    assert found.system_uuid


def test_a_machine_without_papers_still_has_a_name(tmp_path: Path) -> None:
    found = info.system(tmp_path)
    assert (found.machine_id, found.boot_id, found.os_image) == ("", "", "Linux")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("abc\n")
    (tmp_path / "etc/os-release").write_text('NAME=x\nPRETTY_NAME="Nice OS 1"\n')
    found = info.system(tmp_path)
    assert (found.machine_id, found.system_uuid, found.os_image) == ("abc", "abc", "Nice OS 1")


def test_capacity_is_the_whole_machine(tmp_path: Path) -> None:
    found = info.capacity(str(tmp_path / "not/made/yet"), max_pods=110, pods_per_core=10)
    assert found.cpu_milli == (os.cpu_count() or 1) * 1000
    assert found.memory == psutil.virtual_memory().total
    assert found.pods == min(110, (os.cpu_count() or 1) * 10)
    assert found.ephemeral_storage > 0
    assert found.pids > 0


def test_everything_that_can_run_out_is_observed() -> None:
    found = Observer("/", image_dirs=lambda: ["/"]).observe()
    assert {
        "memory.available", "nodefs.available", "imagefs.available", "containerfs.available",
        "pid.available",
    } <= set(found)  # fmt: skip
    for signal, seen in found.items():
        assert 0 <= seen.available <= seen.capacity, signal


def test_what_can_not_be_read_is_left_out(tmp_path: Path) -> None:
    assert Observer(str(tmp_path / "nothing"), proc=str(tmp_path)).observe() == {}


def test_a_look_costs_next_to_nothing() -> None:
    """Complaint 1: CPU burnt with no workload. At one look in 10 s, 5 ms would be 0.05 %."""
    observer = Observer("/", image_dirs=lambda: ["/"])
    observer.observe()
    began = time.process_time()
    for _ in range(20):
        observer.observe()
    assert (time.process_time() - began) / 20 < 0.005


def test_an_alarm_wakes_when_rung_and_otherwise_lets_sleep() -> None:
    alarm = Alarm()
    assert alarm.wait(0.05) is False
    threading.Timer(0.1, alarm.ring).start()
    began = time.monotonic()
    assert alarm.wait(10) is True
    assert time.monotonic() - began < 5
    assert alarm.wait(0.05) is False  # once rung, once heard
    alarm.close()


def test_without_pressure_figures_the_alarm_goes_by_the_clock(tmp_path: Path) -> None:
    alarm = Alarm(proc=str(tmp_path))
    assert alarm.wait(0.05) is False
    alarm.close()


@pytest.mark.root
def test_a_node_with_no_route_anywhere_still_finds_its_address() -> None:
    """Complaint 22: no default route, no start."""
    script = (
        "from pykubelet.kubelet.node.addresses import Host, choose\n"
        "print(choose(Host()), choose(Host(), server='10.77.0.9'))"
    )
    setup = "ip link add e0 type veth peer name e1 && ip addr add 10.77.0.1/24 dev e0 && " \
        "ip link set e0 up && ip link set e1 up"  # fmt: skip
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", f'{setup} && exec "$0" -c "$1"', sys.executable, script],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "('10.77.0.1',) ('10.77.0.1',)"


def test_this_host_has_an_address_or_says_that_it_has_none() -> None:
    assert all(not ip.startswith("127.") for ip in addresses.choose(addresses.Host()))


def test_a_taken_port_is_found_with_the_program_that_has_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        facts = host.look([("127.0.0.1", port)])
    assert f"(pid {os.getpid()})" in facts.taken_ports[port]
    assert host.look([("127.0.0.1", port)]).taken_ports == {}


def test_a_boot_is_remembered_from_one_start_to_the_next(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    first = host.look(state_dir=state)
    assert not first.rebooted
    host.remember_boot(state, first.boot_id)
    assert not host.look(state_dir=state).rebooted
    host.remember_boot(state, "another")
    assert host.look(state_dir=state).rebooted


def test_inotify_holders_are_found_by_name() -> None:
    """Complaint 28: who has the inotify instances is told, not left to guess."""
    script = (
        "import ctypes, sys; ctypes.CDLL(None).inotify_init1(0); print(flush=True);sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout
    assert holder.stdin
    holder.stdout.readline()
    found = host.look().inotify
    holder.stdin.close()
    holder.wait()
    holder.stdout.close()
    assert found.used >= 1
    assert found.instances > 0
    assert found.holders
