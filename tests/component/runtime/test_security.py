"""Security contexts and namespaces, as a process inside the container finds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pykubelet.errors import Invalid
from tests.component.runtime.pods import FOREVER, Node, Pod
from tests.support import images

pytestmark = pytest.mark.root

# Bits of capability sets, see capabilities(7).
CHOWN, KILL, NET_BIND_SERVICE, NET_ADMIN, SYS_TIME = 0, 5, 10, 12, 25


def status(pod: Pod, name: str = "c") -> dict[str, str]:
    """/proc/1/status of a container that has its own PID namespace."""
    lines = pod.sh("cat /proc/1/status", name).splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def bits(mask: str) -> set[int]:
    return {n for n in range(64) if int(mask, 16) >> n & 1}


def secured(**fields: Any) -> dict[str, Any]:
    return {"securityContext": fields}


# -- who it is -------------------------------------------------------------------------------------


def test_user_and_groups_are_as_asked_for(node: Node) -> None:
    whole = {"runAsUser": 1000, "runAsGroup": 2000, "fsGroup": 3000, "supplementalGroups": [4000]}
    pod = node.runs(securityContext=whole)
    seen = status(pod)
    assert seen["Uid"].split() == ["1000"] * 4
    assert seen["Gid"].split() == ["2000"] * 4
    assert {"3000", "4000"} <= set(seen["Groups"].split())
    assert pod.sh("id -u; id -g") == "1000\n2000\n"
    pod.remove()


def test_a_containers_own_user_wins(node: Node) -> None:
    pod = node.runs(secured(runAsUser=5), securityContext={"runAsUser": 1000})
    assert status(pod)["Uid"].split() == ["5"] * 4
    pod.remove()


def test_an_image_that_would_run_as_root_is_refused_where_root_is_not_wanted(node: Node) -> None:
    pod = node.pod(securityContext={"runAsNonRoot": True}).run()
    with pytest.raises(Invalid, match="image will run as root"):
        pod.create()
    pod.remove()


# -- what it may do --------------------------------------------------------------------------------


def test_the_default_is_confined(node: Node) -> None:
    pod = node.runs()
    seen = status(pod)
    assert seen["Seccomp"] == "2"  # a filter: RuntimeDefault though nobody asked
    assert seen["NoNewPrivs"] == "0"
    effective = bits(seen["CapEff"])
    assert {CHOWN, KILL, NET_BIND_SERVICE} <= effective
    assert not {NET_ADMIN, SYS_TIME} & effective
    pod.remove()


def test_capabilities_are_added_and_dropped(node: Node) -> None:
    pod = node.runs(secured(capabilities={"add": ["CAP_NET_ADMIN"], "drop": ["ALL"]}))
    seen = status(pod)
    assert bits(seen["CapEff"]) == {NET_ADMIN}
    assert bits(seen["CapBnd"]) == {NET_ADMIN}
    pod.remove()


def test_privileged_has_every_capability_and_no_filter(node: Node) -> None:
    pod = node.pod(secured(privileged=True)).run()
    pod.start()
    seen = status(pod)
    assert int(seen["CapEff"], 16) & 0xFFFFFF == 0xFFFFFF & _own_bounding_set()
    assert seen["Seccomp"] == "0"
    mounts = pod.sh("cat /proc/mounts")
    assert " /proc/timer_list " not in mounts
    assert " /proc/sys " not in mounts
    pod.remove()


def _own_bounding_set() -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1], 16) for line in lines if line.startswith("CapBnd"))


def test_no_new_privileges_where_escalation_is_forbidden(node: Node) -> None:
    pod = node.runs(secured(allowPrivilegeEscalation=False))
    assert status(pod)["NoNewPrivs"] == "1"
    pod.remove()


def test_seccomp_can_be_switched_off(node: Node) -> None:
    pod = node.runs(secured(seccompProfile={"type": "Unconfined"}))
    assert status(pod)["Seccomp"] == "0"
    pod.remove()


def test_a_read_only_root_is_read_only(node: Node) -> None:
    pod = node.runs(secured(readOnlyRootFilesystem=True))
    assert pod.sh("touch /tmp/x 2>&1 || :").strip().endswith("Read-only file system")
    pod.remove()


def test_the_kernels_secrets_are_masked(node: Node) -> None:
    pod = node.runs()
    mounts = pod.sh("cat /proc/mounts")
    assert " /proc/timer_list tmpfs" in mounts
    assert " /proc/sys proc ro" in mounts
    assert pod.sh("head -c1 /proc/timer_list | wc -c; ls -A /sys/firmware | wc -l") == "0\n0\n"
    assert "Read-only" in pod.sh("sh -c 'echo 1 > /proc/sys/kernel/panic' 2>&1 || :")
    pod.remove()


def test_an_unmasked_proc_is_whole(node: Node) -> None:
    pod = node.runs(secured(procMount="Unmasked"))
    mounts = pod.sh("cat /proc/mounts")
    assert " /proc/timer_list " not in mounts
    assert " /proc/sys " not in mounts
    pod.remove()


# -- namespaces ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "kind"), [("hostNetwork", "net"), ("hostIPC", "ipc"), ("hostPID", "pid")]
)
def test_a_namespace_of_the_host_is_shared_when_asked_for(
    node: Node, field: str, kind: str
) -> None:
    host = node.machine.run("readlink", f"/proc/self/ns/{kind}")
    shared, own = node.runs(**{field: True}), node.runs()
    assert shared.sh(f"readlink /proc/self/ns/{kind}") == host
    assert own.sh(f"readlink /proc/self/ns/{kind}") != host
    for pod in (shared, own):
        pod.remove()


def test_on_the_host_network_a_pod_has_no_address_of_its_own(node: Node) -> None:
    pod = node.runs(hostNetwork=True)
    sandbox = pod.seen().sandbox
    assert sandbox
    assert sandbox.ips == ()
    assert pod.sh("hostname") == os.uname().nodename + "\n"
    pod.remove()


def test_processes_are_shared_within_a_pod_only_when_asked_for(node: Node) -> None:
    two = [{"name": each, "image": images.BUSYBOX, "command": FOREVER} for each in ("a", "b")]
    for share, same in ((True, True), (False, False)):
        pod = node.pod(containers=two, shareProcessNamespace=share).run()
        for each in ("a", "b"):
            pod.start(each)
        seen = {pod.sh("readlink /proc/self/ns/pid", each) for each in ("a", "b")}
        assert (len(seen) == 1) is same
        pod.remove()


def test_an_ephemeral_container_sees_the_processes_of_its_target(node: Node) -> None:
    debugger = {"name": "debug", "image": images.BUSYBOX, "command": FOREVER}
    pod = node.runs({"command": ["sh", "-c", "exec sleep 424242"]}, ephemeralContainers=[debugger])
    pod.start("debug", target_id=pod.container().id)
    assert "sleep 424242" in pod.sh("ps", "debug")
    pod.remove()


def test_containers_of_a_pod_share_its_network(node: Node) -> None:
    two = [{"name": each, "image": images.BUSYBOX, "command": FOREVER} for each in ("a", "b")]
    pod = node.pod(containers=two).run()
    pod.start("a")
    pod.start("b")
    assert pod.sh("readlink /proc/self/ns/net", "a") == pod.sh("readlink /proc/self/ns/net", "b")
    pod.remove()


def test_in_a_user_namespace_root_is_nobody_on_the_host(node: Node) -> None:
    features = node.runtime.status().handlers.get("runc")
    if not features or not features.user_namespaces:
        pytest.skip("this containerd or runc knows no user namespaces")
    node.machine.home.chmod(0o711)  # the pod's root has to reach its own files
    first, length = 1 << 20, 1 << 16
    pod = node.pod(hostUsers=False).run(user_namespace=(first, length))
    pod.start(user_namespace=(first, length))
    assert pod.sh("id -u; cat /proc/self/uid_map").split() == ["0", "0", str(first), str(length)]
    tasks = (line.split() for line in node.machine.ctr("tasks", "list").splitlines())
    [process] = [pid for id, pid, *_ in tasks if id == pod.container().id]
    assert Path(f"/proc/{process}").stat().st_uid == first
    pod.remove()


def test_a_strict_group_policy_ignores_the_images_groups(node: Node) -> None:
    if not node.runtime.status().supplemental_groups_policy:
        pytest.skip("this containerd knows no supplemental groups policy")
    whole = {"runAsUser": 1000, "fsGroup": 3000, "supplementalGroupsPolicy": "Strict"}
    pod = node.runs(securityContext=whole)
    assert status(pod)["Groups"].split() == ["0", "3000"]  # the primary one and what we said
    assert pod.container().user == (1000, 0, (0, 3000))
    pod.remove()


def test_sysctls_are_set_for_the_pod(node: Node) -> None:
    sysctls = [
        {"name": "net.ipv4.ip_unprivileged_port_start", "value": "81"},
        {"name": "kernel/shm_rmid_forced", "value": "1"},
    ]
    pod = node.runs(securityContext={"sysctls": sysctls})
    assert pod.sh("sysctl -n net.ipv4.ip_unprivileged_port_start") == "81\n"
    assert pod.sh("sysctl -n kernel.shm_rmid_forced") == "1\n"
    pod.remove()


def test_processes_are_below_the_pods_cgroup(node: Node) -> None:
    pod = node.runs()
    below = f"{node.machine.cgroup_root}/{pod.uid}/{pod.container().id}"
    base = Path("/sys/fs/cgroup")
    assert any(Path(f"{each}{below}").is_dir() for each in (base, *base.iterdir()))
    pod.remove()
