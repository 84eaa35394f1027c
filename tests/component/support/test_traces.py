"""The leak checks are only worth something if a leak is seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.traces import difference, settled, snapshot

pytestmark = pytest.mark.root


def test_a_quiet_machine_shows_no_difference_and_each_kind_of_leak_shows() -> None:
    with Machine() as machine:
        folder = machine.home / "state"
        folder.mkdir()
        before = snapshot(machine, [folder])
        assert difference(before, snapshot(machine, [folder])) == []

        machine.run("ip", "link", "add", "pk0", "type", "bridge")
        machine.run("ip", "address", "add", "10.9.8.1/24", "dev", "pk0")
        machine.run("ip", "link", "set", "pk0", "up")
        machine.run("ip", "route", "add", "10.9.7.0/24", "dev", "pk0")
        machine.run("nft", "add", "table", "ip", "pk")
        machine.run("iptables", "-t", "nat", "-N", "PK")
        (folder / "lease").touch()
        (machine.home / "mounted").mkdir()
        machine.run("mount", "-t", "tmpfs", "none", machine.home / "mounted")
        cgroup = Path("/sys/fs/cgroup") / _a_hierarchy() / machine.cgroup_root.lstrip("/") / "pod"
        cgroup.mkdir(parents=True)
        left = "\n".join(difference(before, snapshot(machine, [folder])))
        for trace in (
            "link: new: pk0 (bridge)",
            "address: new: 10.9.8.1/24 on pk0",
            "dst 10.9.7.0/24",
            "nftables line: new: table ip pk",
            "iptables rule: new: iptables-save nat: chain PK",
            f"file: new: {folder}/lease",
            f"mount: new: {machine.home}/mounted (tmpfs)",
            "cgroup: new:",
        ):
            assert trace in left

        machine.run("nft", "flush", "ruleset")
        machine.run("ip", "link", "del", "pk0")
        machine.run("umount", machine.home / "mounted")
        (folder / "lease").unlink()
        os.rmdir(cgroup)
        os.rmdir(cgroup.parent)
        assert settled(before, machine, [folder], timeout=5) == []


def _a_hierarchy() -> str:
    return "" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "pids"
