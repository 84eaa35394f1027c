"""Images pulled by a real containerd from a real registry, which sees who asks."""

from __future__ import annotations

import base64
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykubelet.bootstrap.images import layouts, recipes
from pykubelet.kubelet.runtime.pulls import ErrImagePull, ImagePullBackOff, Pulls
from tests.component.runtime.pods import Node
from tests.support import images
from tests.support.waiting import until

pytestmark = pytest.mark.root

OPEN, CLOSED = "127.0.0.1:5001", "127.0.0.1:5002"


class Registries:
    """One that anybody may read, one that wants me:secret. Both serve team/busybox."""

    def __init__(self, node: Node) -> None:
        folder = node.machine.home / "registry"
        layout = folder / "team/busybox"
        layout.mkdir(parents=True)
        archive = node.machine.home / "pulled.tar"
        config = {"Env": ["PATH=/bin", "IMAGE_SAYS=pulled"]}
        layouts.write(layouts.Image("ignored:1", recipes.shell(), config), archive)
        with tarfile.open(archive) as tar:
            tar.extractall(layout, filter="data")
        self._home = node.machine.home
        program = Path(__file__).with_name("registry.py")
        for name, address, password in (("open", OPEN, ()), ("closed", CLOSED, ("me:secret",))):
            port = address.partition(":")[2]
            # Without this, containerd 2.x tries no plain HTTP, not even on loopback.
            hosts = node.machine.home / "certs.d" / address / "hosts.toml"
            hosts.parent.mkdir(parents=True)
            hosts.write_text(f'[host."http://{address}"]\n  capabilities = ["pull", "resolve"]\n')
            node.machine.start(sys.executable, program, folder, port, *password, log=name)
            until(
                lambda port=port: f":{port} " in node.machine.run("ss", "-tln"),
                f"registry {name} listens",
            )

    def requests(self, name: str) -> list[list[str]]:
        """Method, path, Authorization of every request so far."""
        return [json.loads(line) for line in (self._home / f"{name}.log").read_text().splitlines()]


@pytest.fixture(scope="module")
def registries(node: Node) -> Registries:
    return Registries(node)


@pytest.fixture(autouse=True)
def nothing_here(node: Node) -> Iterator[None]:
    yield
    for address in (OPEN, CLOSED):
        node.runtime.remove_image(f"{address}/team/busybox:1")
        node.runtime.remove_image(f"{address}/team/busybox:latest")


def pod(uid: str = "u") -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "n", "uid": uid}, "spec": {}}


def wants(image: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "image": image, **more}


def secret(registry: str, password: str) -> dict[str, Any]:
    auth = base64.b64encode(f"me:{password}".encode()).decode()
    config = base64.b64encode(json.dumps({"auths": {registry: {"auth": auth}}}).encode()).decode()
    return {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": config}}


def test_an_image_is_pulled_once_and_runs(node: Node, registries: Registries) -> None:
    ref = f"{OPEN}/team/busybox:1"
    pulls = Pulls(node.runtime)
    image = pulls.ensure(pod(), wants(ref), [], 0.0)
    assert ref in image.tags
    asked = len(registries.requests("open"))
    assert asked
    assert pulls.ensure(pod(), wants(ref), [], 0.0) == image
    assert len(registries.requests("open")) == asked
    runs = node.runs({"image": ref})
    assert runs.sh("echo $IMAGE_SAYS") == "pulled\n"
    runs.remove()


def test_always_asks_the_registry_each_time(node: Node, registries: Registries) -> None:
    pulls = Pulls(node.runtime)
    for expected in (True, True):
        before = len(registries.requests("open"))
        pulls.ensure(pod(), wants(f"{OPEN}/team/busybox"), [], 0.0)
        new = registries.requests("open")[before:]
        assert any("/manifests/latest" in path for _, path, _ in new) is expected


def test_a_pull_secret_opens_the_registry(node: Node, registries: Registries) -> None:
    ref = f"{CLOSED}/team/busybox:1"
    assert Pulls(node.runtime).ensure(pod(), wants(ref), [secret(CLOSED, "secret")], 0.0)
    expected = "Basic " + base64.b64encode(b"me:secret").decode()
    assert expected in {auth for _, _, auth in registries.requests("closed")}


def test_the_one_of_several_secrets_that_fits_is_found(node: Node, registries: Registries) -> None:
    secrets = [
        secret("quay.io", "elsewhere"),
        secret(CLOSED, "outdated"),
        secret(CLOSED, "secret"),
        secret(OPEN, "not for here"),
    ]
    before = len(registries.requests("closed"))
    assert Pulls(node.runtime).ensure(pod(), wants(f"{CLOSED}/team/busybox:1"), secrets, 0.0)
    tried = {auth for _, _, auth in registries.requests("closed")[before:] if auth}
    decoded = {base64.b64decode(each.removeprefix("Basic ")).decode() for each in tried}
    assert decoded == {"me:outdated", "me:secret"}


def test_a_pod_without_secrets_gets_in_by_the_nodes_own(node: Node, registries: Registries) -> None:
    pulls = Pulls(node.runtime, node_secrets=lambda: [secret(CLOSED, "secret")])
    assert pulls.ensure(pod(), wants(f"{CLOSED}/team/busybox:1"), [], 0.0)


@pytest.mark.parametrize("secrets", [[], [secret(CLOSED, "wrong")]])
def test_a_closed_registry_stays_closed(
    node: Node, registries: Registries, secrets: list[dict[str, Any]]
) -> None:
    pulls, ref = Pulls(node.runtime), f"{CLOSED}/team/busybox:1"
    with pytest.raises(ErrImagePull) as failed:
        pulls.ensure(pod(), wants(ref), secrets, 100.0)
    assert failed.value.reason == "ErrImagePull"
    assert 110 <= failed.value.until < 120
    asked = len(registries.requests("closed"))
    with pytest.raises(ImagePullBackOff, match="Back-off pulling image"):
        pulls.ensure(pod(), wants(ref), secrets, 105.0)
    assert len(registries.requests("closed")) == asked


def test_an_image_that_is_not_there_is_named(node: Node, registries: Registries) -> None:
    with pytest.raises(ErrImagePull, match="team/nothing"):
        Pulls(node.runtime).ensure(pod(), wants(f"{OPEN}/team/nothing:1"), [], 0.0)


def test_offline_what_is_here_runs(node: Node) -> None:
    """Complaint 22: an imported image needs no registry, not even one that can't be reached."""
    latest, fixed = (f"registry.invalid/team/imported:{tag}" for tag in ("latest", "1"))
    for ref in (latest, fixed):
        node.machine.ctr("images", "tag", images.BUSYBOX, ref)
        until(lambda ref=ref: node.runtime.image(ref), "the runtime knows of the tag")
    pulls = Pulls(node.runtime)
    assert pulls.ensure(pod(), wants(fixed), [], 0.0)
    assert pulls.ensure(pod(), wants(latest), [], 0.0)
    with pytest.raises(ErrImagePull):
        pulls.ensure(pod(), wants(fixed, imagePullPolicy="Always"), [], 0.0)
