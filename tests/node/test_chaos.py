"""A host that misbehaves: the agent says so, keeps what runs running, and is well again after it.

Each test ends as it began: nothing that it made is left, and the pod that was well all along has
the container that it had before.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import SLEEP, AgentProcess, container, pod
from tests.support.cri_proxy import CriProxy
from tests.support.hostile import Clock, with_boot_id, without_inotify
from tests.support.machine import Machine
from tests.support.network import use_bundled_cni
from tests.support.traces import Traces, settled, snapshot
from tests.support.waiting import until

pytestmark = pytest.mark.root

YEAR = 365 * 86400
Json = dict[str, Any]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        machine.load_images()
        use_bundled_cni(machine, "10.79.0.0/24", serve=False)
        yield machine


@pytest.fixture(scope="module")
def clean(machine: Machine) -> Traces:
    """What is there when no pod is, the bridge and its rules included."""
    agent = AgentProcess(machine)
    agent.drop("first.yaml", pod("first"))
    agent.wait_ready("first")
    agent.remove("first.yaml")
    agent.wait_gone("first")
    agent.stop()
    return snapshot(machine)


@pytest.fixture
def agent(machine: Machine, clean: Traces) -> Iterator[AgentProcess]:
    """Not started yet: each test has its own way to. In the end nothing may be left."""
    agent = AgentProcess(machine, start=False)
    plain, environment = list(agent.arguments), dict(agent.environment)
    yield agent
    if agent.process:
        agent.stop()
    agent.arguments, agent.environment = plain, environment
    agent.start()
    finish(agent)
    assert settled(clean, machine) == []


def finish(agent: AgentProcess) -> None:
    """Take all pods away, and then the agent."""
    for manifest in agent.manifests.iterdir():
        manifest.unlink()
    until(lambda: not agent.pods(), "all pods are gone", 60)
    agent.stop()


@pytest.fixture(autouse=True)
def no_pod_is_left() -> None:
    """`agent` sees to it."""


@pytest.fixture
def proxy(machine: Machine) -> Iterator[CriProxy]:
    proxy = CriProxy(machine.run_dir / "proxy.sock", machine.socket)
    yield proxy
    proxy.close()
    proxy.socket.unlink(missing_ok=True)


def start_well(agent: AgentProcess) -> str:
    """Start it with one pod; that pod's container, which has to stay."""
    agent.start()
    agent.drop("well.yaml", pod("well"))
    agent.wait_ready("well")
    return str(agent.status("well")["containerID"])


def condition(agent: AgentProcess, kind: str) -> str:
    found = agent.get("status")["node"]["conditions"]
    return next((str(c["status"]) for c in found if c["type"] == kind), "")


# -- the disk -------------------------------------------------------------------------------------


@pytest.fixture
def disk(agent: AgentProcess) -> Iterator[Path]:
    """A small file system for the agent's state and the pods' logs, while the agent runs."""
    agent.root.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "small", agent.root], check=True)
    yield agent.root
    finish(agent)
    subprocess.run(["umount", "--recursive", "--lazy", agent.root], check=True)


def fill(file: Path) -> None:
    with open(file, "wb") as out:
        while True:
            out.write(b"x" * 65536)
            out.flush()


def test_a_full_disk_is_told_and_outlived(agent: AgentProcess, disk: Path) -> None:
    agent.arguments += ["--pod-logs-dir", str(disk / "log/pods")]
    # Looked at every ten seconds; over as soon as it is over.
    agent.arguments += ["--eviction-pressure-transition-period", "1s"]
    before = start_well(agent)
    full = disk / "everything"
    with pytest.raises(OSError, match="No space"):
        fill(full)
    until(lambda: condition(agent, "DiskPressure") == "True", "the pressure is told", 30)
    agent.drop(
        "files.yaml",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"},
         "data": {"big": "y" * 100_000}},
        pod("files", container(volumeMounts=[{"name": "w", "mountPath": "/w"}]),
            volumes=[{"name": "w", "configMap": {"name": "words"}}]),
    )  # fmt: skip
    until(lambda: "No space left" in agent.sentence("files"), "the reason is said of the pod")
    assert agent.status("well")["containerID"] == before
    agent.kill()
    agent.start()
    agent.wait_ready("well")
    assert agent.status("well")["containerID"] == before
    full.unlink()
    until(lambda: condition(agent, "DiskPressure") == "False", "the pressure is over", 40)
    agent.wait_ready("files", timeout=70)
    assert agent.exec("files", "cat", "/w/big").strip() == "y" * 100_000


