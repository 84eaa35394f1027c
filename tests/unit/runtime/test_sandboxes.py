"""A pod's sandbox, from its spec."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.kubelet.runtime import labels
from pykubelet.kubelet.runtime.sandboxes import namespaces, sandbox_config
from pykubelet.objects.wire.messages import load

CRI = load("pykubelet.kubelet.runtime", "cri.schema")


def pod(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop", "uid": "u-1", "labels": {"app": "web"}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def config(pod: dict[str, Any], **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "attempt": 0,
        "log_directory": "/var/log/pods/x",
        "hostname": "web",
        "dns": {"servers": ["10.96.0.10"], "searches": ["shop.svc"], "options": ["ndots:5"]},
        "cgroup_parent": "/kubepods/u-1",
        **more,
    }
    made = sandbox_config(pod, **given)
    CRI["PodSandboxConfig"](**made)  # CRI knows every field of it
    return made


def test_it_carries_whose_it_is() -> None:
    made = config(pod(), attempt=3)
    assert made["metadata"] == {"name": "web", "namespace": "shop", "uid": "u-1", "attempt": 3}
    assert made["labels"] == {
        "app": "web",
        labels.POD_NAME: "web",
        labels.POD_NAMESPACE: "shop",
        labels.POD_UID: "u-1",
    }


def test_a_pods_own_label_can_not_pretend_to_be_another_pods() -> None:
    forged = pod()
    forged["metadata"]["labels"] = {labels.POD_UID: "someone else"}
    assert config(forged)["labels"][labels.POD_UID] == "u-1"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {"network": "POD", "ipc": "POD", "pid": "CONTAINER"}),
        ({"hostNetwork": True}, {"network": "NODE", "ipc": "POD", "pid": "CONTAINER"}),
        ({"hostIPC": True}, {"network": "POD", "ipc": "NODE", "pid": "CONTAINER"}),
        ({"hostPID": True}, {"network": "POD", "ipc": "POD", "pid": "NODE"}),
        ({"shareProcessNamespace": True}, {"network": "POD", "ipc": "POD", "pid": "POD"}),
    ],
)
def test_namespaces_are_the_pods_own_unless_it_asks_for_others(
    spec: dict[str, Any], expected: dict[str, str]
) -> None:
    assert namespaces(pod(**spec)) == expected


def test_a_user_namespace_maps_the_same_ids_for_users_and_groups() -> None:
    options = namespaces(pod(hostUsers=False), (65536, 65536))["userns_options"]
    mapping = [{"host_id": 65536, "container_id": 0, "length": 65536}]
    assert options == {"mode": "POD", "uids": mapping, "gids": mapping}


def test_on_the_host_network_the_host_keeps_its_name_and_ports() -> None:
    ports = [{"containerPort": 80, "hostPort": 80}]
    made = config(pod(hostNetwork=True, containers=[{"name": "c", "ports": ports}]))
    assert "hostname" not in made
    assert "port_mappings" not in made


def test_host_ports_of_containers_and_sidecars_are_mapped_and_no_others() -> None:
    made = config(
        pod(
            initContainers=[
                {"name": "once", "ports": [{"containerPort": 1, "hostPort": 1}]},
                {
                    "name": "sidecar",
                    "restartPolicy": "Always",
                    "ports": [{"containerPort": 2, "hostPort": 2002, "protocol": "UDP"}],
                },
            ],
            containers=[
                {
                    "name": "c",
                    "ports": [
                        {"containerPort": 80},
                        {"containerPort": 81, "hostPort": 8081, "hostIP": "10.0.0.1"},
                    ],
                }
            ],
        )
    )
    assert [tuple(each.values()) for each in made["port_mappings"]] == [
        ("UDP", 2, 2002, ""),
        ("TCP", 81, 8081, "10.0.0.1"),
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("net.ipv4.ip_forward", "net.ipv4.ip_forward"),
        ("net/ipv4/ip_forward", "net.ipv4.ip_forward"),
        ("net/ipv4/conf/eth0.100/rp_filter", "net.ipv4.conf.eth0/100.rp_filter"),
        ("net.ipv4.conf.eth0/100.rp_filter", "net.ipv4.conf.eth0/100.rp_filter"),
    ],
)
def test_sysctls_may_be_written_with_dots_or_slashes(given: str, expected: str) -> None:
    made = config(pod(securityContext={"sysctls": [{"name": given, "value": "1"}]}))
    assert made["linux"]["sysctls"] == {expected: "1"}


def test_one_privileged_container_makes_the_sandbox_privileged() -> None:
    privileged = {"name": "d", "securityContext": {"privileged": True}}
    made = config(pod(containers=[{"name": "c"}, privileged]))
    assert made["linux"]["security_context"]["privileged"] is True
    assert config(pod())["linux"]["security_context"]["privileged"] is False


def test_the_pods_user_and_groups_are_the_sandboxs() -> None:
    context = {"runAsUser": 7, "runAsGroup": 8, "fsGroup": 9, "supplementalGroups": [10]}
    made = config(pod(securityContext=context))["linux"]["security_context"]
    assert made["run_as_user"] == {"value": 7}
    assert made["run_as_group"] == {"value": 8}
    assert made["supplemental_groups"] == [9, 10]


def test_a_group_without_a_user_is_left_to_the_containers() -> None:
    made = config(pod(securityContext={"runAsGroup": 8}))["linux"]["security_context"]
    assert "run_as_group" not in made
