"""The whole product in a real Debian: systemd, cgroup v2 with all controllers, reboots.

One machine for all: it is installed once, the tests that leave it as it was come first, then the
reboot and the uninstall. Deadlines are for emulation, 12 to 30 times slower than a real host.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.vm import CannotBoot, Vm
from tests.support.traces import Traces, difference
from tests.support.waiting import until

pytestmark = [pytest.mark.vm, pytest.mark.root]

# Emulated, compiling every library costs minutes; what is imported gets compiled anyway.
INSTALL = (
    "cd /root/pykubelet && PIP_NO_COMPILE=1 systemd/install.sh --offline-bundle /opt/wheelhouse"
)
MANIFESTS = "/etc/kubernetes/manifests"
ASK_FOR_PODS = """
import http.client, socket
agent = http.client.HTTPConnection("agent")
agent.sock = socket.socket(socket.AF_UNIX)
agent.sock.connect("/run/pykubelet/agent.sock")
agent.request("GET", "/pods")
print(agent.getresponse().read().decode())
"""


class Node:
    """An installed node in a machine."""

    def __init__(self, vm: Vm, before: Traces, said: str) -> None:
        self.vm = vm
        self.before = before
        self.said = said  # by the installation

    def status(self) -> dict[str, Any]:
        shown = self.vm.run("pykubelet status -o json", check=False)
        tree: dict[str, Any] = json.loads(shown)
        return tree

    def pod(self, name: str) -> dict[str, Any]:
        """Its v1.Pod as the agent's own API has it; {} where there is none."""
        shown = self.vm.run(f"python3 -c {shlex.quote(ASK_FOR_PODS)}")
        pods = json.loads(shown)["items"]
        return next((p for p in pods if p["metadata"]["name"].startswith(name)), {})

    def run_pod(self, name: str, **container: Any) -> None:
        """Drop a manifest with one container. What belongs to the pod goes there."""
        of_pod: dict[str, Any] = {"terminationGracePeriodSeconds": 1}
        for key in ("terminationGracePeriodSeconds", "volumes"):
            if key in container:
                of_pod[key] = container.pop(key)
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                **of_pod,
                "containers": [
                    {
                        "name": "c",
                        "image": "localhost/pykubelet/hello:1",
                        "imagePullPolicy": "Never",
                        **container,
                    }
                ],
            },
        }
        self.vm.run(f"cat > {MANIFESTS}/{name}.yaml", input=json.dumps(body).encode())

    def remove_pod(self, name: str) -> None:
        self.vm.run(f"rm -f {MANIFESTS}/{name}.yaml")
        until(lambda: not self.pod(name), f"{name} is gone", timeout=90, interval=1)

    def running(self, name: str) -> dict[str, Any]:
        """The container status of a running pod, waited for."""

        def look() -> Any:
            statuses = self.pod(name).get("status", {}).get("containerStatuses", [])
            return statuses and "running" in statuses[0]["state"] and statuses[0]

        found: dict[str, Any] = until(look, f"{name} runs", timeout=120, interval=1)
        return found

    def cgroup_of(self, name: str) -> str:
        """The folder of the pod's cgroup, found through its first process."""
        container = self.running(name)["containerID"].partition("//")[2]
        path = self.vm.run(f"find /sys/fs/cgroup -type d -name '*{container}*'").strip()
        assert path
        return path.rpartition("/")[0]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    try:
        machine = Vm().__enter__()
    except CannotBoot as error:
        pytest.skip(f"NO VIRTUAL MACHINE BOOTS HERE, nothing of systemd is tested: {error}")
    try:
        machine.copy_project()
        before = machine.traces()
        said = machine.run(INSTALL, timeout=900)
        yield Node(machine, before, said)
    finally:
        machine.__exit__()


def test_the_installation_ends_with_the_example_pod_running(node: Node) -> None:
    lines = node.said.splitlines()
    assert any(line.startswith("✓ it is Running") for line in lines)
    assert any("hello-node" in line and "Running" in line for line in lines)
    address = node.pod("hello")["status"]["podIP"]
    page = node.vm.run(f"busybox wget -q -O - http://{address}:8080/")
    assert page == f"Hello from hello-node at {address} on node.\n"


