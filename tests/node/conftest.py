"""One machine and agent for the tests of a module; each test cleans up after itself, and at the end
nothing may be left: namespaces, links, mounts, cgroups, processes, files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.agent import AgentProcess
from tests.support.machine import Machine


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        machine.use_reference_cni()
        machine.load_images()
        yield machine


@pytest.fixture(scope="module")
def agent(machine: Machine) -> Iterator[AgentProcess]:
    agent = AgentProcess(machine)
    yield agent
    agent.stop()


@pytest.fixture(autouse=True)
def no_pod_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Takes every manifest away after a test and waits until its pods are gone."""
    if "agent" not in request.fixturenames:
        yield
        return
    agent: AgentProcess = request.getfixturevalue("agent")
    yield
    names = [p["metadata"]["name"] for p in agent.pods()]
    for manifest in agent.manifests.iterdir():
        manifest.unlink()
    agent.wait_gone(*(name.removesuffix("-node-1") for name in names))
