"""How pods end: grace, deadlines, last words."""

from __future__ import annotations

import time

import pytest

from tests.support.agent import AgentProcess, container, pod
from tests.support.waiting import until

pytestmark = pytest.mark.root

STUBBORN = "trap '' TERM; while true; do sleep 1; done"


def test_a_stubborn_container_is_killed_when_its_grace_is_over(agent: AgentProcess) -> None:
    agent.drop("stubborn.yaml", pod("stubborn", container(script=STUBBORN)))
    agent.wait_ready("stubborn")
    began = time.monotonic()
    agent.remove("stubborn.yaml")
    until(lambda: "stopping main, 3 s of grace" in agent.why("stubborn")["next"], "it is said")
    agent.wait_gone("stubborn")
    assert 2.5 < time.monotonic() - began < 8


def test_a_pod_past_its_active_deadline_fails(agent: AgentProcess) -> None:
    agent.drop("late.yaml", pod("late", activeDeadlineSeconds=2))
    agent.wait_ready("late")
    found = agent.wait_for_phase("late", "Failed")
    assert found["status"]["reason"] == "DeadlineExceeded"
    assert found["status"]["message"] == (
        "Pod was active on the node longer than the specified deadline"
    )
    assert "terminated" in agent.status("late")["state"]
    assert agent.status("late")["ready"] is False


def test_last_words_come_from_the_file_or_the_log(agent: AgentProcess) -> None:
    def ends(name: str, script: str, **more: object) -> dict[str, object]:
        return pod(name, container(script=script, **more), restartPolicy="Never")

    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    agent.drop(
        "words.yaml",
        ends("file", "printf words > /dev/termination-log"),
        ends("path", "printf words > /tmp/last", terminationMessagePath="/tmp/last"),
        ends("log", "echo log words; exit 1", **fallback),
        ends("log-of-success", "echo log words", **fallback),
        ends("both", "echo log; printf words > /dev/termination-log; exit 1", **fallback),
        ends("long", "head -c 9000 /dev/zero | tr '\\0' x > /dev/termination-log"),
        ends("long-log", "for i in $(seq 300); do echo line $i; done; exit 1", **fallback),
    )
    for name in ("file", "path", "log-of-success", "long"):
        agent.wait_for_phase(name, "Succeeded")
    for name in ("log", "both", "long-log"):
        agent.wait_for_phase(name, "Failed")

    def words(name: str) -> str:
        return str(agent.status(name)["state"]["terminated"].get("message", ""))

    assert words("file") == words("path") == words("both") == "words"
    assert words("log") == "log words\n"
    assert words("log-of-success") == ""
    assert words("long") == "x" * 4096
    assert words("long-log").startswith("line 221\n")
    assert words("long-log").endswith("line 300\n")


def test_an_end_asked_for_during_a_start_is_carried_out(agent: AgentProcess) -> None:
    """Whatever the moment: nothing is left, and nothing is in the next one's way."""
    for pause in (0.0, 0.05, 0.1, 0.2, 0.3):
        agent.drop("brief.yaml", pod("brief"))
        time.sleep(pause)
        agent.remove("brief.yaml")
    agent.wait_gone("brief")
    agent.drop("brief.yaml", pod("brief"))
    agent.wait_ready("brief")
    assert agent.status("brief")["restartCount"] == 0
