"""The whole product on a host without systemd, as in a container, a minimal VM or CI.

One host for all, in order: what is refused, the installation, life under our own supervisor, the
uninstall.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.private_host import CannotMake, PrivateHost, wheelhouse
from tests.lab.vm_image import ROOT
from tests.support.traces import Traces, difference
from tests.support.waiting import until

pytestmark = pytest.mark.root


class Node:
    def __init__(self, host: PrivateHost, before: Traces, bundle: str) -> None:
        self.host = host
        self.before = before
        self.command = f"{ROOT}/systemd/install.sh --offline-bundle {bundle}"

    def hello(self) -> dict[str, Any]:
        pods = json.loads(self.host.run("pykubelet status -o json", check=False))["pods"]
        return next((p for p in pods if p["name"].startswith("hello")), {})

    def agent(self) -> int:
        for line in self.host.run("pykubelet-supervisor status").splitlines():
            words = line.split()
            if words[0] == "pykubelet" and words[1] == "running":
                return int(words[3])
        return 0

    def processes(self) -> list[str]:
        """The tasks that containerd knows, with their pids: they stay if no pod is touched."""
        return sorted(self.host.run("ctr --namespace k8s.io tasks list").splitlines())


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    try:
        bundle = str(wheelhouse())
        host = PrivateHost().__enter__()
    except CannotMake as error:
        pytest.skip(f"no private host can be made here: {error}")
    try:
        yield Node(host, host.traces(), bundle)
    finally:
        host.__exit__()


def test_a_port_that_is_taken_is_named_with_its_owner(node: Node) -> None:
    node.host.start("python3 -m http.server 10250")
    until(lambda: ":10250" in node.host.run("ss -lnt"), "the port is taken")
    said = node.host.run(node.command, check=False)
    assert "✗ port 10250 (the kubelet API) is taken by python3" in said
    assert "stop that program" in said
    node.host.run("kill $(ss -lntp | grep -o 'pid=[0-9]*' | cut -d= -f2)")


def test_a_runtime_without_cri_is_refused_and_its_owners_file_stays(node: Node) -> None:
    config = "/etc/containerd/config.toml"
    node.host.run(f"cp -p {config} /root/kept; echo 'disabled_plugins = [\"cri\"]' > {config}")
    said = node.host.run(node.command, check=False)
    assert "✗ /etc/containerd/config.toml switches containerd's CRI plugin off" in said
    assert node.host.run(f"cat {config}") == 'disabled_plugins = ["cri"]\n'
    node.host.run(f"mv /root/kept {config}")


def test_the_installation_ends_with_the_example_pod_running(node: Node) -> None:
    said = node.host.run(node.command)
    assert "✓ the node agent runs, under pykubelet's own supervisor" in said
    assert "✓ it is Running" in said
    assert "hello-private" in said
    address = node.hello()["ip"]
    page = node.host.run(f"busybox wget -q -O - http://{address}:8080/")
    assert page == f"Hello from hello-private at {address} on private.\n"


def test_both_daemons_have_outlived_the_shell_that_installed_them(node: Node) -> None:
    status = node.host.run("pykubelet-supervisor status").splitlines()
    assert [line.split()[:2] for line in status] == [
        ["containerd", "running"],
        ["pykubelet", "running"],
    ]
    assert node.host.run("ls /var/log/pykubelet").split() == [
        "containerd.log",
        "pykubelet.log",
        "supervisor.log",
    ]


@pytest.mark.parametrize("how", ["kill -9 {agent}", "pykubelet-supervisor restart"])
def test_pods_outlive_the_agent(node: Node, how: str) -> None:
    before, agent = node.processes(), node.agent()
    node.host.run(how.format(agent=agent))
    until(lambda: node.agent() not in (0, agent) and node.hello(), "a new agent", timeout=30)
    assert node.processes() == before


def test_pods_outlive_the_supervisor_and_the_runtime(node: Node) -> None:
    before = node.processes()
    node.host.run("pykubelet-supervisor stop")
    assert "no supervisor is running" in node.host.run("pykubelet-supervisor status", check=False)
    node.host.run("pykubelet-supervisor start")
    assert node.processes() == before
    until(lambda: node.hello().get("ready") == 1, "hello is ready again", timeout=30)


def test_a_second_installation_keeps_edits_and_restarts_no_pod(node: Node) -> None:
    """Complaint 12: static pods are killed when the agent is upgraded."""
    before = node.processes()
    node.host.run("echo '# mine' >> /etc/pykubelet/kubelet.yaml")
    said = node.host.run(node.command)
    assert "kubelet.yaml (has been edited since; left as it is)" in said
    assert "✓ it is Running" in said
    assert node.processes() == before
    assert node.host.run("tail -n 1 /etc/pykubelet/kubelet.yaml") == "# mine\n"


def test_uninstalling_leaves_no_trace(node: Node) -> None:
    """Complaints 5 and 6: uninstall leaves iptables rules, bridges, routes, mounts."""
    said = node.host.run(f"{ROOT}/systemd/install.sh --uninstall")
    assert "nothing of pykubelet is left" in said
    assert "\n".join(difference(node.before, node.host.traces())) == ""
    assert node.host.run(f"{ROOT}/systemd/install.sh --uninstall").startswith("✓ pykubelet is not")