def test_the_unit_is_active_and_has_told_systemd_that_it_is_ready(node: Node) -> None:
    shown = node.vm.run(
        "systemctl show pykubelet -p ActiveState,SubState,Type,KillMode,StatusText,WatchdogUSec"
    )
    facts = dict(line.split("=", 1) for line in shown.splitlines())
    assert facts["ActiveState"] == "active"
    assert facts["Type"] == "notify"
    assert facts["KillMode"] == "process"
    assert facts["WatchdogUSec"] == "1min"
    assert facts["StatusText"]
    assert node.vm.run("systemctl --failed --no-legend").strip() == ""


@pytest.mark.parametrize("how", ["systemctl restart pykubelet", "systemctl kill -s KILL pykubelet"])
def test_pods_outlive_the_agent(node: Node, how: str) -> None:
    """Complaint 13: static pods do not start, or start anew, after an agent restart."""
    before = node.running("hello")
    agent = node.vm.run("systemctl show -p MainPID --value pykubelet")
    node.vm.run(how)
    until(
        lambda: (
            node.vm.run("systemctl show -p MainPID --value pykubelet") not in (agent, "0\n")
            and node.status()["pods"]
        ),
        "the agent is back", timeout=120, interval=1,
    )  # fmt: skip
    after = node.running("hello")
    assert after["containerID"] == before["containerID"]
    assert after["restartCount"] == before["restartCount"]


def test_a_reload_keeps_the_process_and_the_pods(node: Node) -> None:
    before = node.running("hello")
    agent = node.vm.run("systemctl show -p MainPID --value pykubelet")
    node.vm.run("systemctl reload pykubelet")
    until(
        lambda: "reloaded" in node.vm.run("journalctl -u pykubelet -o cat"),
        "the agent says what it has taken up", timeout=120, interval=1,
    )  # fmt: skip
    assert node.vm.run("systemctl show -p MainPID --value pykubelet") == agent
    assert node.running("hello")["containerID"] == before["containerID"]
    until(
        lambda: node.vm.run("systemctl is-active pykubelet", check=False) == "active\n",
        "systemd knows that the reload is over", timeout=60, interval=1,
    )  # fmt: skip


def test_memory_max_is_set_and_an_oom_kill_is_told(node: Node) -> None:
    node.run_pod(
        "eater",
        command=["sh", "-c", "sleep 3; tail /dev/zero"],
        resources={"limits": {"memory": "20Mi"}},
    )
    until(
        lambda: "OOMKilled" in json.dumps(node.pod("eater").get("status", {})),
        "the status says OOMKilled", timeout=180, interval=1,
    )  # fmt: skip
    node.remove_pod("eater")


def test_cpu_max_throttles_and_memory_max_stands_in_the_pods_cgroup(node: Node) -> None:
    node.run_pod(
        "busy",
        command=["sh", "-c", "while :; do :; done"],
        resources={"limits": {"cpu": "50m", "memory": "24Mi"}},
    )
    cgroup = node.cgroup_of("busy")
    assert node.vm.run(f"cat {cgroup}/cpu.max").split() == ["5000", "100000"]
    assert int(node.vm.run(f"cat {cgroup}/memory.max")) == 24 << 20

    def throttled() -> bool:
        lines = dict(x.split() for x in node.vm.run(f"cat {cgroup}/cpu.stat").splitlines())
        return int(lines["nr_throttled"]) > 5

    until(throttled, "the kernel throttles it", timeout=60, interval=1)
    node.remove_pod("busy")


def test_pids_max_holds(node: Node) -> None:
    dropin = "/etc/pykubelet/kubelet.conf.d/10-pids.conf"
    text = (
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\npodPidsLimit: 32\n"
    )
    node.vm.run(f"cat > {dropin} && systemctl restart pykubelet", input=text.encode())
    # A shell that can't fork ends, so it isn't the container's first process.
    forks = "(for i in $(seq 60); do sleep 1000 & done; wait) & exec sleep 1000"
    node.run_pod("forker", command=["sh", "-c", forks])
    cgroup = node.cgroup_of("forker")
    assert node.vm.run(f"cat {cgroup}/pids.max").strip() == "32"

    def refused() -> bool:
        # Up to Linux 6.11 it counts where the process lives, after that where the limit stands.
        counts = node.vm.run(f"cat {cgroup}/pids.events {cgroup}/*/pids.events").splitlines()
        return any(int(line.split()[1]) for line in counts)

    try:
        until(refused, "the kernel refuses a fork", timeout=60, interval=1)
    finally:
        node.remove_pod("forker")
        node.vm.run(f"rm {dropin} && systemctl restart pykubelet")


