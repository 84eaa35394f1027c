"""The agent as a daemon: what it says of the host at its start, what a reload takes up, how its
service manager sees it, how it logs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent import AgentProcess, pod
from tests.support.cri_proxy import CriProxy
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = pytest.mark.root

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


@pytest.fixture
def config(machine: Machine) -> Path:
    path = machine.home / "kubelet.yaml"
    path.write_text(HEAD)
    return path


@pytest.fixture
def agent(machine: Machine, config: Path) -> Iterator[AgentProcess]:
    (machine.home / "agent.log").unlink(missing_ok=True)
    agent = AgentProcess(machine, "--config", str(config), start=False)
    yield agent
    if agent.process:
        agent.stop()


@pytest.fixture(autouse=True)
def no_pod_is_left(request: pytest.FixtureRequest, machine: Machine) -> Iterator[None]:
    yield
    left = AgentProcess(machine, start=False)
    if any(left.manifests.iterdir()):
        left.start()
        for manifest in left.manifests.iterdir():
            manifest.unlink()
        until(lambda: not left.pods(), "all pods are gone", 40)
        left.stop()


def lines(agent: AgentProcess, level: str = "") -> list[str]:
    return [line for line in agent.log().splitlines() if f" {level} " in line or not level]


# -- its start ------------------------------------------------------------------------------------


def test_what_is_wrong_with_the_host_is_said_once_with_its_remedy(
    agent: AgentProcess, machine: Machine
) -> None:
    """Complaint: DNS loops with systemd-resolved; the firewall; inotify; swap."""
    stub = machine.home / "stub.conf"
    stub.write_text("nameserver 127.0.0.53\n")
    agent.start()  # the plugin sees to forwarding at first; later somebody may switch it off
    agent.stop()
    machine.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
    agent.arguments += ["--resolv-conf", str(stub)]
    agent.start()
    log = agent.log()
    assert log.count("names only this node's loopback") == 1
    assert log.count("run `sysctl -w net.ipv4.ip_forward=1`") == 1


def test_a_host_that_is_refused_by_the_configuration_gets_one_line_for_each_reason(
    agent: AgentProcess, config: Path
) -> None:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("this host has cgroup v2")
    config.write_text(HEAD + "failCgroupV1: true\n")
    agent.start(wait=False)
    assert agent.process
    assert agent.process.wait(20) == 1
    (line,) = lines(agent, "E")
    assert "this host has cgroup v1; unset failCgroupV1, or boot with v2" in line


def test_settings_that_are_not_acted_on_are_named_with_their_place(
    agent: AgentProcess, config: Path
) -> None:
    config.write_text(HEAD + "cpuManagerPolicy: static\nrotateCertificates: true\n")
    agent.start()
    assert "kubelet.yaml:3: cpuManagerPolicy is not acted on" in agent.log()
    assert "kubelet.yaml:4: rotateCertificates is not acted on" in agent.log()


def test_a_standing_that_the_kernel_refuses_is_said_and_lived_with(agent: AgentProcess) -> None:
    agent.arguments += ["--oom-score-adj", "-998", "--max-open-files", "4096"]
    agent.start()
    assert agent.process
    files = Path(f"/proc/{agent.process.pid}/limits").read_text()
    assert re.search(r"Max open files\s+4096\s", files)
    score = int(Path(f"/proc/{agent.process.pid}/oom_score_adj").read_text())
    assert score == -998 or agent.log().count("oomScoreAdj -998 can't be had") == 1


def test_images_may_be_asked_for_at_a_socket_of_their_own(
    agent: AgentProcess, machine: Machine
) -> None:
    proxy = CriProxy(machine.run_dir / "images.sock", machine.socket)
    try:
        agent.arguments += ["--image-service-endpoint", f"unix://{proxy.socket}"]
        agent.start()
        agent.drop("web.yaml", pod("web"))
        agent.wait_ready("web")
        assert proxy.calls.get("ImageStatus")
        assert "RunPodSandbox" not in proxy.calls
    finally:
        proxy.close()


def test_a_stop_while_the_runtime_is_awaited_is_obeyed_at_once(agent: AgentProcess) -> None:
    agent.arguments += ["--container-runtime-endpoint", "unix:///nowhere.sock"]
    agent.start(wait=False)
    until(lambda: "waiting for the runtime" in agent.log(), "it waits")
    assert agent.process
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(5) == 0


# -- reload ---------------------------------------------------------------------------------------


def test_a_reload_takes_up_what_it_can_and_names_what_waits(
    agent: AgentProcess, config: Path
) -> None:
    agent.start()
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    before = agent.status("web")["containerID"]
    config.write_text(
        HEAD + 'evictionHard: {memory.available: "99%"}\nlogging: {verbosity: 5}\nmaxPods: 7\n'
    )
    agent.reload()
    until(lambda: "waiting for a restart: maxPods" in agent.log(), "the reload is told")
    assert "evictionHard" in agent.log().split("taken up: ")[1].splitlines()[0]
    until(lambda: _condition(agent, "MemoryPressure") == "True", "the new threshold counts")
    shown = agent.get("configz")["kubeletconfig"]
    assert shown["evictionHard"] == {"memory.available": "99%"}
    assert shown["maxPods"] == 110
    assert agent.status("web")["containerID"] == before

    config.write_text(HEAD + "maxPods: many\n")
    agent.reload()
    until(lambda: "not reloaded, all stays as it was" in agent.log(), "the refusal is told")
    assert "kubelet.yaml:3" in agent.log()
    assert agent.status("web")["containerID"] == before


def _condition(agent: AgentProcess, kind: str) -> str:
    found = agent.get("status")["node"]["conditions"]
    return next((str(c["status"]) for c in found if c["type"] == kind), "")


# -- its service manager --------------------------------------------------------------------------


@pytest.fixture
def manager(machine: Machine, agent: AgentProcess) -> Iterator[socket.socket]:
    """The other end of NOTIFY_SOCKET."""
    path = machine.run_dir / "notify.sock"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(path))
    sock.settimeout(20)
    agent.environment |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}
    yield sock
    sock.close()
    path.unlink()


def _heard(manager: socket.socket, word: str) -> str:
    while True:
        said = manager.recv(4096).decode()
        if word in said:
            return said


def test_the_service_manager_hears_of_readiness_life_reload_and_the_end(
    agent: AgentProcess, manager: socket.socket
) -> None:
    agent.start(wait=False)
    assert "STATUS=node-1 runs its pods" in _heard(manager, "READY=1")
    _heard(manager, "WATCHDOG=1")
    agent.reload()
    assert "MONOTONIC_USEC=" in _heard(manager, "RELOADING=1")
    _heard(manager, "READY=1")
    agent.stop()
    _heard(manager, "STOPPING=1")


def test_the_service_manager_is_asked_for_patience_while_the_runtime_is_awaited(
    agent: AgentProcess, manager: socket.socket
) -> None:
    agent.arguments += ["--container-runtime-endpoint", "unix:///nowhere.sock"]
    agent.start(wait=False)
    assert "waiting for the runtime at unix:///nowhere.sock" in _heard(manager, "STATUS=")
    _heard(manager, "EXTEND_TIMEOUT_USEC=")


def test_health_tells_of_a_runtime_that_is_gone_and_the_watchdog_is_fed_all_the_same(
    machine: Machine, agent: AgentProcess, manager: socket.socket
) -> None:
    agent.arguments += ["--node-status-update-frequency", "1s"]
    agent.start()
    health = ("curl", "-s", "http://127.0.0.1:10248/healthz?verbose")
    until(lambda: "healthz check passed" in machine.run(*health), "it is well")
    machine.kill_containerd()
    until(lambda: "[-]runtime failed" in machine.run(*health), "the loss is told")
    assert "[+]syncloop ok" in machine.run(*health)
    _heard(manager, "WATCHDOG=1")
    machine.start_containerd()
    until(lambda: "healthz check passed" in machine.run(*health), "it is well again")


# -- its log --------------------------------------------------------------------------------------


def test_a_log_in_json_has_an_object_a_line_and_the_pod_as_an_object(
    agent: AgentProcess, config: Path
) -> None:
    config.write_text(HEAD + "logging: {format: json}\n")
    agent.start()
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    found = [json.loads(line) for line in agent.log().splitlines()]
    of_pod = [line for line in found if line.get("pod", {}).get("name") == "web-node-1"]
    assert of_pod
    assert of_pod[-1]["pod"]["namespace"] == "default"
    assert of_pod[-1]["pod"]["uid"]
    assert all(line["ts"] > 1e12 and line["msg"] for line in found)


def test_in_the_journal_each_line_about_a_pod_has_its_fields(
    machine: Machine, agent: AgentProcess
) -> None:
    """journald's socket is played by this test; systemd-python writes to it."""
    pytest.importorskip("systemd.journal")
    path = machine.run_dir / "journal"
    path.mkdir()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(path / "socket"))
    sock.settimeout(20)
    log = machine.home / "agent.log"
    log.touch()
    stream = log.stat()
    agent.environment["JOURNAL_STREAM"] = f"{stream.st_dev}:{stream.st_ino}"
    # systemd's socket has a fixed place; the agent sees ours there and nobody else does.
    script = (
        "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && "
        f'mkdir /run/systemd/journal && mount --bind {path} /run/systemd/journal && exec "$@"'
    )
    agent.arguments = [
        *("unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "sh"),
        *agent.arguments,
    ]
    had = os.path.isdir("/run/systemd")
    agent.start()
    agent.drop("web.yaml", pod("web"))
    entry = b""
    while b"POD_NAME=web-node-1" not in entry:
        entry = sock.recv(65536)
    fields = dict(line.split(b"=", 1) for line in entry.splitlines() if b"=" in line)
    assert fields[b"POD_NAMESPACE"] == b"default"
    assert fields[b"POD_UID"]
    assert fields[b"SYSLOG_IDENTIFIER"] == b"pykubelet"
    assert fields[b"PRIORITY"] in (b"4", b"6")
    assert b"web-node-1" in fields[b"MESSAGE"]
    assert not agent.log(), "and nothing goes to stderr twice"
    sock.close()
    if not had:
        os.rmdir("/run/systemd")


def test_leaving_takes_less_than_a_moment_and_leaves_the_pods(
    machine: Machine, agent: AgentProcess
) -> None:
    agent.start()
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    assert agent.process
    agent.process.terminate()
    assert agent.process.wait(10) == 0
    assert re.search(r"stopped after [01]\.\d s; pods go on", agent.log())
    running = subprocess.run(
        ["ctr", "--address", machine.socket, "-n", "k8s.io", "tasks", "list"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert running.count("RUNNING") == 2
