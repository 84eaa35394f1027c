"""What happens when a container ends: restart policies, crash loops, the end of a pod."""

from __future__ import annotations

import pytest

from pykubelet.clock import from_rfc3339
from tests.support.agent import AgentProcess, container, pod
from tests.support.waiting import until

pytestmark = pytest.mark.root


def test_restart_policies_decide_who_comes_back(agent: AgentProcess) -> None:
    agent.drop(
        "policies.yaml",
        pod("never-good", container(script="exit 0"), restartPolicy="Never"),
        pod("never-bad", container(script="exit 3"), restartPolicy="Never"),
        pod("onfailure-good", container(script="exit 0"), restartPolicy="OnFailure"),
        pod("onfailure-bad", container(script="sleep 0.1; exit 3"), restartPolicy="OnFailure"),
        pod("always", container(script="exit 0"), restartPolicy="Always"),
        pod(
            "own-policy",
            container(script="exit 5", restartPolicy="Never"),
            restartPolicy="Always",
        ),
    )
    assert agent.wait_for_phase("never-good", "Succeeded")["status"]["qosClass"] == "BestEffort"
    agent.wait_for_phase("never-bad", "Failed")
    assert agent.status("never-bad")["state"]["terminated"]["exitCode"] == 3
    assert agent.status("never-bad")["state"]["terminated"]["reason"] == "Error"
    agent.wait_for_phase("onfailure-good", "Succeeded")
    agent.wait_for_phase("own-policy", "Failed")
    for name in ("onfailure-bad", "always"):
        until(lambda name=name: agent.status(name)["restartCount"] == 1, f"{name} is back")
        assert agent.phase(name) == "Running"
    assert agent.status("never-bad")["restartCount"] == 0


def test_a_crash_loop_waits_ten_seconds_and_says_so(agent: AgentProcess) -> None:
    agent.drop("crashing.yaml", pod("crashing", container(script="exit 4")))

    def waiting() -> object:
        return agent.status("crashing")["state"].get("waiting")

    until(lambda: agent.status("crashing")["restartCount"] == 1 and waiting(), "it backs off")
    status = agent.status("crashing")
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert (
        "back-off 10s restarting failed container=main pod=crashing-node-1_default("
        in (status["state"]["waiting"]["message"])
    )
    assert status["lastState"]["terminated"]["exitCode"] == 4
    ended = from_rfc3339(status["lastState"]["terminated"]["finishedAt"])

    def back() -> object:
        return agent.status("crashing")["restartCount"] == 2 and waiting()

    until(back, "it was back", interval=0.2)
    began = from_rfc3339(agent.status("crashing")["lastState"]["terminated"]["startedAt"])
    assert 9 <= began - ended <= 12
    why = agent.why("crashing")
    assert why["stands"] == "container main"


def test_a_pod_at_its_end_stays_there_over_restarts_of_the_agent(agent: AgentProcess) -> None:
    message = "echo its last words > /dev/termination-log; exit 3"
    agent.drop(
        "ended.yaml",
        pod("bad", container(script=message), restartPolicy="Never"),
        pod("good", container(script="exit 0"), restartPolicy="Never"),
        pod("late", activeDeadlineSeconds=1),
    )
    agent.wait_for_phase("good", "Succeeded")
    agent.wait_for_phase("bad", "Failed")
    agent.wait_for_phase("late", "Failed")
    names = ("bad", "good", "late")

    def rest() -> bool:
        return all("ran to its end" in s or "Deadline" in s for s in sentences())

    def sentences() -> list[str]:
        return [agent.why(name)["next"] for name in names]

    until(lambda: not any("stopping" in s or "unmounting" in s for s in sentences()), "all rest")
    before = {name: agent.pod(name) for name in names}
    agent.kill()
    agent.start()
    until(lambda: all(agent.phase(name) for name in names), "the agent knows them")
    until(lambda: not any("stopping" in s or "unmounting" in s for s in sentences()), "all rest")
    assert {name: agent.pod(name) for name in names} == before
    late = before["late"]
    assert late
    assert late["status"]["reason"] == "DeadlineExceeded"
    assert agent.status("bad")["state"]["terminated"]["message"] == "its last words\n"


def test_a_container_whose_command_is_not_there_says_so(agent: AgentProcess) -> None:
    wrong = container()
    wrong["command"] = ["/no/such/program"]
    agent.drop("wrong.yaml", pod("wrong", wrong))

    def reasons() -> str:
        state = agent.status("wrong")["state"]
        return str(state.get("waiting", {}).get("reason", ""))

    until(lambda: reasons() in ("RunContainerError", "CrashLoopBackOff"), "it is said")
    assert agent.phase("wrong") in ("Pending", "Running")
    until(lambda: "no such file" in str(agent.status("wrong")), "the runtime's words are there")


def test_a_lost_sandbox_is_made_anew_with_all_that_was_in_it(agent: AgentProcess) -> None:
    agent.drop("lost.yaml", pod("lost"))
    agent.wait_ready("lost")
    before = agent.pod("lost")
    assert before
    uid = before["metadata"]["uid"]
    lines = agent.machine.ctr("containers", "list").splitlines()
    sandbox = next(line.split()[0] for line in lines if "pause" in line)
    agent.machine.ctr("tasks", "kill", "-s", "KILL", sandbox)

    def anew() -> bool:
        status = agent.status("lost")
        return bool(status["restartCount"] == 1 and status["ready"])

    until(anew, "its container runs in a new sandbox")
    now = agent.pod("lost")
    assert now
    assert now["metadata"]["uid"] == uid