# -- the clock ------------------------------------------------------------------------------------


@pytest.mark.skipif(not Clock.possible(), reason="needs gcc to make a clock that can be moved")
def test_a_clock_that_jumps_by_years_changes_nothing(agent: AgentProcess, machine: Machine) -> None:
    clock = Clock(machine.home)
    agent.environment |= clock.environment
    before = start_well(agent)
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    agent.drop(
        "more.yaml",
        pod("probed", container(livenessProbe=probe, readinessProbe=probe)),
        pod("limited", activeDeadlineSeconds=3600),
        pod("crashing", container(script="exit 1")),
    )
    agent.wait_ready("probed", "limited")
    until(lambda: agent.status("crashing")["restartCount"] == 1, "it has crashed twice")
    started = {name: agent.status(name)["containerID"] for name in ("probed", "limited")}
    for jump in (3 * YEAR, -3 * YEAR, 0):
        clock.jump(jump)
        agent.drop("new.yaml", pod("new"))
        agent.wait_ready("new")
        time.sleep(2)  # two periods of the probes under the new time
        assert agent.get("status")["node"]["ready"]
        assert agent.status("well")["containerID"] == before
        for name, id in started.items():
            assert agent.status(name)["containerID"] == id
            assert agent.phase(name) == "Running"
        # Ten seconds, then twenty, however far the clock went: no storm, no wait of years.
        assert agent.status("crashing")["restartCount"] <= 3
        agent.remove("new.yaml")
        agent.wait_gone("new")
    until(lambda: agent.status("crashing")["restartCount"] >= 2, "its turn has come", 40)


# -- the runtime ----------------------------------------------------------------------------------


def test_a_runtime_that_fails_at_random_is_waited_for(agent: AgentProcess, proxy: CriProxy) -> None:
    agent.arguments += ["--container-runtime-endpoint", f"unix://{proxy.socket}"]
    before = start_well(agent)
    chance = random.Random(7)
    proxy.fails = lambda method, request: "by chance" if chance.random() < 0.4 else ""
    agent.drop("many.yaml", *(pod(f"many{n}") for n in range(8)))
    agent.drop("more.yaml", *(pod(f"more{n}") for n in range(4)))
    time.sleep(4)
    agent.remove("more.yaml")
    time.sleep(4)
    proxy.fails = lambda method, request: ""
    agent.wait_ready(*(f"many{n}" for n in range(8)), timeout=70)
    agent.wait_gone(*(f"more{n}" for n in range(4)))
    assert agent.status("well")["containerID"] == before
    assert agent.status("well")["restartCount"] == 0


def test_an_agent_killed_while_the_network_is_made_leaks_no_address(
    agent: AgentProcess, machine: Machine
) -> None:
    """Complaint: addresses leak until none is left."""
    plugin = machine.cni_bin / "pykubelet"
    real, order = plugin.with_name("pykubelet.real"), machine.home / "kill-at-add"
    plugin.rename(real)
    plugin.write_text(
        f'#!/bin/sh\nif [ "$CNI_COMMAND" = ADD ] && [ -e {order} ]; then\n'
        f"  kill -9 $(cat {order}); rm {order}\nfi\nexec {real}\n"
    )
    plugin.chmod(0o755)
    try:
        before = start_well(agent)
        for _ in range(3):
            assert agent.process
            order.write_text(str(agent.process.pid))
            agent.drop("new.yaml", pod("new"))
            until(lambda: agent.process and agent.process.poll() is not None, "it was killed")
            agent.start()
            agent.wait_ready("new")
            agent.remove("new.yaml")
            agent.wait_gone("new")
        assert agent.status("well")["containerID"] == before
        leases = list((agent.root / "cni").glob("*/leases/[!.]*"))
        assert len(leases) == 1, leases
    finally:
        real.rename(plugin)


# -- the manifest folder --------------------------------------------------------------------------


def test_without_inotify_the_folder_is_polled_and_the_true_reason_said(
    agent: AgentProcess,
) -> None:
    """Complaint: "too many open files" that are inotify limits."""
    agent.arguments = without_inotify(agent.arguments)
    start_well(agent)
    assert agent.get("status")["agent"]["watching"] == "polling"
    log = agent.log()
    assert "no inotify instance is left" in log
    assert "fs.inotify.max_user_instances" in log
    agent.remove("well.yaml")
    agent.wait_gone("well")


