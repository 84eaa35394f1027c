"""The bundled plugin as a real containerd uses it: pods made and removed over CRI."""

from __future__ import annotations

import concurrent.futures
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykubelet.kubelet.runtime.client import Runtime
from tests.support.machine import Machine, stop
from tests.support.network import use_bundled_cni
from tests.support.waiting import until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        machine.load_images("pause")
        use_bundled_cni(machine, "10.88.0.0/24", "fd88::/64")
        yield machine


@pytest.fixture
def runtime(machine: Machine) -> Iterator[Runtime]:
    runtime = Runtime(machine.endpoint)
    until(lambda: runtime.status().network_ready, "containerd has read the configuration")
    yield runtime
    for pod in runtime.pods().values():
        for sandbox in pod.sandboxes:
            runtime.stop_sandbox(sandbox.id)
            runtime.remove_sandbox(sandbox.id)
    runtime.close()


def sandbox(machine: Machine, uid: str, **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": f"pod-{uid}", "namespace": "default", "uid": uid, "attempt": 0},
        "labels": {
            "io.kubernetes.pod.name": f"pod-{uid}",
            "io.kubernetes.pod.namespace": "default",
            "io.kubernetes.pod.uid": uid,
        },
        "log_directory": f"{machine.home}/logs/{uid}",
        "linux": {"cgroup_parent": f"{machine.cgroup_root}/{uid}"},
        **fields,
    }


def links(machine: Machine) -> set[str]:
    return {link["ifname"] for link in json.loads(machine.run("ip", "-j", "link"))}


def leases(machine: Machine) -> list[Path]:
    return list((machine.home / "kubelet" / "cni").glob("*/leases/[!.]*"))


def test_a_pod_gets_addresses_of_both_families_and_gives_them_back(
    machine: Machine, runtime: Runtime
) -> None:
    before = links(machine) - {"pykubelet0"}
    id = runtime.run_sandbox(sandbox(machine, "a"))
    ips = next(iter(runtime.pods("a")["a"].sandboxes)).ips
    assert ips[0].startswith("10.88.0.")
    assert ips[1].startswith("fd88::")
    assert len(leases(machine)) == 1
    runtime.stop_sandbox(id)
    runtime.stop_sandbox(id)  # the runtime calls DEL again
    assert leases(machine) == []
    assert links(machine) - {"pykubelet0"} == before


def test_pods_started_at_once_get_distinct_addresses(machine: Machine, runtime: Runtime) -> None:
    uids = [f"many{n}" for n in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda uid: runtime.run_sandbox(sandbox(machine, uid)), uids))
    ips = [ip for uid in uids for s in runtime.pods(uid)[uid].sandboxes for ip in s.ips]
    assert len(set(ips)) == len(ips) == 12


def test_a_host_port_reaches_the_pods_namespace(machine: Machine, runtime: Runtime) -> None:
    mapping = {"protocol": 0, "container_port": 8080, "host_port": 18080}
    id = runtime.run_sandbox(sandbox(machine, "ported", port_mappings=[mapping]))
    assert "18080" in machine.run("nft", "list", "table", "inet", "pykubelet-hostports")
    runtime.stop_sandbox(id)
    assert "hostports" not in machine.run("nft", "list", "tables")


def test_without_the_agent_a_pod_is_still_taken_down(machine: Machine, runtime: Runtime) -> None:
    id = runtime.run_sandbox(sandbox(machine, "orphan"))
    assert len(leases(machine)) == 1
    server = machine._processes[-1]
    stop(server)
    assert not os.path.exists(machine.run_dir / "cni.sock")
    runtime.stop_sandbox(id)
    assert leases(machine) == []
    use_bundled_cni(machine, "10.88.0.0/24", "fd88::/64")
