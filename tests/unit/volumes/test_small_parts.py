"""The pure corners of the room: layout, the mount table's lines, host paths, the registry."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Invalid
from pykubelet.kubelet.volumes import layout, mounts
from pykubelet.kubelet.volumes.locks import Locks
from pykubelet.kubelet.volumes.manager import Volumes
from pykubelet.kubelet.volumes.model import Host, Mounted, Volume, VolumeError
from pykubelet.kubelet.volumes.registry import TYPES
from tests.support.world import Json, World, pod

# -- layout -------------------------------------------------------------------------------------


def test_things_lie_where_upstream_has_them() -> None:
    folder = layout.pod_folder(Path("/var/lib/x"), "uid-1")
    assert str(folder.path) == "/var/lib/x/pods/uid-1"
    assert str(folder.hosts_file) == "/var/lib/x/pods/uid-1/etc-hosts"
    assert str(folder.volume("kubernetes.io~empty-dir", "v")) == (
        "/var/lib/x/pods/uid-1/volumes/kubernetes.io~empty-dir/v"
    )
    assert str(folder.subpath("v", "c", 2)) == "/var/lib/x/pods/uid-1/volume-subpaths/v/c/2"
    assert str(folder.container("c")) == "/var/lib/x/pods/uid-1/containers/c"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0", "x" * 256])
def test_a_name_that_is_no_single_component_never_becomes_a_path(name: str) -> None:
    with pytest.raises(Invalid):
        layout.pod_folder(Path("/root"), name)


@given(st.text(max_size=20))
def test_whatever_is_accepted_as_a_uid_is_a_folder_of_the_root(uid: str) -> None:
    try:
        folder = layout.pod_folder(Path("/root"), uid)
    except Invalid:
        return
    assert os.path.normpath(folder.path).startswith("/root/pods/")


def test_teardown_of_a_name_that_leads_out_is_refused(tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    keep.mkdir()
    with pytest.raises(Invalid):
        Volumes(tmp_path / "root", World()).teardown("../../keep")
    assert keep.is_dir()


# -- the mount table ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "propagation", "shared"),
    [
        ("", "private", False),
        ("shared:7 ", "shared", True),
        ("master:7 ", "slave", False),
        ("shared:8 master:7 ", "shared,slave", True),
        ("unbindable ", "private", False),
    ],
)
def test_a_line_of_the_mount_table(tags: str, propagation: str, shared: bool) -> None:
    line = rf"48 43 254:0 /a\040b /mnt/x\134y\011z rw,relatime {tags}- ext4 /dev/vda rw"
    found = mounts.parse_mountinfo(line + "\n")
    assert (found.id, found.parent) == (48, 43)
    assert (found.root, found.point) == ("/a b", "/mnt/x\\y\tz")
    assert found.filesystem == "ext4"
    assert found.propagation == propagation
    assert found.is_shared is shared


def test_this_hosts_own_table_can_be_read() -> None:
    assert mounts.is_mount_point("/proc")
    assert mounts.mount_of("/proc/self") is not None
    assert not mounts.is_mount_point("/etc/passwd")
    assert not mounts.is_mount_point("/no/such/thing")


# -- hostPath -----------------------------------------------------------------------------------


def set_up(key: str, source: Json, host: Host | None = None) -> Mounted:
    kind = TYPES[key]
    assert kind.set_up is not None
    nowhere = Path("/nowhere")
    return kind.set_up(Volume(pod(), "v", source, nowhere, nowhere, World(), host or Host()))


@pytest.fixture
def things(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    return {
        "Directory": tmp_path / "folder",
        "File": tmp_path / "file",
        "Socket": tmp_path / "socket",
        "CharDevice": Path("/dev/null"),
    }


def test_each_kind_of_host_path_is_what_it_says(things: dict[str, Path]) -> None:
    words = {"Directory": "directory", "File": "file", "Socket": "socket file",
             "CharDevice": "character device", "BlockDevice": "block device"}  # fmt: skip
    for wanted, word in words.items():
        for kind, path in things.items():
            source = {"path": str(path), "type": wanted}
            if kind == wanted:
                assert set_up("hostPath", source) == Mounted(path=str(path), owned=False)
                continue
            with pytest.raises(VolumeError) as caught:
                set_up("hostPath", source)
            assert str(caught.value) == (
                'MountVolume.SetUp failed for volume "v" : hostPath type check failed: '
                f"{path} is not a {word}, it's a {kind}"
            )


def test_a_host_path_that_is_missing_is_an_error_unless_it_may_be_made(tmp_path: Path) -> None:
    for kind in ("Directory", "File", "Socket", "CharDevice", "BlockDevice"):
        with pytest.raises(VolumeError, match=r"hostPath .*/x doesn't exist"):
            set_up("hostPath", {"path": str(tmp_path / "x"), "type": kind})
    set_up("hostPath", {"path": str(tmp_path / "a/b"), "type": "DirectoryOrCreate"})
    set_up("hostPath", {"path": str(tmp_path / "a/f"), "type": "FileOrCreate"})
    assert (tmp_path / "a/b").is_dir()
    assert (tmp_path / "a/f").is_file()
    with pytest.raises(VolumeError, match="doesn't exist"):
        set_up("hostPath", {"path": str(tmp_path / "no/f"), "type": "FileOrCreate"})


def test_without_a_type_nothing_is_checked_and_back_steps_never_pass(tmp_path: Path) -> None:
    assert set_up("hostPath", {"path": "/no/such/thing"}).path == "/no/such/thing"
    with pytest.raises(VolumeError, match="must not contain") as caught:
        set_up("hostPath", {"path": f"{tmp_path}/../x"})
    assert not caught.value.waiting_may_help
    with pytest.raises(VolumeError, match="SocketOrCreate is an invalid volume type"):
        set_up("hostPath", {"path": str(tmp_path), "type": "SocketOrCreate"})


# -- what is not supported, or not here ---------------------------------------------------------


def test_image_volumes_need_a_runtime_that_can() -> None:
    source = {"reference": "registry.example/data:1"}
    with pytest.raises(VolumeError, match=r"containerd 2\.1 and newer can"):
        set_up("image", source)
    able = set_up("image", source, Host(image_volumes=True))
    assert able == Mounted(image="registry.example/data:1", read_only=True, owned=False)


@pytest.mark.parametrize("key", ["csi", "nfs", "awsElasticBlockStore", "invented"])
def test_a_type_that_is_not_supported_is_refused_by_name(tmp_path: Path, key: str) -> None:
    with pytest.raises(VolumeError, match=f"volumes of type {key} are not supported") as caught:
        Volumes(tmp_path, World()).setup(pod({"name": "v", key: {}}))
    assert not caught.value.waiting_may_help
    assert caught.value.volume == "v"


# -- locks --------------------------------------------------------------------------------------


def test_one_pod_at_a_time_and_nothing_is_kept() -> None:
    locks, inside, most = Locks(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with locks.of("a"), locks.of("b"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most == 1
    assert len(locks) == 0
