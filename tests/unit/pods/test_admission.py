"""Which pods a node takes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pykubelet.kubelet.pods.admission import NodeFacts, admit
from tests.unit.pods.values import declared, pod

Json = dict[str, Any]

NODE = NodeFacts(
    "node-1",
    labels={"disk": "ssd", "kubernetes.io/os": "linux"},
    allocatable={"cpu": Fraction(2), "memory": Fraction(1 << 30), "example.com/gpu": Fraction(1)},
    max_pods=3,
    allowed_sysctls=("net.core.*", "kernel.msgmax"),
    user_namespaces={"": False, "runc": True},
)


def asking(**amounts: str) -> Json:
    requests = {
        name.replace("_", "/").replace("ex/", "example.com/"): a for name, a in amounts.items()
    }
    return pod(declared(resources={"requests": requests}))


def port(number: int, **more: Any) -> Json:
    return pod(declared(ports=[{"containerPort": number, "hostPort": number, **more}]))


def sysctls(*names: str, **spec: Any) -> Json:
    return pod(securityContext={"sysctls": [{"name": n, "value": "1"} for n in names]}, **spec)


def affinity(operator: str, *values: str) -> Json:
    term = {"matchExpressions": [{"key": "disk", "operator": operator, "values": list(values)}]}
    required = {"nodeSelectorTerms": [term]}
    return pod(
        affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    )


def reason(it: Json, *others: Json, node: NodeFacts = NODE) -> str:
    verdict = admit(it, others, node)
    return verdict.reason if verdict else ""


@pytest.mark.parametrize(
    ("it", "wanted"),
    [
        (pod(), ""),
        (pod(nodeSelector={"disk": "ssd"}), ""),
        (pod(nodeSelector={"disk": "hdd"}), "NodeAffinity"),
        (affinity("In", "ssd"), ""),
        (affinity("NotIn", "ssd"), "NodeAffinity"),
        (pod(os={"name": "linux"}), ""),
        (pod(os={"name": "windows"}), "PodOSNotSupported"),
        (pod(nodeSelector={"kubernetes.io/os": "windows"}), "PodOSSelectorNodeLabelDoesNotMatch"),
        (asking(cpu="2"), ""),
        (asking(cpu="2001m"), "OutOfcpu"),
        (asking(memory="2Gi"), "OutOfmemory"),
        (asking(ex_gpu="1"), ""),
        (asking(ex_gpu="2"), "OutOfexample.com/gpu"),
        (asking(ex_other="1"), "OutOfexample.com/other"),
        (asking(**{"ephemeral-storage": "1Ti"}), ""),  # unknown here: no reason to refuse
        (sysctls("net.ipv4.tcp_syncookies", "net.core.somaxconn", "kernel.msgmax"), ""),
        (sysctls("net/core/somaxconn"), ""),
        (sysctls("kernel.shmmax"), "SysctlForbidden"),
        (sysctls("vm.swappiness"), "SysctlForbidden"),
        (sysctls("net.ipv4.tcp_syncookies", hostNetwork=True), "SysctlForbidden"),
        (sysctls("kernel.shm_rmid_forced", hostIPC=True), "SysctlForbidden"),
        (pod(hostUsers=False), "UserNamespacesNotSupported"),
        (pod(hostUsers=False, runtimeClassName="runc"), ""),
        (pod(hostUsers=True), ""),
        (pod(securityContext={"appArmorProfile": {"type": "Localhost"}}), "AppArmor"),
    ],
)
def test_what_the_node_takes(it: Json, wanted: str) -> None:
    assert reason(it) == wanted


@pytest.mark.parametrize(
    ("mine", "theirs", "wanted"),
    [
        (port(80), port(80), "NodePorts"),
        (port(80), port(81), ""),
        (port(80), port(80, protocol="UDP"), ""),
        (port(80, hostIP="192.0.2.1"), port(80, hostIP="192.0.2.2"), ""),
        (port(80, hostIP="192.0.2.1"), port(80), "NodePorts"),
        (port(80, hostIP="0.0.0.0"), port(80, hostIP="192.0.2.2"), "NodePorts"),
    ],
)
def test_host_ports_are_had_once(mine: Json, theirs: Json, wanted: str) -> None:
    assert reason(mine, theirs) == wanted


def test_what_others_hold_is_not_free() -> None:
    assert reason(asking(cpu="1"), asking(cpu="1")) == ""
    verdict = admit(asking(cpu="1500m"), [asking(cpu="1")], NODE)
    assert verdict
    assert verdict.message == (
        "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"
    )
    assert reason(pod(), pod(), pod(), pod()) == "OutOfpods"


def test_taints_are_for_pods_of_the_api_only() -> None:
    tainted = NodeFacts("n", taints=({"key": "down", "effect": "NoExecute"},))
    assert reason(pod(), node=tainted) == "TaintToleration"
    static = pod()
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert reason(static, node=tainted) == ""
    tolerant = pod(tolerations=[{"key": "down", "operator": "Exists"}])
    assert reason(tolerant, node=tainted) == ""
