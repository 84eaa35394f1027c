"""Volumes as the processes of real containers find them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pykubelet.kubelet.pods.environment import environment
from pykubelet.kubelet.pods.names import dns_config, sandbox_hostname
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.containers import container_config, log_path
from pykubelet.kubelet.runtime.model import ContainerState
from pykubelet.kubelet.runtime.sandboxes import sandbox_config
from pykubelet.kubelet.runtime.security import NodeSecurity
from pykubelet.kubelet.volumes import mounts
from pykubelet.kubelet.volumes.container_mounts import Occasion
from pykubelet.kubelet.volumes.manager import Volumes
from pykubelet.kubelet.volumes.model import Mounted
from pykubelet.network.resolv_conf import ResolvConf
from tests.support import images
from tests.support.machine import Machine
from tests.support.waiting import until
from tests.support.world import Json, World, container, pod

pytestmark = pytest.mark.root

_NUMBERS = itertools.count(1)
NODE_DNS = ResolvConf(("192.0.2.53",), ("example.org",), path="/etc/resolv.conf")
ADDRESSES = ["127.0.0.1"]  # these pods are on the machine's own loopback, for want of a network


@dataclass
class Node:
    machine: Machine
    runtime: Runtime
    world: World
    volumes: Volumes

    def run(self, it: Json) -> Running:
        """A sandbox, the pod's volumes, and its containers, each started."""
        it["metadata"]["uid"] = f"uid-{next(_NUMBERS)}"
        for one in it["spec"]["containers"]:
            one.setdefault("command", ["sleep", "1000000"])
            one["image"] = images.BUSYBOX
        mounted = self.volumes.setup(it)
        uid = it["metadata"]["uid"]
        config = sandbox_config(
            it,
            attempt=0,
            log_directory=f"{self.machine.home}/logs/{uid}",
            hostname=sandbox_hostname(it, "cluster.local"),
            dns=dns_config(it, node=NODE_DNS, cluster_dns=["10.96.0.10"]),
            cgroup_parent=f"{self.machine.cgroup_root}/{uid}",
        )
        running = Running(self, it, mounted, config, self.runtime.run_sandbox(config))
        for one in it["spec"]["containers"]:
            running.start(one["name"])
        return running


@dataclass
class Running:
    node: Node
    pod: Json
    mounted: dict[str, Mounted]
    config: Json
    sandbox: str

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    def start(self, name: str, attempt: int = 0) -> None:
        it = next(c for c in self.pod["spec"]["containers"] if c["name"] == name)
        env = environment(self.pod, it, sources=self.node.world, pod_ips=ADDRESSES)
        image = self.node.runtime.image(images.BUSYBOX)
        assert image
        config = container_config(
            self.pod,
            it,
            attempt=attempt,
            image=image,
            image_ref=image.id,
            env=env,
            mounts=self.node.volumes.mounts(
                self.pod, it, self.mounted, dict(env), Occasion(attempt, ADDRESSES)
            ),
            log_path=log_path(it, attempt),
            node=NodeSecurity(apparmor=False, cpus=2),
        )
        id = self.node.runtime.create_container(self.sandbox, config, self.config)
        self.node.runtime.start_container(id)

    def sh(self, script: str, name: str = "main") -> str:
        """What a shell in the container prints; it must succeed."""
        found = self.node.runtime.pods(self.uid)[self.uid].latest(name)
        assert found
        result = self.node.runtime.exec_sync(found.id, ["sh", "-c", script], 10)
        assert result.exit_code == 0, (script, result.stderr)
        return result.stdout.decode()

    def exited(self, name: str = "main") -> bool:
        found = self.node.runtime.pods(self.uid)[self.uid].latest(name)
        return found is not None and found.state is ContainerState.EXITED

    def remove(self) -> None:
        self.node.runtime.stop_sandbox(self.sandbox)
        self.node.runtime.remove_sandbox(self.sandbox)
        self.node.volumes.teardown(self.uid)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Machine() as machine:
        machine.load_images()
        runtime, world = Runtime(machine.endpoint), World()
        volumes = Volumes(machine.home / "agent", world)
        volumes.prepare()
        try:
            yield Node(machine, runtime, world, volumes)
        finally:
            for seen in runtime.pods().values():
                for sandbox in seen.sandboxes:
                    runtime.stop_sandbox(sandbox.id)
                    runtime.remove_sandbox(sandbox.id)
            runtime.close()
            for uid in volumes.orphans():
                volumes.teardown(uid)
            left = [m.point for m in mounts.mounts_below(volumes.root)]
            volumes.release()
        assert left == [str(volumes.root)]
        assert volumes.orphans() == set()


