"""Garbage on a real containerd: what is dead goes, what lives or is pinned stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykubelet.bootstrap.images import layouts
from pykubelet.bootstrap.images.trees import Tree
from pykubelet.kubelet.node.collector import Collector
from pykubelet.kubelet.node.garbage import ContainerPolicy, ImagePolicy, Pods
from pykubelet.kubelet.runtime.model import ContainerState
from tests.component.node.lab import Lab
from tests.support import images
from tests.support.waiting import until

pytestmark = pytest.mark.root


def test_dead_attempts_go_down_to_one_and_the_running_one_is_left_alone(lab: Lab) -> None:
    pod = lab.start("many", "sh", "-c", "true")
    box = lab.runtime.pods("many")["many"].sandboxes[0].id
    config = {"metadata": {"name": "pod-many", "namespace": "default", "uid": "many"}}
    for attempt in (1, 2):
        lab.run_container(pod, box, config, attempt)
    pod["spec"]["containers"][0]["command"] = ["sleep", "1000"]
    alive = lab.run_container(pod, box, config, 3)

    def states() -> list[tuple[int, bool]]:
        found = lab.runtime.pods("many")["many"].containers
        return sorted((c.attempt, c.state is ContainerState.RUNNING) for c in found)

    until(lambda: states() == [(0, False), (1, False), (2, False), (3, True)], "three are dead")
    collector = Collector(lab.runtime, lab.logs)
    collector.containers(Pods(frozenset({"many"}), complete=True), ContainerPolicy())
    assert states() == [(2, False), (3, True)]
    assert lab.runtime.pods("many")["many"].latest("c").id == alive  # type: ignore[union-attr]
    lab.remove("many")


def test_all_of_a_pod_that_is_gone_goes_its_logs_too(lab: Lab) -> None:
    lab.start("gone", "sh", "-c", "echo hello")
    folder = lab.logs / "default_pod-gone_gone"
    until(lambda: (folder / "c/0.log").exists(), "it has logged")
    until(
        lambda: lab.runtime.pods("gone")["gone"].containers[0].state is ContainerState.EXITED,
        "it has ended",
    )
    collector = Collector(lab.runtime, lab.logs)
    collector.containers(Pods(complete=False), ContainerPolicy())
    assert folder.exists()
    lab.runtime.stop_sandbox(lab.runtime.pods("gone")["gone"].sandboxes[0].id)
    collector.containers(Pods(complete=True), ContainerPolicy())
    assert lab.runtime.pods("gone") == {}
    assert not folder.exists()
    lab.cgroups.remove_pod("gone")


def test_of_all_images_only_the_one_that_nobody_uses_is_removed(lab: Lab) -> None:
    """Complaint 22: offline, the sandbox image must not be collected."""
    lab.start("user")
    spare = Path(lab.home, "spare.tar")
    tree = Tree()
    tree.add_file("spare", b"x" * 9999)
    layouts.write(layouts.Image("registry.example/spare:1", tree, {"Cmd": ["sh"]}), spare)
    lab.node.machine.ctr("images", "import", spare)
    until(lambda: lab.runtime.image("registry.example/spare:1"), "the image is known")
    collector = Collector(lab.runtime, lab.logs)
    never_full = ImagePolicy(high_percent=100, low_percent=99)
    assert collector.images(never_full) == 0
    assert collector.unused_images(wanted=["registry.example/spare:1"]) == 0
    assert lab.runtime.image("registry.example/spare:1")
    assert collector.unused_images() > 0
    assert lab.runtime.image("registry.example/spare:1") is None
    assert lab.runtime.image(images.PAUSE)
    assert lab.runtime.image(images.BUSYBOX)
    lab.remove("user")
