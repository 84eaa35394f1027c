"""exec probes in a real container."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from pykubelet.kubelet.probes import Probes, RunningContainer, exec, run_hook
from pykubelet.kubelet.probes.state import Outcome
from pykubelet.kubelet.probes.targets import Target
from pykubelet.kubelet.runtime.client import Runtime
from tests.support.images import BUSYBOX
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Runtime, str]]:
    """A runtime, and the id of a container that sleeps."""
    with Machine() as machine:
        machine.load_images()
        runtime = Runtime(machine.endpoint)
        host = {"network": 2, "pid": 1, "ipc": 2}
        sandbox = {
            "metadata": {"name": "web", "uid": "u1", "namespace": "default", "attempt": 0},
            "linux": {
                "cgroup_parent": machine.cgroup_root,
                "security_context": {"namespace_options": host},
            },
        }
        sandbox_id = runtime.run_sandbox(sandbox)
        container = {
            "metadata": {"name": "c", "attempt": 0},
            "image": {"image": BUSYBOX},
            "command": ["sleep", "600"],
            "linux": {"security_context": {"namespace_options": host}},
        }
        id = runtime.create_container(sandbox_id, container, sandbox)
        runtime.start_container(id)
        yield runtime, id
        runtime.stop_sandbox(sandbox_id)
        runtime.remove_sandbox(sandbox_id)
        runtime.close()


def ask(world: tuple[Runtime, str], *command: str, timeout: float = 5.0) -> tuple[Outcome, str]:
    runtime, id = world
    return exec.probe({"command": command}, Target(id, ""), timeout, runtime.exec_sync)


def test_the_exit_code_decides_and_the_output_explains(world: tuple[Runtime, str]) -> None:
    assert ask(world, "true") == (Outcome.SUCCESS, "")
    assert ask(world, "sh", "-c", "echo a; echo b >&2; exit 3") == (Outcome.FAILURE, "a\nb")
    assert ask(world, "false") == (Outcome.FAILURE, "exit code 1")


def test_a_command_that_takes_too_long_is_a_failure(world: tuple[Runtime, str]) -> None:
    outcome, message = ask(world, "sleep", "30", timeout=1.0)
    assert outcome is Outcome.FAILURE
    assert message == "command timed out: 'sleep 30' after 1s"


def test_a_command_that_is_not_there_is_a_failure_of_the_container(
    world: tuple[Runtime, str],
) -> None:
    outcome, message = ask(world, "no-such-command")
    assert outcome is not Outcome.SUCCESS
    assert "no-such-command" in message


def test_a_container_that_is_gone_gives_no_verdict(world: tuple[Runtime, str]) -> None:
    runtime, _ = world
    gone = Target("0" * 64, "")
    outcome, _ = exec.probe({"command": ["true"]}, gone, 2.0, runtime.exec_sync)
    assert outcome is Outcome.UNKNOWN


def test_a_file_that_comes_and_goes_makes_the_container_ready_and_unready(
    world: tuple[Runtime, str],
) -> None:
    runtime, id = world
    probe = {"exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    pod = {
        "metadata": {"uid": "u1", "name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "readinessProbe": probe}]},
    }
    probes = Probes(runtime.exec_sync, lambda uid: None)
    probes.start()
    probes.sync(pod, {"c": RunningContainer(id, int(time.time() * 1e9))}, None)
    until(lambda: probes.results("u1")["c"].message, "the probe has failed")
    assert "can't open '/tmp/ready'" in probes.results("u1")["c"].message
    runtime.exec_sync(id, ["touch", "/tmp/ready"], 5.0)
    until(lambda: probes.results("u1")["c"].ready, "the container is ready")
    runtime.exec_sync(id, ["rm", "/tmp/ready"], 5.0)
    until(lambda: not probes.results("u1")["c"].ready, "it is not any more")
    probes.stop()


def test_an_exec_hook_runs_inside(world: tuple[Runtime, str]) -> None:
    runtime, id = world
    result = run_hook(
        {"exec": {"command": ["sh", "-c", "echo done > /tmp/hook"]}},
        pod={"metadata": {"name": "web"}},
        container={"name": "c"},
        container_id=id,
        pod_ip=None,
        exec=runtime.exec_sync,
        timeout=5.0,
    )
    assert result.ok
    assert runtime.exec_sync(id, ["cat", "/tmp/hook"], 5.0).stdout == b"done\n"