def on_host(*volumes: Json, **spec: object) -> Json:
    """A pod on its node's network: no CNI plugin is needed for what is tried here."""
    return pod(*volumes, hostNetwork=True, **spec)


def test_every_kind_of_volume_as_its_container_sees_it(node: Node, tmp_path: Path) -> None:
    (tmp_path / "from-host").write_text("host")
    node.world.put_config_map("settings", mode="fast", level="3")
    node.world.put_secret("login", user=b"ann")
    labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    main = container(
        env=[{"name": "WHO", "value": "web-0"}],
        volumeMounts=[
            {"name": "disk", "mountPath": "/disk"},
            {"name": "memory", "mountPath": "/memory"},
            {"name": "host", "mountPath": "/host", "readOnly": True},
            {"name": "settings", "mountPath": "/settings"},
            {"name": "settings", "mountPath": "/etc/mode", "subPath": "mode"},
            {"name": "secret", "mountPath": "/secret"},
            {"name": "all", "mountPath": "/all"},
            {"name": "disk", "mountPath": "/mine", "subPathExpr": "of/$(WHO)"},
        ],
    )
    running = node.run(
        on_host(
            {"name": "disk", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "host", "hostPath": {"path": str(tmp_path), "type": "Directory"}},
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "secret", "secret": {"secretName": "login", "defaultMode": 0o400}},
            {
                "name": "all",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token"}},
                        {"downwardAPI": {"items": [labels]}},
                    ]
                },
            },
            containers=[main],
        )
    )
    sh = running.sh
    assert sh("cat /settings/mode /settings/level /etc/mode") == "fast3fast"
    assert sh("cat /secret/user; stat -L -c %a /secret/user; stat -f -c %T /secret") == (
        "ann400\ntmpfs\n"
    )
    assert sh("cat /all/token /all/labels") == 'a-tokenapp="web"\ntier="front"'
    assert sh("cat /host/from-host; touch /host/x 2>/dev/null || echo read-only") == (
        "hostread-only\n"
    )
    assert sh("touch /settings/x 2>/dev/null || echo read-only") == "read-only\n"
    assert sh("echo 1 > /disk/file; echo 2 > /mine/file; cat /disk/file /disk/of/web-0/file") == (
        "1\n2\n"
    )
    assert sh("dd if=/dev/zero of=/memory/big bs=1M count=2 2>/dev/null || stat -c %s /memory/big")
    assert running.node.volumes.usage(running.uid)["memory"][0] == 1 << 20
    running.remove()


def test_a_changed_config_map_is_seen_by_the_running_container(node: Node) -> None:
    node.world.put_config_map("live", a="1", b="1")
    main = container(volumeMounts=[{"name": "v", "mountPath": "/v"}])
    running = node.run(on_host({"name": "v", "configMap": {"name": "live"}}, containers=[main]))
    assert running.sh("cat /v/a /v/b") == "11"
    node.world.put_config_map("live", b="2", c="2")
    assert node.volumes.refresh(running.pod)
    assert running.sh("cat /v/b /v/c; ls /v") == "22b\nc\n"
    running.remove()


