"""Images from local files: names as the runtime completes them, trees, reproducible archives."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pykubelet.bootstrap.images import layouts
from pykubelet.bootstrap.images.names import full_name
from pykubelet.bootstrap.images.trees import File, Folder, Link, Tree
from pykubelet.errors import Invalid


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("hello", "docker.io/library/hello:latest"),
        ("hello:2", "docker.io/library/hello:2"),
        ("me/hello", "docker.io/me/hello:latest"),
        ("localhost/hello", "localhost/hello:latest"),
        ("registry:5000/a/b:c", "registry:5000/a/b:c"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
    ],
)
def test_a_name_is_completed_as_the_runtime_does(short: str, full: str) -> None:
    assert full_name(short) == full
    assert full_name(full) == full


@pytest.mark.parametrize("name", ["", "Hello", "a//b", "a:b:c", "a@sha256:00", "-a", "a:-", "a/"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        full_name(name)


def test_a_later_file_replaces_an_earlier_one_and_parents_are_made() -> None:
    tree = Tree()
    tree.add_file("/a/b/c", b"1")
    tree.add_file("a/b/c", b"2", 0o600)
    assert list(tree) == [
        ("/a", Folder()),
        ("/a/b", Folder()),
        ("/a/b/c", File(b"2", 0o600)),
    ]


def test_a_path_through_a_link_lands_where_a_container_would_find_it() -> None:
    tree = Tree()
    tree.add_link("/lib", "usr/lib")
    tree.add_file("/lib/x", b"x")
    assert dict(tree)["/usr/lib/x"] == File(b"x")
    assert tree.find("/lib/../lib/x") == File(b"x")
    assert tree.find("/lib") == Folder()
    tree.add_link("/loop", "/loop")
    with pytest.raises(Invalid, match="symbolic links"):
        tree.find("/loop/x")


def test_a_host_folder_keeps_links_and_modes_and_refuses_a_pipe(tmp_path: Path) -> None:
    import os

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/run").write_text("#!/bin/sh\n")
    (tmp_path / "bin/run").chmod(0o4755)
    (tmp_path / "link").symlink_to("bin/run")
    tree = Tree()
    tree.add_host_path(tmp_path, "/")
    assert tree.find("/link") == File(tmp_path / "bin/run", 0o4755)
    assert dict(tree)["/link"] == Link("bin/run")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Invalid, match="pipe"):
        Tree().add_host_path(tmp_path, "/")


def _sample(order: int = 1) -> Tree:
    tree = Tree()
    for path in ("/etc/a", "/bin/b", "/z")[::order]:
        tree.add_file(path, path.encode())
    tree.add_link("/bin/sh", "b")
    return tree


@pytest.mark.parametrize("compress", [True, False])
def test_the_same_files_make_the_same_archive(tmp_path: Path, compress: bool) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    a = layouts.write(layouts.Image("x", _sample()), one, compress=compress)
    b = layouts.write(layouts.Image("x", _sample(-1)), two, compress=compress)
    assert a == b
    assert one.read_bytes() == two.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]  # no leftovers


def test_an_archive_is_a_whole_oci_layout(tmp_path: Path) -> None:
    told: list[int] = []
    config = {"Entrypoint": ["/bin/b"], "User": "7"}
    digest = layouts.write(
        layouts.Image("x:1", _sample(), config), tmp_path / "x.tar", progress=told.append
    )
    with tarfile.open(tmp_path / "x.tar") as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    for name, data in files.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]
    entry = json.loads(files["index.json"])["manifests"][0]
    assert entry["digest"] == digest
    manifest = _blob(files, entry)
    image = json.loads(_raw(files, manifest["config"]))
    assert image["config"] == config
    with tarfile.open(fileobj=io.BytesIO(_raw(files, manifest["layers"][0]))) as layer:
        assert [m.name for m in layer] == ["bin", "bin/b", "bin/sh", "etc", "etc/a", "z"]
        assert {(m.uid, m.gid, m.mtime) for m in layer} == {(0, 0, 0)}
    assert sum(told) == sum(len(p) for p in ("/etc/a", "/bin/b", "/z"))
    assert layouts.names(tmp_path / "x.tar") == ["docker.io/library/x:1"]


def _raw(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    return files["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]


def _blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> Any:
    return json.loads(_raw(files, descriptor))


def test_the_names_in_a_docker_save_archive_are_read(tmp_path: Path) -> None:
    manifest = json.dumps([{"RepoTags": ["hello:1"], "Layers": []}]).encode()
    with tarfile.open(tmp_path / "saved.tar", "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(manifest)
        tar.addfile(info, io.BytesIO(manifest))
    assert layouts.names(tmp_path / "saved.tar") == ["docker.io/library/hello:1"]


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 2048])
def test_any_other_file_is_named_as_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(Invalid, match="not an image archive"):
        layouts.names(tmp_path / "file")
