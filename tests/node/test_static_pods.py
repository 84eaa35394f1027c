"""A manifest in the folder is a pod on the node; what happens to the one happens to the other."""

from __future__ import annotations

import json

import pytest

from tests.support.agent import AgentProcess, container, is_ready, pod
from tests.support.waiting import until

pytestmark = pytest.mark.root


def test_a_manifest_dropped_into_the_folder_runs_as_a_pod(agent: AgentProcess) -> None:
    agent.drop("web.yaml", pod("web", container(script="echo hello; sleep 1000")))
    agent.wait_ready("web")
    found = agent.pod("web")
    assert found
    assert found["metadata"]["namespace"] == "default"
    assert found["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
    assert found["metadata"]["annotations"]["kubernetes.io/config.hash"]
    assert found["status"]["podIP"].startswith("10.88.0.")
    until(lambda: agent.logs_of("web") == "hello", "the log has what the container printed")


def test_a_removed_manifest_takes_its_pod_away(agent: AgentProcess) -> None:
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    agent.remove("web.yaml")
    agent.wait_gone("web")


def test_yaml_with_several_documents_makes_several_pods(agent: AgentProcess) -> None:
    agent.drop("two.yaml", pod("one"), pod("two"))
    agent.wait_ready("one", "two")


def test_a_json_manifest_is_as_good_as_yaml(agent: AgentProcess) -> None:
    agent.drop("web.json", json.dumps(pod("web"), indent=2))
    agent.wait_ready("web")


def test_a_bad_manifest_leaves_the_running_pod_alone(agent: AgentProcess) -> None:
    """Complaint: a static pod does not start and nothing says why."""
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    before = agent.status("web")["containerID"]
    agent.drop(
        "web.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n"
        "  - name: main\n    image: 5\n",
    )
    until(lambda: agent.get("status")["refused"], "the file is refused")
    sentence = agent.get("status")["refused"][0]["sentence"]
    assert "web.yaml:8" in sentence
    assert "spec.containers[0].image" in sentence
    assert agent.status("web")["containerID"] == before


def test_a_file_that_was_refused_counts_again_once_it_is_mended(agent: AgentProcess) -> None:
    agent.drop("web.yaml", "kind: Pod\n")
    until(lambda: agent.get("status")["refused"], "the file is refused")
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    assert agent.get("status")["refused"] == []


@pytest.mark.parametrize(
    "name", [".web.yaml.swp", "web.yaml~", "#web.yaml#", ".hidden.yaml", "4913"]
)
def test_backup_swap_and_dot_files_are_no_manifests(agent: AgentProcess, name: str) -> None:
    """Complaint: editor backup and dot files in the manifest folder break pods."""
    agent.drop("web.yaml", pod("web"))
    (agent.manifests / name).write_text(json.dumps(pod("other")))
    agent.wait_ready("web")
    assert agent.pod("other") is None
    assert agent.get("status")["refused"] == []


def test_an_edited_pod_starts_only_when_the_old_one_is_gone(agent: AgentProcess) -> None:
    """Complaint: an edited static pod starts before the old one is gone."""
    slow = "trap 'sleep 2; exit 0' TERM; while true; do sleep 1000 & wait $!; done"
    agent.drop("web.yaml", pod("web", container(script=slow), terminationGracePeriodSeconds=20))
    agent.wait_ready("web")
    old = agent.pod("web")
    assert old
    agent.drop("web.yaml", pod("web", container(env=[{"name": "VERSION", "value": "2"}])))
    overlapping = []

    def replaced() -> bool:
        tasks = [
            line for line in agent.machine.ctr("tasks", "list").splitlines() if "RUNNING" in line
        ]
        overlapping.append(len(tasks))
        now = agent.pod("web")
        return bool(now and now["metadata"]["uid"] != old["metadata"]["uid"] and is_ready(now))

    until(replaced, "the new pod runs", timeout=30)
    assert max(overlapping) <= 2, "sandbox and container of one pod at a time"


def test_a_pod_edited_twice_ends_as_the_last_edit_says(agent: AgentProcess) -> None:
    """Complaint: edited twice, it sticks for ever."""
    for version in ("1", "2", "3"):
        agent.drop("web.yaml", pod("web", container(env=[{"name": "V", "value": version}])))
        if version == "1":
            agent.wait_ready("web")

    def last_runs() -> bool:
        now = agent.pod("web")
        env = now["spec"]["containers"][0].get("env") if now else None
        return bool(env == [{"name": "V", "value": "3"}] and is_ready(now))

    until(last_runs, "the last edit runs", timeout=30)


def test_a_manifest_put_back_while_its_pod_ends_runs_again(agent: AgentProcess) -> None:
    slow = "trap 'sleep 3; exit 0' TERM; while true; do sleep 1000 & wait $!; done"
    agent.drop("web.yaml", pod("web", container(script=slow), terminationGracePeriodSeconds=20))
    agent.wait_ready("web")
    before = agent.status("web")["containerID"]
    text = (agent.manifests / "web.yaml").read_text()
    agent.remove("web.yaml")
    until(lambda: "no longer wanted" in agent.sentence("web"), "its end has begun")
    agent.drop("web.yaml", text)

    def runs_anew() -> bool:
        now = agent.pod("web")
        statuses = now["status"].get("containerStatuses") if now else None
        return bool(statuses and is_ready(now) and statuses[0].get("containerID") != before)

    until(runs_anew, "it runs again")


def test_a_touched_file_with_the_same_content_restarts_nothing(agent: AgentProcess) -> None:
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    before = agent.status("web")["containerID"]
    agent.drop("web.yaml", pod("web"))
    agent.drop("other.yaml", pod("other"))
    agent.wait_ready("other")
    assert agent.status("web")["containerID"] == before