def test_the_qos_tree_is_made_of_systemds_slices(node: Node) -> None:
    cgroup = node.cgroup_of("hello")
    assert "/kubepods.slice/kubepods-burstable.slice/" in cgroup


def test_what_cgroup_v2_enforces_with_both_drivers(node: Node) -> None:
    print(node.vm.pytest("tests/lab/vm_tests/test_cgroup_v2.py", timeout=600))


def test_a_second_installation_changes_nothing_and_restarts_no_pod(node: Node) -> None:
    """Complaint 12: static pods are killed when the agent is upgraded."""
    before = node.running("hello")
    said = node.vm.run(INSTALL, timeout=900)
    assert "(is as it should be)" in said
    assert node.running("hello")["containerID"] == before["containerID"]


def test_the_other_cgroup_driver_works_as_well(node: Node) -> None:
    """Complaint 21: cgroup driver mismatch."""
    node.vm.run(f"mv {MANIFESTS}/hello.yaml /root/")
    until(lambda: not node.pod("hello"), "hello is gone", timeout=90, interval=1)
    node.vm.run(
        "sed -i 's/SystemdCgroup = true/SystemdCgroup = false/' /etc/containerd/config.toml; "
        "sed -i 's/cgroupDriver: systemd/cgroupDriver: cgroupfs/' /etc/pykubelet/kubelet.yaml; "
        "systemctl restart containerd pykubelet; "
        f"mv /root/hello.yaml {MANIFESTS}/"
    )
    assert "/kubepods/burstable/pod" in node.cgroup_of("hello")


def test_a_shutdown_of_the_host_gives_its_pods_the_time_to_end(node: Node) -> None:
    """systemd-logind is asked to wait, and says when the host goes down."""
    dropin = "/etc/pykubelet/kubelet.conf.d/20-shutdown.conf"
    text = (
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
        "shutdownGracePeriod: 40s\nshutdownGracePeriodCriticalPods: 10s\n"
    )
    node.vm.run(f"cat > {dropin} && systemctl restart pykubelet", input=text.encode())
    until(
        lambda: "pykubelet" in node.vm.run("systemd-inhibit --list", check=False),
        "logind knows the agent's wish", timeout=120, interval=1,
    )  # fmt: skip
    farewell = "trap 'sleep 4; echo ended in peace > /w/farewell; exit 0' TERM"
    node.run_pod(
        "graceful",
        command=["sh", "-c", f"{farewell}; while :; do sleep 1000 & wait $!; done"],
        terminationGracePeriodSeconds=25,
        volumes=[{"name": "w", "hostPath": {"path": "/var/farewell", "type": "DirectoryOrCreate"}}],
        volumeMounts=[{"name": "w", "mountPath": "/w"}],
    )
    before = node.running("graceful")["containerID"]
    node.vm.reboot()
    assert node.vm.run("cat /var/farewell/farewell") == "ended in peace\n"
    until(
        lambda: node.running("graceful")["containerID"] != before,
        "it is back", timeout=180, interval=1,
    )  # fmt: skip
    node.remove_pod("graceful")
    node.vm.run(f"rm -r {dropin} /var/farewell && systemctl restart pykubelet")
    assert node.vm.run("ls /run/systemd/logind.conf.d", check=False) in ("", "99-pykubelet.conf\n")


def test_pods_are_back_after_a_reboot(node: Node) -> None:
    """Complaint 23: after a reboot pods are "Running" but dead for minutes."""
    before = node.running("hello")
    node.vm.reboot()
    until(
        lambda: node.running("hello")["containerID"] != before["containerID"],
        "hello runs again", timeout=180, interval=1,
    )  # fmt: skip
    address = node.pod("hello")["status"]["podIP"]
    until(
        lambda: "Hello" in node.vm.run(f"busybox wget -q -O - http://{address}:8080/"),
        "it serves its page", timeout=60, interval=1,
    )  # fmt: skip


def test_uninstalling_leaves_no_trace(node: Node) -> None:
    """Complaints 5 and 6: uninstall leaves iptables rules, bridges, routes, mounts."""
    node.vm.run("cd /root/pykubelet && systemd/install.sh --uninstall", timeout=300)
    assert "\n".join(difference(node.before, node.vm.traces())) == ""
    assert node.vm.run("ls /opt") == "testing\nwheelhouse\n"
    again = node.vm.run("cd /root/pykubelet && systemd/install.sh --uninstall")
    assert again == "✓ pykubelet is not installed\n"
