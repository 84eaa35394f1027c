"""Which image runs: pull policies, and what is said where there is none."""

from __future__ import annotations

import pytest

from tests.support.agent import AgentProcess, container, pod
from tests.support.waiting import until

pytestmark = pytest.mark.root

NOWHERE = "127.0.0.1:1/no/such:1"


def waiting(agent: AgentProcess, name: str) -> str:
    return str(agent.status(name)["state"].get("waiting", {}).get("reason", ""))


def test_what_is_said_of_images_that_are_not_to_be_had(agent: AgentProcess) -> None:
    def wanting(name: str, image: str, policy: str) -> dict[str, object]:
        return pod(name, {**container(), "image": image, "imagePullPolicy": policy})

    agent.drop(
        "images.yaml",
        wanting("absent", NOWHERE, "IfNotPresent"),
        wanting("never", NOWHERE, "Never"),
        wanting("here", container()["image"], "Never"),
    )
    until(lambda: waiting(agent, "absent") == "ErrImagePull", "the pull failed", interval=0.01)
    until(lambda: waiting(agent, "absent") == "ImagePullBackOff", "it backs off")
    message = agent.status("absent")["state"]["waiting"]["message"]
    assert message.startswith(f'Back-off pulling image "{NOWHERE}"')
    until(lambda: waiting(agent, "never") == "ErrImageNeverPull", "it is said")
    assert "pull policy of Never" in agent.status("never")["state"]["waiting"]["message"]
    agent.wait_ready("here")
    assert agent.phase("absent") == "Pending"
    assert agent.why("absent")["stands"] == "image of main"


def test_a_pod_that_waits_for_its_image_is_gone_as_soon_as_it_is_taken_away(
    agent: AgentProcess,
) -> None:
    agent.drop("absent.yaml", pod("absent", {**container(), "image": NOWHERE}))
    until(lambda: waiting(agent, "absent") == "ImagePullBackOff", "it backs off")
    agent.remove("absent.yaml")
    agent.wait_gone("absent", timeout=10)
