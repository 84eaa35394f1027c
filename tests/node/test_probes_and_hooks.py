"""Probes and lifecycle hooks of real containers."""

from __future__ import annotations

import pytest

from tests.support.agent import SLEEP, AgentProcess, container, is_ready, pod
from tests.support.waiting import until

pytestmark = pytest.mark.root

QUICK = {"periodSeconds": 1, "failureThreshold": 1}


def log_of(agent: AgentProcess) -> str:
    return (agent.machine.home / "agent.log").read_text()


def test_readiness_by_every_handler_follows_what_is_asked(agent: AgentProcess) -> None:
    serve = f"mkdir /www; echo hi > /www/ok; httpd -p 8080 -h /www; {SLEEP}"
    agent.drop(
        "ready.yaml",
        pod(
            "exec",
            container(
                script=f"touch /ready; {SLEEP}",
                readinessProbe={"exec": {"command": ["cat", "/ready"]}, **QUICK},
            ),
        ),
        pod(
            "http",
            container(
                script=serve,
                ports=[{"name": "web", "containerPort": 8080}],
                readinessProbe={"httpGet": {"path": "/ok", "port": "web"}, **QUICK},
            ),
        ),
        pod(
            "tcp",
            container(script=serve, readinessProbe={"tcpSocket": {"port": 8080}, **QUICK}),
        ),
        pod(
            "deaf",
            container(readinessProbe={"tcpSocket": {"port": 8080}, **QUICK}),
        ),
    )
    agent.wait_ready("exec", "http", "tcp")
    assert not is_ready(agent.pod("deaf"))
    deaf = agent.status("deaf")
    assert (deaf["started"], deaf["ready"], "running" in deaf["state"]) == (True, False, True)
    agent.exec("exec", "rm", "/ready")
    agent.exec("http", "rm", "/www/ok")
    until(lambda: not is_ready(agent.pod("exec")), "no longer ready by exec")
    until(lambda: not is_ready(agent.pod("http")), "no longer ready by http")
    found = agent.pod("http")
    assert found
    ready = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
    assert ready["reason"] == "ContainersNotReady"
    assert ready["message"] == "containers with unready status: [main]"
    agent.exec("exec", "touch", "/ready")
    agent.wait_ready("exec")
    assert agent.status("exec")["restartCount"] == 0


def test_a_failed_liveness_or_startup_probe_has_the_container_replaced(
    agent: AgentProcess,
) -> None:
    failing = {"exec": {"command": ["cat", "/ok"]}, **QUICK}
    agent.drop(
        "live.yaml",
        pod("live", container(script=f"touch /ok; {SLEEP}", livenessProbe=failing)),
        # Even where it then ends well under a policy that restarts failures only.
        pod(
            "live-onfailure",
            container(script=f"touch /ok; {SLEEP}", livenessProbe=failing),
            restartPolicy="OnFailure",
        ),
        pod("unstarted", container(startupProbe=failing)),
        pod("never", container(livenessProbe=failing), restartPolicy="Never"),
    )
    agent.wait_ready("live", "live-onfailure")
    agent.exec("live", "rm", "/ok")
    agent.exec("live-onfailure", "rm", "/ok")
    for name in ("live", "live-onfailure", "unstarted"):
        until(lambda name=name: agent.status(name)["restartCount"] >= 1, f"{name} is replaced")
    assert "Container main failed liveness probe, will be restarted" in log_of(agent)
    assert "Container main failed startup probe, will be restarted" in log_of(agent)
    agent.wait_for_phase("never", "Succeeded")  # it ended well when it was asked to


def test_a_startup_probe_holds_the_others_back(agent: AgentProcess) -> None:
    agent.drop(
        "slow.yaml",
        pod(
            "slow",
            container(
                script=f"sleep 2; touch /up; {SLEEP}",
                startupProbe={
                    "exec": {"command": ["cat", "/up"]},
                    "periodSeconds": 1,
                    "failureThreshold": 20,
                },
                livenessProbe={"exec": {"command": ["cat", "/up"]}, **QUICK},
            ),
        ),
    )
    until(lambda: "running" in agent.status("slow")["state"], "it runs")
    assert agent.status("slow")["started"] is False
    agent.wait_ready("slow")
    assert agent.status("slow")["restartCount"] == 0