def test_a_group_of_the_pod_can_write_what_another_user_made(node: Node) -> None:
    first = container("first", securityContext={"runAsUser": 1001})
    second = container("second", securityContext={"runAsUser": 1002})
    for one in (first, second):
        one["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    running = node.run(
        on_host(
            {"name": "v", "emptyDir": {}},
            containers=[first, second],
            securityContext={"fsGroup": 3000},
        )
    )
    running.sh("umask 002; echo one > /v/file", "first")
    running.sh("echo two >> /v/file", "second")
    assert running.sh("cat /v/file; stat -c '%u %g' /v/file", "first") == "one\ntwo\n1001 3000\n"
    running.remove()


def test_the_hosts_file_and_the_resolver(node: Node) -> None:
    aliases = [{"ip": "203.0.113.5", "hostnames": ["a.example"]}]
    running = node.run(on_host(hostAliases=aliases, dnsPolicy="ClusterFirstWithHostNet"))
    assert "203.0.113.5\ta.example" in running.sh("cat /etc/hosts")
    assert running.sh("cat /etc/resolv.conf").splitlines() == [
        "search example.org",
        "nameserver 10.96.0.10",
        "options ndots:5",
    ]
    running.remove()


@pytest.mark.parametrize("user", [0, 1234])
def test_the_last_words_of_a_container(node: Node, user: int) -> None:
    main = container(
        command=["sh", "-c", "echo -n $WORDS > /dev/termination-log"],
        env=[{"name": "WORDS", "value": "out of cheese"}],
        securityContext={"runAsUser": user},
    )
    running = node.run(on_host(containers=[main]))
    until(running.exited, "it has said what it had to say")
    assert node.volumes.termination_message(running.uid, "main", 0) == "out of cheese"
    running.remove()


def test_mounts_go_both_ways_where_the_pod_says_so(node: Node) -> None:
    maker = container("maker", securityContext={"privileged": True})
    maker["volumeMounts"] = [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]
    taker, alone = container("taker"), container("alone")
    taker["volumeMounts"] = [
        {"name": "v", "mountPath": "/v", "mountPropagation": "HostToContainer"}
    ]
    alone["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    running = node.run(on_host({"name": "v", "emptyDir": {}}, containers=[maker, taker, alone]))
    running.sh("mkdir /v/m && mount -t tmpfs none /v/m && touch /v/m/file", "maker")
    assert mounts.filesystem_of(Path(running.mounted["v"].path) / "m") == "tmpfs"
    assert running.sh("ls /v/m", "taker") == "file\n"
    assert running.sh("ls /v/m", "alone") == ""
    running.remove()
    assert not list(mounts.mounts_below(node.volumes.root / "pods" / running.uid))


def test_a_link_out_of_the_volume_leads_nowhere_in_the_next_container(node: Node) -> None:
    """One container prepares a trap in a volume, the next is to be mounted through it."""
    trap, victim = container("trap"), container("victim")
    trap["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    victim["volumeMounts"] = [{"name": "v", "mountPath": "/v", "subPath": "sub"}]
    running = node.run(on_host({"name": "v", "emptyDir": {}}, containers=[trap, victim]))
    running.sh("rmdir /v/sub && ln -s / /v/sub", "trap")
    with pytest.raises(Exception, match="failed to prepare subPath"):
        running.start("victim", attempt=1)
    running.remove()


def test_a_restarted_container_keeps_its_sub_path_and_its_files(node: Node) -> None:
    main = container(volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "a"}])
    running = node.run(on_host({"name": "v", "emptyDir": {}}, containers=[main]))
    running.sh("echo kept > /v/file")
    again = Volumes(node.volumes.root, node.world)  # a new agent, which knows nothing
    running.mounted = again.setup(running.pod)
    found = node.runtime.pods(running.uid)[running.uid].latest("main")
    assert found
    node.runtime.stop_container(found.id, 0)
    running.start("main", attempt=1)
    assert running.sh("cat /v/file") == "kept\n"
    running.remove()
