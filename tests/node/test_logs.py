"""What containers print: files in the CRI format, links to them, rotation."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.agent import SLEEP, AgentProcess, container, pod
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def agent(machine: Machine) -> Iterator[AgentProcess]:
    config = machine.home / "kubelet.yaml"
    config.write_text(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
        "containerLogMaxSize: 20Ki\ncontainerLogMaxFiles: 2\ncontainerLogMonitorInterval: 3s\n"
    )
    agent = AgentProcess(machine, "--config", str(config))
    yield agent
    agent.stop()


def test_logs_are_written_linked_and_gone_with_the_pod(agent: AgentProcess) -> None:
    script = f"echo out; echo err >&2; {SLEEP}"
    agent.drop("logs.yaml", pod("logs", container(script=script)))
    agent.wait_ready("logs")
    until(lambda: agent.logs_of("logs").count("\n") == 1, "both lines are there")
    found = agent.pod("logs")
    assert found
    folder = agent.logs / f"default_logs-node-1_{found['metadata']['uid']}"
    lines = (folder / "main" / "0.log").read_text().splitlines()
    assert all(
        re.fullmatch(r"\S+T\S+(Z|[+-]\d\d:\d\d) (stdout|stderr) F (out|err)", line)
        for line in lines
    )
    id = agent.status("logs")["containerID"].partition("://")[2]
    link = agent.logs.parent / "containers" / f"logs-node-1_default_main-{id}.log"
    assert link.resolve() == (folder / "main" / "0.log").resolve()
    agent.remove("logs.yaml")
    agent.wait_gone("logs")
    until(lambda: not folder.exists(), "the logs are gone with the pod")


def test_a_pod_at_its_end_keeps_its_logs_until_its_manifest_goes(agent: AgentProcess) -> None:
    agent.drop("ended.yaml", pod("ended", container(script="echo bye"), restartPolicy="Never"))
    agent.wait_for_phase("ended", "Succeeded")
    assert agent.logs_of("ended") == "bye"
    agent.remove("ended.yaml")
    agent.wait_gone("ended")
    until(lambda: not list(agent.logs.iterdir()), "its logs are gone")


def test_each_attempt_has_a_log_of_its_own(agent: AgentProcess) -> None:
    agent.drop("attempts.yaml", pod("attempts", container(script="echo I ran; sleep 0.2; exit 1")))
    until(lambda: agent.status("attempts")["restartCount"] == 1, "it is back")
    until(lambda: agent.logs_of("attempts", attempt=1) == "I ran", "the second has a log")
    assert agent.logs_of("attempts", attempt=0) == "I ran"


def test_a_long_log_is_rotated_and_nothing_of_it_is_lost(agent: AgentProcess) -> None:
    script = f"for i in $(seq 1000); do echo line number $i of a long log; done; {SLEEP}"
    agent.drop("long.yaml", pod("long", container(script=script)))
    agent.wait_ready("long")
    found = agent.pod("long")
    assert found
    folder = agent.logs / f"default_long-node-1_{found['metadata']['uid']}" / "main"
    until(lambda: len(list(folder.iterdir())) >= 2, "it is rotated")
    agent.exec("long", "sh", "-c", "echo after > /proc/1/fd/1")
    until(lambda: agent.logs_of("long") == "after", "it goes on in a new file")
