"""What a container finds around itself: environment, volumes, names, namespaces, privileges."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import SLEEP, AgentProcess, Json, container, pod
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def agent(machine: Machine) -> Iterator[AgentProcess]:
    resolv = machine.home / "resolv.conf"
    resolv.write_text("nameserver 192.0.2.53\nsearch host.example\n")
    agent = AgentProcess(machine, "--sync-frequency", "1s", "--resolv-conf", str(resolv))
    yield agent
    agent.stop()


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> Json:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


def sh(agent: AgentProcess, name: str, command: str, container: str = "main") -> str:
    return agent.exec(name, "sh", "-c", command, container=container).strip()


def test_environment_from_every_source(agent: AgentProcess) -> None:
    env: list[Json] = [
        {"name": "PLAIN", "value": "plain"},
        {"name": "EXPANDED", "value": "$(PLAIN) and $$(PLAIN)"},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
    ]
    manifest = pod(
        "env",
        container(
            env=env,
            envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "C_"}],
            resources={"limits": {"memory": "64Mi", "cpu": "100m"}},
        ),
    )
    manifest["metadata"]["labels"] = {"app": "web"}
    documents = config_map("settings", color="blue"), secret("login", password="hush")
    agent.drop("env.yaml", manifest, *documents)
    agent.wait_ready("env")
    found = dict(line.split("=", 1) for line in sh(agent, "env", "env").splitlines())
    status = agent.pod("env")
    assert status
    expected = {
        "PLAIN": "plain",
        "EXPANDED": "plain and $(PLAIN)",
        "KEY": "blue",
        "C_color": "blue",
        "SECRET": "hush",
        "NAME": "env-node-1",
        "IP": status["status"]["podIP"],
        "NODE": "node-1",
        "LABEL": "web",
        "LIMIT": str(64 << 20),
        "IMAGE_SAYS": "hello",
        "HOSTNAME": "env-node-1",
    }
    assert {key: found.get(key) for key in expected} == expected


def test_volumes_of_every_type(agent: AgentProcess, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("from the host")
    downward = {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}
    projected = {
        "sources": [
            {"configMap": {"name": "settings"}},
            {"secret": {"name": "login", "items": [{"key": "password", "path": "deep/pw"}]}},
            {"downwardAPI": downward},
        ]
    }
    volumes: dict[str, Json] = {
        "disk": {"emptyDir": {}},
        "memory": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        "host": {"hostPath": {"path": str(tmp_path / "there"), "type": "Directory"}},
        "made": {"hostPath": {"path": str(tmp_path / "new"), "type": "DirectoryOrCreate"}},
        "file": {"hostPath": {"path": str(tmp_path / "there/file"), "type": "File"}},
        "settings": {"configMap": {"name": "settings", "defaultMode": 0o440}},
        "login": {"secret": {"secretName": "login"}},
        "fields": {"downwardAPI": downward},
        "all": {"projected": projected},
        "sub": {"configMap": {"name": "settings"}},
    }
    mounts: list[Json] = [{"name": name, "mountPath": f"/v/{name}"} for name in volumes]
    mounts[-1] |= {"subPath": "color"}
    agent.drop(
        "volumes.yaml",
        pod(
            "volumes",
            container(volumeMounts=mounts),
            container("other", volumeMounts=[{"name": "disk", "mountPath": "/shared"}]),
            volumes=[{"name": name, **source} for name, source in volumes.items()],
        ),
        config_map("settings", color="blue"),
        secret("login", password="hush"),
    )
    agent.wait_ready("volumes")
    reads = {
        "/v/host/file": "from the host",
        "/v/file": "from the host",
        "/v/settings/color": "blue",
        "/v/login/password": "hush",
        "/v/fields/name": "volumes-node-1",
        "/v/all/color": "blue",
        "/v/all/deep/pw": "hush",
        "/v/all/name": "volumes-node-1",
        "/v/sub": "blue",
    }
    assert sh(agent, "volumes", f"cat {' '.join(reads)}") == "".join(reads.values())
    sh(agent, "volumes", "echo shared > /v/disk/note; echo made > /v/made/note")
    assert sh(agent, "volumes", "cat /shared/note", "other") == "shared"
    assert (tmp_path / "new" / "note").read_text() == "made\n"
    filesystems = sh(agent, "volumes", "cat /proc/mounts")
    assert "tmpfs /v/memory tmpfs" in filesystems
    # An edit of the ConfigMap reaches the running container, but not through a sub-path.
    before = agent.status("volumes")["containerID"]
    manifest = (agent.manifests / "volumes.yaml").read_text()
    agent.drop("volumes.yaml", manifest.replace('"color": "blue"', '"color": "green"'))
    until(lambda: sh(agent, "volumes", "cat /v/settings/color") == "green", "it is updated")
    assert sh(agent, "volumes", "cat /v/all/color /v/sub") == "greenblue"
    assert agent.status("volumes")["containerID"] == before


def test_what_is_missing_is_waited_for_and_taken_when_it_comes(agent: AgentProcess) -> None:
    volumes = [{"name": "v", "configMap": {"name": "late"}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    key = {"configMapKeyRef": {"name": "late", "key": "color"}}
    agent.drop(
        "waits.yaml",
        pod("mounts", container(volumeMounts=mounts), volumes=volumes),
        pod("reads", container(env=[{"name": "COLOR", "valueFrom": key}])),
    )

    def waits() -> bool:
        reason = agent.status("reads")["state"].get("waiting", {}).get("reason")
        return reason == "CreateContainerConfigError" and "late" in agent.why("mounts")["next"]

    until(waits, "it is said what is missing")
    assert agent.phase("mounts") == "Pending"
    agent.drop("late.yaml", config_map("late", color="red"))
    agent.wait_ready("mounts", "reads", timeout=10)
    assert sh(agent, "reads", "echo $COLOR") == "red"
    assert sh(agent, "mounts", "cat /v/color") == "red"


def test_names_and_resolvers(agent: AgentProcess) -> None:
    agent.drop(
        "names.yaml",
        pod(
            "names",
            hostname="custom",
            hostAliases=[{"ip": "192.0.2.9", "hostnames": ["far", "away"]}],
            dnsPolicy="None",
            dnsConfig={
                "nameservers": ["192.0.2.1"],
                "searches": ["a.example"],
                "options": [{"name": "ndots", "value": "3"}],
            },
        ),
        pod("default-dns", dnsPolicy="Default"),
    )
    agent.wait_ready("names", "default-dns")
    found = agent.pod("names")
    assert found
    assert sh(agent, "names", "hostname") == "custom"
    hosts = sh(agent, "names", "cat /etc/hosts")
    assert f"{found['status']['podIP']}\tcustom" in hosts
    assert "192.0.2.9\tfar\taway" in hosts
    resolver = sh(agent, "names", "cat /etc/resolv.conf").splitlines()
    assert sorted(resolver) == ["nameserver 192.0.2.1", "options ndots:3", "search a.example"]
    assert "nameserver 192.0.2.53" in sh(agent, "default-dns", "cat /etc/resolv.conf")


def test_namespaces_of_the_host_and_of_the_pod(agent: AgentProcess) -> None:
    agent.drop(
        "spaces.yaml",
        pod("host", hostNetwork=True, hostPID=True, hostIPC=True),
        pod("shared", container(), container("other"), shareProcessNamespace=True),
        pod("own", container(), container("other")),
    )
    agent.wait_ready("host", "shared", "own")

    def space(name: str, kind: str, container: str = "main") -> str:
        return sh(agent, name, f"readlink /proc/self/ns/{kind}", container)

    assert space("host", "pid") == os.readlink("/proc/self/ns/pid")
    assert space("host", "ipc") == os.readlink("/proc/self/ns/ipc")
    machine = agent.machine.run("readlink", "/proc/self/ns/net").strip()
    assert space("host", "net") == machine
    found = agent.pod("host")
    assert found
    assert found["status"]["podIP"] == found["status"]["hostIP"] == "127.0.0.1"
    assert sh(agent, "host", "hostname") == socket.gethostname()
    assert space("own", "net") == space("own", "net", "other") != machine
    assert space("own", "ipc") == space("own", "ipc", "other")
    assert space("own", "pid") != space("own", "pid", "other")
    assert space("shared", "pid") == space("shared", "pid", "other")
    assert "pause" in sh(agent, "shared", "cat /proc/1/cmdline")


def test_security_contexts_hold_inside(agent: AgentProcess) -> None:
    pod_context = {
        "runAsUser": 1000,
        "runAsGroup": 2000,
        "fsGroup": 3000,
        "supplementalGroups": [4000],
    }
    tight: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    agent.drop(
        "secure.yaml",
        pod(
            "secure",
            container(securityContext=tight, volumeMounts=[{"name": "data", "mountPath": "/data"}]),
            container("root", securityContext={"runAsUser": 0, "privileged": True}),
            securityContext=pod_context,
            volumes=[{"name": "data", "emptyDir": {}}],
        ),
        pod(
            "nonroot",
            container(securityContext={"runAsNonRoot": True}),
        ),
    )
    agent.wait_ready("secure")
    assert sh(agent, "secure", "id -u; id -g; id -G").split() == [
        "1000", "2000", "2000", "3000", "4000",
    ]  # fmt: skip
    status = dict(
        line.split(":\t") for line in sh(agent, "secure", "cat /proc/1/status").splitlines()
        if line.startswith(("NoNewPrivs", "Seccomp:", "CapBnd"))
    )  # fmt: skip
    assert status == {"NoNewPrivs": "1", "Seccomp": "2", "CapBnd": f"{1 << 10:016x}"}
    assert "Read-only file system" in sh(agent, "secure", "touch /x 2>&1 || true")
    assert sh(agent, "secure", "touch /data/x; stat -c %g /data/x") == "3000"
    assert sh(agent, "secure", "id -u; ls /dev | wc -l", "root").split()[0] == "0"
    assert int(sh(agent, "secure", "ls /dev | wc -l", "root")) > 20

    def refused() -> bool:
        waiting = agent.status("nonroot")["state"].get("waiting", {})
        return bool(
            waiting.get("reason") == "CreateContainerConfigError"
            and "runAsNonRoot" in waiting["message"]
        )

    until(refused, "an image that runs as root is refused")


def test_a_pod_needs_no_network_to_start_on_the_hosts(agent: AgentProcess) -> None:
    """Complaint: no default route, no start."""
    routes = agent.machine.run("ip", "route", "show", "default")
    assert routes == ""
    agent.drop("routeless.yaml", pod("routeless", container(script=SLEEP), hostNetwork=True))
    agent.wait_ready("routeless")
