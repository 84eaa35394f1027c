"""A pod's life through the client, on a real containerd."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from pykubelet.bootstrap.images import layouts
from pykubelet.bootstrap.images.trees import Tree
from pykubelet.errors import Failed, Invalid, NotFound, TimedOut, Unavailable
from pykubelet.kubelet.runtime import labels
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.failures import NameReserved
from pykubelet.kubelet.runtime.model import ContainerState
from pykubelet.kubelet.runtime.relist import Relist
from tests.component.runtime.pods import Node
from tests.support import images
from tests.support.waiting import until

pytestmark = pytest.mark.root


def test_the_runtime_says_who_it_is_and_how_it_is(node: Node) -> None:
    """Complaint 21: the cgroup driver is asked of the runtime, where it can be asked."""
    version = node.runtime.version()
    assert version.name == "containerd"
    assert version.api_version == "v1"
    status = node.runtime.status()
    assert (status.ready, status.network_ready, status.message) == (True, True, "")
    expected = None if version.version.startswith("1.") else "cgroupfs"
    assert node.runtime.cgroup_driver() == expected


def test_a_pod_is_made_runs_ends_and_leaves_nothing(node: Node) -> None:
    script = "trap 'echo bye; exit 7' TERM; echo hello; while :; do sleep 0.1; done"
    pod = node.pod({"command": ["sh", "-c", script]}).run()
    sandbox = pod.seen().sandbox
    assert sandbox
    assert sandbox.ready
    assert (sandbox.name, sandbox.namespace, sandbox.uid) == (f"pod-{pod.uid}", "default", pod.uid)
    assert sandbox.ips[0].startswith("10.88.0.")

    id = pod.create(attempt=3)
    made = pod.container()
    assert (made.id, made.attempt, made.sandbox_id) == (id, 3, pod.sandbox)
    assert made.state is ContainerState.CREATED
    assert labels.restart_count(made.annotations) == 3

    node.runtime.start_container(id)
    running = pod.container()
    assert running.state is ContainerState.RUNNING
    assert running.started_at >= running.created_at > 0
    assert running.image == images.BUSYBOX
    assert running.image_ref
    assert running.log_path == f"{pod.logs}/c/3.log"
    until(lambda: pod.log(attempt=3) == "hello\n", "it has said hello")

    node.runtime.stop_container(id, 10)
    ended = pod.container()
    assert (ended.state, ended.exit_code, ended.reason) == (ContainerState.EXITED, 7, "Error")
    assert ended.finished_at > ended.started_at
    assert pod.log(attempt=3) == "hello\nbye\n"

    node.runtime.stop_sandbox(pod.sandbox)
    stopped = pod.seen().sandbox
    assert stopped
    assert not stopped.ready
    assert stopped.ips == sandbox.ips  # what it had is still worth reporting
    node.runtime.remove_container(id)
    assert pod.seen().containers == ()
    node.runtime.remove_sandbox(pod.sandbox)
    assert node.runtime.pods(pod.uid) == {}


def test_every_removal_may_be_repeated(node: Node) -> None:
    pod = node.runs()
    id = pod.container().id
    for _ in range(2):
        node.runtime.stop_container(id, 0)
        node.runtime.remove_container(id)
        pod.remove()


def test_attempts_are_listed_newest_first(node: Node) -> None:
    pod = node.pod({"command": ["true"]}).run()
    for attempt in range(3):
        pod.start(attempt=attempt)
        pod.exited()
    assert [each.attempt for each in pod.seen().containers] == [2, 1, 0]
    pod.remove()


def test_grace_is_kept_and_no_longer(node: Node) -> None:
    pod = node.runs({"command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]})
    began = time.monotonic()
    node.runtime.stop_container(pod.container().id, 0.5)
    assert 0.9 < time.monotonic() - began < 5
    assert pod.container().exit_code == 137
    pod.remove()


def test_environment_host_name_and_resolver_reach_the_container(node: Node) -> None:
    pod = node.runs(
        {
            "command": ["sh", "-c", 'echo "$0 $GREETING"; sleep 1000', "$(GREETING)!"],
            "env": [{"name": "GREETING", "value": "hello world"}],
            "workingDir": "/tmp",
        }
    )
    until(lambda: pod.log() == "hello world! hello world\n", "the command is expanded")
    assert pod.sh("hostname") == f"pod-{pod.uid}\n"
    assert pod.sh("cat /etc/resolv.conf").split() == [
        "search", "test.local", "nameserver", "192.0.2.53", "options", "ndots:5",
    ]  # fmt: skip
    assert pod.sh("readlink /proc/1/cwd") == "/tmp\n"
    pod.remove()


def test_a_name_in_use_says_by_whom(node: Node) -> None:
    """Complaint 24: "name is reserved for" has a type of its own, to adopt or go on by."""
    pod = node.runs()
    with pytest.raises(NameReserved) as sandbox:
        node.runtime.run_sandbox(pod.config)
    assert sandbox.value.holder == pod.sandbox
    with pytest.raises(NameReserved) as container:
        pod.create()
    assert container.value.holder == pod.container().id
    assert pod.create(attempt=1)
    pod.remove()


def test_after_a_deadline_the_list_tells_what_became_of_it(node: Node) -> None:
    """Complaint 24: a call that ran into its deadline is looked for, adopted or gone past."""
    hasty, pod = Runtime(node.machine.endpoint, timeout=0.02), node.pod()
    with pytest.raises(TimedOut):
        hasty.run_sandbox(pod.configure())
    hasty.close()
    pod.run(attempt=1)  # whatever became of the first, the next attempt is free
    newest = pod.seen().sandbox
    assert newest
    assert (newest.id, newest.attempt) == (pod.sandbox, 1)
    for sandbox in pod.seen().sandboxes:
        node.runtime.stop_sandbox(sandbox.id)
        node.runtime.remove_sandbox(sandbox.id)


def test_a_runtime_class_chooses_the_handler(node: Node) -> None:
    pod = node.pod()
    pod.sandbox = node.runtime.run_sandbox(pod.configure(), "other")
    sandbox = pod.seen().sandbox
    assert sandbox
    assert sandbox.runtime_handler == "other"
    with pytest.raises(Failed, match="unheard-of"):
        node.runtime.run_sandbox(pod.configure(attempt=1), "unheard-of")
    pod.remove()


def test_errors_are_of_the_family(node: Node, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        node.runtime.start_container("nobody")
    with pytest.raises(NotFound):
        node.runtime.exec_sync("nobody", ["true"], 1)
    with pytest.raises(Invalid, match="no_such_field"):
        node.runtime.run_sandbox({"no_such_field": 1})
    nobody = Runtime(f"unix://{tmp_path}/socket", timeout=5)
    with pytest.raises(Unavailable, match=r"nobody answers at unix:///.*: No such file"):
        nobody.version()
    nobody.close()


# -- inside a container ----------------------------------------------------------------------------


def test_a_command_inside_gives_its_output_and_exit_code(node: Node) -> None:
    pod = node.runs()
    script = "echo out; echo err >&2; exit 3"
    result = node.runtime.exec_sync(pod.container().id, ["sh", "-c", script], 5)
    assert (result.exit_code, result.stdout, result.stderr) == (3, b"out\n", b"err\n")
    with pytest.raises(Failed, match="no-such-program"):
        node.runtime.exec_sync(pod.container().id, ["no-such-program"], 5)
    pod.remove()


def test_a_command_that_takes_too_long_is_killed(node: Node) -> None:
    pod = node.runs()
    began = time.monotonic()
    with pytest.raises(TimedOut):
        node.runtime.exec_sync(pod.container().id, ["sleep", "77"], 1)
    assert time.monotonic() - began < 5
    until(lambda: "sleep 77" not in pod.sh("ps"), "the command is gone")
    pod.remove()


def test_the_streaming_server_has_an_address_for_each_kind(node: Node) -> None:
    pod = node.runs()
    id = pod.container().id
    for url in (
        node.runtime.exec_url(id, ["sh"], stdin=True, tty=True),
        node.runtime.attach_url(id),
        node.runtime.port_forward_url(pod.sandbox, [80]),
    ):
        assert url.startswith("http://127.0.0.1:")
    pod.remove()


def test_a_log_that_was_moved_away_is_begun_anew(node: Node) -> None:
    pod = node.runs({"command": ["sh", "-c", "while :; do echo tick; sleep 0.05; done"]})
    path = Path(pod.logs) / "c/0.log"
    until(lambda: path.stat().st_size, "it logs")
    os.rename(path, path.with_suffix(".old"))
    node.runtime.reopen_log(pod.container().id)
    until(lambda: "tick" in pod.log(), "it logs to the new file")
    pod.remove()


def test_limits_change_in_place(node: Node) -> None:
    pod = node.pod().run()
    pod.start(resources={"memory_limit_in_bytes": 64 << 20, "cpu_shares": 102})
    before = pod.container()
    limit = (
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null;:"
    )
    assert pod.sh(limit) == f"{64 << 20}\n"
    node.runtime.update_resources(before.id, {"memory_limit_in_bytes": 96 << 20})
    assert pod.sh(limit) == f"{96 << 20}\n"
    after = pod.container()
    assert (after.id, after.started_at) == (before.id, before.started_at)
    assert after.resources
    assert after.resources["memory_limit_in_bytes"] == 96 << 20
    assert after.resources["cpu_shares"] == 102
    pod.remove()


def test_who_eats_too_much_memory_is_said_to_be_oom_killed(node: Node) -> None:
    eat = ["sh", "-c", "a=x; while :; do a=$a$a$a$a; done"]
    pod = node.pod({"command": eat}).run()
    pod.start(resources={"memory_limit_in_bytes": 16 << 20, "memory_swap_limit_in_bytes": 16 << 20})
    pod.exited()
    # The runtime may learn of the reason after the exit; a settled answer has it.
    until(lambda: pod.container().reason == "OOMKilled", "the reason is known")
    assert pod.container().exit_code == 137
    pod.remove()


# -- looking ---------------------------------------------------------------------------------------


class Counting:
    """The real service, with the calls counted."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self.calls: list[str] = []

    def call(self, name: str, *args: Any, **fields: Any) -> Any:
        self.calls.append(name)
        return self._service.call(name, *args, **fields)


