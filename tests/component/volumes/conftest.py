"""An agent's root folder with real volumes in it, and proof that nothing stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pykubelet.kubelet.volumes import mounts
from pykubelet.kubelet.volumes.container_mounts import Occasion
from pykubelet.kubelet.volumes.manager import Volumes
from pykubelet.kubelet.volumes.model import Mounted
from tests.support.world import Json, World


@dataclass
class Node:
    """`outside` is a folder that is not the agent's: nothing may ever change in it."""

    root: Path
    outside: Path
    world: World
    volumes: Volumes

    def mounts(
        self, pod: Json, mounted: dict[str, Mounted] | None = None, **env: str
    ) -> dict[str, Json]:
        """The first container's mounts, by path in the container."""
        container = pod["spec"]["containers"][0]
        found = self.volumes.mounts(
            pod, container, mounted or self.volumes.setup(pod), env, Occasion(pod_ips=["10.0.0.7"])
        )
        return {mount["container_path"]: mount for mount in found}

    def points(self) -> list[str]:
        """Where something is mounted below the root, relative to it."""
        below = [m.point for m in mounts.mounts_below(self.root) if m.point != str(self.root)]
        return [point.removeprefix(f"{self.root}/") for point in below]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("keep me")
    world = World()
    it = Node(root, outside, world, Volumes(root, world))
    it.volumes.prepare()
    try:
        yield it
        for uid in it.volumes.orphans():
            it.volumes.teardown(uid)
        assert it.points() == []
        assert it.volumes.orphans() == set()
        assert (outside / "precious").read_text() == "keep me"
    finally:
        it.volumes.release()