def test_a_container_waits_until_its_post_start_hook_is_over(agent: AgentProcess) -> None:
    hook = {"exec": {"command": ["sh", "-c", "sleep 1; touch /hooked"]}}
    agent.drop(
        "hooks.yaml",
        pod(
            "hooked",
            container(lifecycle={"postStart": hook}),
            container("next"),
        ),
        pod(
            "badly",
            container(lifecycle={"postStart": {"exec": {"command": ["false"]}}}),
        ),
    )
    until(lambda: agent.machine.ctr("tasks", "list").count("RUNNING") >= 3, "the first runs")
    first = agent.status("hooked", "main")
    if "running" not in first["state"]:
        assert first["state"]["waiting"]["reason"] == "ContainerCreating"
        assert agent.status("hooked", "next")["state"]["waiting"]
    agent.wait_ready("hooked")
    agent.exec("hooked", "ls", "/hooked")

    def reasons() -> str:
        return str(agent.status("badly")["state"].get("waiting", {}).get("reason"))

    until(lambda: reasons() == "PostStartHookError", "the failed hook is said", interval=0.01)
    until(lambda: agent.status("badly")["restartCount"] >= 1, "and the container replaced")


def test_pre_stop_hooks_run_before_the_signal_within_the_grace(agent: AgentProcess) -> None:
    """exec, http and sleep; the grace period is shared between hook and signal."""
    folder = agent.root.parent / "hooks"
    folder.mkdir()
    volumes = [{"name": "notes", "hostPath": {"path": str(folder)}}]

    def noting(name: str, hook: dict[str, object], grace: int = 10) -> dict[str, object]:
        script = f"trap 'echo signal >> /notes/{name}; exit 0' TERM; " + (
            "httpd -p 8080 -h /; sleep 1000 & wait" if "httpGet" in hook else "sleep 1000 & wait"
        )
        return pod(
            name,
            container(
                script=script,
                lifecycle={"preStop": hook},
                volumeMounts=[{"name": "notes", "mountPath": "/notes"}],
            ),
            volumes=volumes,
            terminationGracePeriodSeconds=grace,
        )

    note = {"exec": {"command": ["sh", "-c", "echo hook >> /notes/exec"]}}
    hangs = {"exec": {"command": ["sh", "-c", "echo hook >> /notes/hangs; sleep 100"]}}
    agent.drop(
        "stops.yaml",
        noting("exec", note),
        noting("sleep", {"sleep": {"seconds": 1}}),
        noting("http", {"httpGet": {"path": "/etc/passwd", "port": 8080}}),
        noting("hangs", hangs, grace=2),
    )
    agent.wait_ready("exec", "sleep", "http", "hangs")
    agent.remove("stops.yaml")
    agent.wait_gone("exec", "sleep", "http", "hangs", timeout=15)
    notes = {file.name: file.read_text().split() for file in folder.iterdir()}
    assert notes == {
        "exec": ["hook", "signal"],
        "sleep": ["signal"],
        "http": ["signal"],
        "hangs": ["hook", "signal"],
    }


def test_a_readiness_gate_that_nobody_opens_keeps_the_pod_unready(agent: AgentProcess) -> None:
    agent.drop("gate.yaml", pod("gate", readinessGates=[{"conditionType": "example.com/up"}]))
    until(lambda: agent.status("gate")["ready"], "its container is ready")
    found = agent.pod("gate")
    assert found
    conditions = {c["type"]: c for c in found["status"]["conditions"]}
    assert conditions["ContainersReady"]["status"] == "True"
    assert conditions["Ready"]["status"] == "False"
    assert conditions["Ready"]["reason"] == "ReadinessGatesNotReady"
    assert '"example.com/up" does not exist' in conditions["Ready"]["message"]