def test_quiet_pods_cost_two_calls_however_many(node: Node) -> None:
    """Complaint 1: looking again at what has not changed costs next to nothing."""
    pods = [node.runs() for _ in range(3)]
    service = Counting(node.runtime._runtime)
    relist = Relist(service)  # type: ignore[arg-type]
    first = relist.pods()
    assert sorted(service.calls)[:3] == ["ContainerStatus"] * 3
    service.calls.clear()
    assert relist.pods() == first
    assert service.calls == ["ListPodSandbox", "ListContainers"]

    node.runtime.stop_container(pods[0].container().id, 0)
    service.calls.clear()
    ended = relist.pods()[pods[0].uid].containers[0]
    assert ended.state is ContainerState.EXITED
    assert service.calls.count("ContainerStatus") == 1
    for pod in pods:
        pod.remove()


def test_an_exit_is_asked_for_again_until_its_reason_has_settled(node: Node) -> None:
    pod = node.runs({"command": ["true"]})
    pod.exited()
    service, shift = Counting(node.runtime._runtime), 0.0
    relist = Relist(service, lambda: time.time() + shift)  # type: ignore[arg-type]
    for _ in range(2):
        relist.pods(pod.uid)
    assert service.calls.count("ContainerStatus") == 2
    shift = 60.0
    for _ in range(3):
        relist.pods(pod.uid)
    assert service.calls.count("ContainerStatus") == 3
    pod.remove()