def test_a_thousand_spoilt_manifests_hurt_nobody(agent: AgentProcess) -> None:
    agent.arguments += ["--max-pods", "12"]
    before = start_well(agent)
    chance = random.Random(20)
    for burst in range(10):
        for number in range(100):
            (agent.manifests / f"f{burst}-{number}.yaml").write_bytes(spoilt(chance))
        time.sleep(0.3)
        if burst % 3 == 2:
            for file in agent.manifests.glob("f*.yaml"):
                if chance.random() < 0.5:
                    file.unlink()
    for file in agent.manifests.glob("f*.yaml"):
        file.unlink()
    until(lambda: len(agent.pods()) == 1, "all but the one are gone", 90)
    agent.drop("last.yaml", pod("last"))
    agent.wait_ready("last")
    assert agent.status("well")["containerID"] == before
    assert agent.status("well")["restartCount"] == 0
    assert "Traceback" not in agent.log()


def spoilt(chance: random.Random) -> bytes:
    """A manifest with one thing wrong, or ten, or nothing at all."""
    found = pod(f"f{chance.randrange(40)}", container(script="exit 0"), restartPolicy="Never",
                terminationGracePeriodSeconds=0)  # fmt: skip
    for _ in range(chance.choice((0, 1, 1, 2, 10))):
        _spoil(found, chance)
    text = json.dumps(found).encode()
    match chance.randrange(6):
        case 0:  # torn
            return text[: chance.randrange(len(text))]
        case 1:  # a byte or two of something else
            at = chance.randrange(len(text))
            return text[:at] + chance.randbytes(2) + text[at + 2 :]
        case 2:
            return text + b"\n---\n" + text
    return text


_WORDS: tuple[Any, ...] = (
    None, "", "x" * 300, -1, 2**70, 1.5, True, [], {}, [[]], {"a": {"b": {}}}, "..", "/", "ä", "\0",
    "*", "&a", "{{", "9" * 20, ["a", 1], {"": ""},
)  # fmt: skip


def _spoil(tree: Any, chance: random.Random) -> None:
    """Change, remove or add something somewhere in it."""
    while isinstance(tree, dict | list) and tree:
        keys = list(tree) if isinstance(tree, dict) else range(len(tree))
        key = chance.choice(list(keys))
        if not isinstance(tree[key], dict | list) or not tree[key] or chance.random() < 0.3:
            match chance.randrange(3):
                case 0:
                    tree[key] = deepcopy(chance.choice(_WORDS))
                case 1:
                    del tree[key]
                case _ if isinstance(tree, dict):
                    tree[chance.choice(("volumes", "hostPID", "kind", "odd", "image"))] = deepcopy(
                        chance.choice(_WORDS)
                    )
            return
        tree = tree[key]


# -- the host -------------------------------------------------------------------------------------


def test_after_a_reboot_pods_are_back_within_seconds(agent: AgentProcess, machine: Machine) -> None:
    """Complaint: after a reboot pods are "Running" but dead for minutes."""
    boot = machine.home / "boot-id"
    boot.write_text("11111111-1111-4111-8111-111111111111\n")
    plain = list(agent.arguments)
    agent.arguments = with_boot_id(boot, plain)
    start_well(agent)
    agent.drop("once.yaml", pod("once", container(script="exit 0"), restartPolicy="Never"))
    agent.wait_for_phase("once", "Succeeded")
    address = agent.pod("well")["status"]["podIP"]  # type: ignore[index]
    agent.kill()
    machine.lose_power()
    boot.write_text("22222222-2222-4222-8222-222222222222\n")
    machine.start_containerd()
    began = time.monotonic()
    agent.start()
    agent.wait_ready("well", timeout=20)
    took = time.monotonic() - began
    assert took < 15
    assert "the host was rebooted" in agent.log()
    assert agent.phase("once") == "Succeeded"
    assert agent.status("well")["restartCount"] == 1
    leases = [f.name for f in (agent.root / "cni").glob("*/leases/[!.]*")]
    assert len(leases) == 1, (leases, address)
    agent.arguments = plain
    agent.stop()


def test_the_shim_of_a_pod_that_dies_takes_nobody_along(agent: AgentProcess) -> None:
    start_well(agent)
    agent.drop("other.yaml", pod("other", container(script=SLEEP)))
    agent.wait_ready("other")
    before = agent.status("other")["containerID"]
    sandbox = agent.machine.shim_of("well-node-1")
    subprocess.run(["kill", "-9", str(sandbox)], check=True)
    until(lambda: agent.status("well").get("restartCount"), "it was started again", 40)
    agent.wait_ready("well")
    assert agent.status("other")["containerID"] == before