def test_what_is_not_a_pods_is_not_ours(node: Node) -> None:
    pod = node.pod()
    pod.run()
    foreign = {**pod.config, "labels": {}, "metadata": {**pod.config["metadata"], "name": "x"}}
    id = node.runtime.run_sandbox(foreign)
    assert [each.id for each in node.runtime.pods()[pod.uid].sandboxes] == [pod.sandbox]
    node.runtime.stop_sandbox(id)
    node.runtime.remove_sandbox(id)
    pod.remove()


def test_usage_of_one_pod_and_of_all(node: Node) -> None:
    pod, other = node.runs(), node.runs()
    [usage] = node.runtime.usage(pod.uid)
    assert (usage.id, usage.name, usage.uid) == (pod.container().id, "c", pod.uid)
    assert usage.cpu_nanoseconds
    assert usage.memory_working_set
    assert abs(usage.at / 1e9 - time.time()) < 60
    assert {each.uid for each in node.runtime.usage()} >= {pod.uid, other.uid}
    node.runtime.stop_container(pod.container().id, 0)
    assert node.runtime.usage(pod.uid) == ()
    pod.remove()
    other.remove()


def test_images_are_listed_and_found(node: Node) -> None:
    found = node.runtime.image(images.BUSYBOX)
    assert found
    assert images.BUSYBOX in found.tags
    assert found.size > 100_000
    assert found in node.runtime.images()
    assert node.runtime.image(found.id) == found
    assert node.runtime.image("localhost/no/such:image") is None
    [filesystem] = node.runtime.image_filesystems()
    assert filesystem.mountpoint.startswith(str(node.machine.home))


def test_an_image_is_removed_with_all_its_names(node: Node) -> None:
    archive = node.machine.home / "spare.tar"
    tree = Tree()
    tree.add_file("spare", b"x")
    layouts.write(layouts.Image("localhost/spare:1", tree, {"User": "7:8"}), archive)
    node.machine.ctr("images", "import", archive)
    node.machine.ctr("images", "tag", "localhost/spare:1", "localhost/spare:2")
    image = until(
        lambda: (
            (found := node.runtime.image("localhost/spare:2")) and len(found.tags) == 2 and found
        ),
        "the runtime knows of both names",
    )
    assert (image.uid, image.username) == (7, "")
    node.runtime.remove_image("localhost/spare:2")
    assert node.runtime.image("localhost/spare:1") is None
    node.runtime.remove_image("localhost/spare:2")
