"""What a container gets mounted, sub-paths above all: right, and never something else."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykubelet.kubelet.volumes import mounts, subpath
from pykubelet.kubelet.volumes.container_mounts import Occasion
from pykubelet.kubelet.volumes.manager import Volumes
from pykubelet.kubelet.volumes.model import Host, Mounted, VolumeError
from tests.component.volumes.conftest import Node
from tests.support.world import Json, World, container, pod

pytestmark = pytest.mark.root

EMPTY = {"name": "v", "emptyDir": {}}


def one(*volume_mounts: Json, volume: Json = EMPTY, **spec: Any) -> Json:
    return pod(volume, containers=[container(volumeMounts=list(volume_mounts))], **spec)


def at(path: str = "/data", **fields: Any) -> Json:
    return {"name": "v", "mountPath": path, **fields}


def refusal(node: Node, it: Json, **env: str) -> VolumeError:
    with pytest.raises(VolumeError) as caught:
        node.mounts(it, **env)
    assert caught.value.reason == "CreateContainerConfigError"
    return caught.value


# -- plain mounts -------------------------------------------------------------------------------


def test_a_volume_is_mounted_as_the_pod_says(node: Node) -> None:
    found = node.mounts(one(at(), at("relative", readOnly=True)))
    folder = str(node.root / "pods/uid-1/volumes/kubernetes.io~empty-dir/v")
    assert found["/data"] == {
        "container_path": "/data",
        "host_path": folder,
        "readonly": False,
        "selinux_relabel": False,
        "propagation": "PROPAGATION_PRIVATE",
        "recursive_read_only": False,
    }
    assert found["/relative"]["readonly"]


def test_a_config_map_is_read_only_whatever_the_pod_says(node: Node) -> None:
    node.world.put_config_map("c", a="1")
    found = node.mounts(one(at(), volume={"name": "v", "configMap": {"name": "c"}}))
    assert found["/data"]["readonly"]


def test_a_volume_that_the_pod_does_not_have(node: Node) -> None:
    error = refusal(node, one({"name": "ghost", "mountPath": "/x"}))
    assert str(error) == 'cannot find volume "ghost" to mount into container "main"'


def test_an_image_is_mounted_by_the_runtime(node: Node) -> None:
    volumes = Volumes(node.root, node.world, host=Host(image_volumes=True))
    it = one(at(subPath="bin"), volume={"name": "v", "image": {"reference": "example/data:1"}})
    (mount, _) = volumes.mounts(it, it["spec"]["containers"][0], volumes.setup(it), {})
    assert mount["image"] == {"image": "example/data:1"}
    assert mount["image_sub_path"] == "bin"
    occasion = Occasion(image_refs={"v": "sha256:1234"})
    (mount, _) = volumes.mounts(it, it["spec"]["containers"][0], volumes.setup(it), {}, occasion)
    assert mount["image"] == {"image": "sha256:1234"}
    assert mount["host_path"] == ""
    assert mount["readonly"]


def test_block_devices_are_devices_and_nothing_to_mount(node: Node) -> None:
    main = container(volumeDevices=[{"name": "b", "devicePath": "/dev/xvda"}])
    it = pod(containers=[main])
    for read_only, permissions in ((False, "mrw"), (True, "r")):
        mounted = {"b": Mounted(device="/dev/loop0", read_only=read_only, owned=False)}
        assert node.volumes.block_devices(it, main, mounted) == [
            {"container_path": "/dev/xvda", "host_path": "/dev/loop0", "permissions": permissions}
        ]
    with pytest.raises(VolumeError, match='cannot find volume "b" to pass into container "main"'):
        node.volumes.block_devices(it, main, {"b": Mounted(path="/folder")})


def test_in_a_user_namespace_every_mount_is_mapped(node: Node) -> None:
    it = one(at())
    mapping = {"host_id": 65536, "container_id": 0, "length": 65536}
    occasion = Occasion(pod_ips=["10.0.0.7"], id_mappings=[mapping])
    main = it["spec"]["containers"][0]
    found = node.volumes.mounts(it, main, node.volumes.setup(it), {}, occasion)
    assert len(found) == 3
    assert all(m["uidMappings"] == m["gidMappings"] == [mapping] for m in found)


# -- the agent's own files ----------------------------------------------------------------------


def test_the_hosts_file_names_the_pod(node: Node) -> None:
    found = node.mounts(one())
    path = Path(found["/etc/hosts"]["host_path"])
    assert path == node.root / "pods/uid-1/etc-hosts"
    assert path.read_text().endswith("10.0.0.7\tweb\n")
    before = path.stat()
    node.mounts(one(hostAliases=[{"ip": "192.0.2.9", "hostnames": ["x"]}]))
    assert "192.0.2.9\tx" in path.read_text()
    assert path.stat().st_ino == before.st_ino, "running containers have this very file mounted"


def test_the_hosts_file_is_left_to_a_pod_that_mounts_its_own(node: Node) -> None:
    found = node.mounts(one(at("/etc/hosts/", subPath="hosts")))
    assert "/etc/hosts" not in found
    assert "/etc/hosts/" in found


def test_on_the_host_network_the_hosts_file_is_the_nodes(node: Node) -> None:
    (node.outside / "hosts").write_text("192.0.2.1 this-node\n")
    volumes = Volumes(node.root, node.world, host=Host(hosts_file=node.outside / "hosts"))
    it = one(hostNetwork=True)
    (mount, _) = volumes.mounts(it, it["spec"]["containers"][0], {}, {})
    assert "192.0.2.1 this-node" in Path(mount["host_path"]).read_text()
    (node.outside / "hosts").unlink()
    assert volumes.mounts(it, it["spec"]["containers"][0], {}, {})


def test_each_attempt_has_a_message_file_of_its_own_that_any_user_may_write(node: Node) -> None:
    main = container(terminationMessagePath="/tmp/why")
    it = pod(containers=[main])
    for attempt in range(6):
        (mount,) = node.volumes.mounts(it, main, {}, {}, Occasion(attempt=attempt))
        assert mount["container_path"] == "/tmp/why"
        assert stat.S_IMODE(os.stat(mount["host_path"]).st_mode) == 0o666
        Path(mount["host_path"]).write_text(f"message {attempt}")
    assert node.volumes.termination_message("uid-1", "main", 5) == "message 5"
    assert node.volumes.termination_message("uid-1", "main", 4) == "message 4"
    assert sorted(os.listdir(node.root / "pods/uid-1/containers/main")) == ["3", "4", "5"]
    node.volumes.mounts(it, main, {}, {}, Occasion(attempt=5))
    assert node.volumes.termination_message("uid-1", "main", 5) == "", "tried again, not answered"


def test_of_a_long_message_the_end_counts(node: Node) -> None:
    main = container()
    (mount,) = node.volumes.mounts(pod(containers=[main]), main, {}, {})
    Path(mount["host_path"]).write_bytes(b"x" * 10_000 + b"\xff the end")
    message = node.volumes.termination_message("uid-1", "main", 0)
    assert len(message.encode("utf-8", "replace")) <= 4096 + 2
    assert message.endswith("� the end")
    assert node.volumes.termination_message("nobody", "main", 0) == ""


def test_no_message_file_where_the_pod_wants_none(node: Node) -> None:
    main = container(terminationMessagePath="")
    assert node.volumes.mounts(pod(containers=[main]), main, {}, {}) == []


# -- sub-paths ----------------------------------------------------------------------------------


def volume_of(node: Node, it: Json) -> Path:
    return Path(node.volumes.setup(it)["v"].path)


def source(node: Node, it: Json, **env: str) -> Path:
    return Path(node.mounts(it, **env)["/data"]["host_path"])


def test_a_sub_path_shows_that_part_alone(node: Node) -> None:
    it = one(at(subPath="a/b"))
    folder = volume_of(node, it)
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/file").write_text("x")
    shown = source(node, it)
    assert shown == node.root / "pods/uid-1/volume-subpaths/v/main/0"
    assert os.listdir(shown) == ["file"]
    assert mounts.is_mount_point(shown)


def test_a_sub_path_may_be_a_file(node: Node) -> None:
    it = one(at(subPath="file"))
    (volume_of(node, it) / "file").write_text("x")
    assert source(node, it).read_text() == "x"


def test_a_sub_path_that_is_missing_is_made_as_open_as_the_volume(node: Node) -> None:
    it = one(at(subPath="a/./b//c"), securityContext={"fsGroup": 4321})
    umask = os.umask(0o077)
    try:
        shown = source(node, it)
    finally:
        os.umask(umask)
    for path in ("a", "a/b", "a/b/c"):
        made = (volume_of(node, it) / path).stat()
        assert stat.S_IMODE(made.st_mode) == 0o2777
        assert made.st_gid == 4321
    assert shown.is_dir()


def test_a_sub_path_may_be_put_together_from_variables(node: Node) -> None:
    it = one(at(subPathExpr="$(POD)/$$(x)"))
    assert source(node, it, POD="web-0").is_dir()
    assert (volume_of(node, it) / "web-0/$(x)").is_dir()
    error = refusal(node, it)
    assert str(error) == 'missing value for "POD" in subPathExpr `$(POD)/$$(x)`'


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/etc", "error SubPath `/etc` must not be an absolute path"),
        ("../x", "unable to provision SubPath `../x`: must not contain '..'"),
        ("a/../../x", "unable to provision SubPath `a/../../x`: must not contain '..'"),
    ],
)
def test_paths_that_no_volume_holds(node: Node, path: str, sentence: str) -> None:
    assert str(refusal(node, one(at(subPath=path)))) == sentence
    assert str(refusal(node, one(at(subPathExpr="$(P)")), P=path)) == sentence


def test_links_that_stay_inside_are_followed(node: Node) -> None:
    it = one(at(subPath="current/conf"))
    folder = volume_of(node, it)
    (folder / "v2/conf").mkdir(parents=True)
    (folder / "v2/conf/file").touch()
    (folder / "current").symlink_to("v2")
    assert os.listdir(source(node, it)) == ["file"]


def test_a_key_of_a_config_map_and_its_newer_version_after_a_restart(node: Node) -> None:
    node.world.put_config_map("c", key="old")
    it = one(at(subPath="key"), volume={"name": "v", "configMap": {"name": "c"}})
    shown = source(node, it)
    assert shown.read_text() == "old"
    node.world.put_config_map("c", key="new")
    assert node.volumes.refresh(it)
    assert shown.read_text() == "old", "a running container keeps what it has"
    assert source(node, it).read_text() == "new"
    assert len(node.points()) == 1


def test_asking_again_mounts_nothing_again(node: Node) -> None:
    it = one(at(subPath="a"))
    for _ in range(3):
        source(node, it)
    assert len(node.points()) == 1


def test_a_folder_that_became_a_file_is_shown_as_one(node: Node) -> None:
    it = one(at(subPath="a"))
    assert source(node, it).is_dir()
    folder = volume_of(node, it)
    (folder / "a").rmdir()
    (folder / "a").write_text("x")
    assert source(node, it).read_text() == "x"
    (folder / "a").unlink()
    assert source(node, it).is_dir()


@pytest.mark.parametrize("outside", ["absolute", "relative"])
@pytest.mark.parametrize("path", ["out", "out/deeper", "out/precious", "in/out/x", "loop"])
def test_links_that_lead_out_are_refused_and_nothing_is_made_there(
    node: Node, path: str, outside: str
) -> None:
    it = one(at(subPath=path))
    folder = volume_of(node, it)
    (folder / "in").mkdir()
    (folder / "loop").symlink_to("loop")
    for name in ("out", "in/out"):
        target = node.outside
        if outside == "relative":
            target = Path(os.path.relpath(node.outside, (folder / name).parent))
        (folder / name).symlink_to(target)
    error = refusal(node, it)
    assert str(error) == ('failed to prepare subPath for volumeMount "v" of container "main"'), (
        "a pod is told nothing of the node's files"
    )
    assert os.listdir(node.outside) == ["precious"]
    assert node.points() == []


class Swapper:
    """Somebody in another container: renames folders and links that lead out over `a`, as fast as
    it can, for as long as the `with` block lasts."""

    def __init__(self, folder: Path, outside: Path) -> None:
        self.folder, self.outside = folder, outside
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._swap)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _swap(self) -> None:
        turn = 0
        while not self._stop.is_set():
            turn += 1
            new, shown = self.folder / f"new-{turn}", self.folder / "a"
            if turn % 2:
                (new / "b").mkdir(parents=True)
            else:
                new.symlink_to(self.outside)
            try:
                shown.rename(self.folder / f"old-{turn}")
                new.rename(shown)
            except OSError:
                continue  # somebody made an `a` meanwhile


TRIES = 20_000


def test_a_link_swapped_at_the_wrong_moment_never_shows_what_is_outside(node: Node) -> None:
    folder, target = volume_of(node, one(at())), node.root / "target"
    (folder / "a/b").mkdir(parents=True)
    (node.outside / "b").mkdir()
    (node.outside / "b/secret").touch()
    shown = refused = 0
    with Swapper(folder, node.outside):
        while min(shown, refused) < 50 and shown + refused < TRIES:
            try:
                subpath.bind(str(folder), "a/b", target)
            except OSError:
                refused += 1
                continue
            assert os.listdir(target) == []
            mounts.detach(target)
            shown += 1
    # On a busy machine one of the two is rare.
    assert min(shown, refused) >= 5, "the race was never lost, or never won"
    assert os.listdir(node.outside / "b") == ["secret"]


def test_missing_folders_are_never_made_through_a_swapped_link(node: Node) -> None:
    folder, target = volume_of(node, one(at())), node.root / "target"
    (folder / "a/b").mkdir(parents=True)
    made = refused = 0
    with Swapper(folder, node.outside):
        while min(made, refused) < 50 and made + refused < TRIES:
            try:
                subpath.bind(str(folder), f"a/made-{made + refused}/deeper", target)
            except OSError:
                refused += 1
                continue
            mounts.detach(target)
            made += 1
    assert min(made, refused) >= 50, "the race was never lost, or never won"
    assert os.listdir(node.outside) == ["precious"]


ITEMS = ("..", ".", "", "a", "b", "out", "up", "loop", "file", "new", "-", "\n")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.lists(st.sampled_from(ITEMS), min_size=1, max_size=6).map("/".join))
def test_whatever_the_path_and_the_traps_what_is_shown_is_of_the_volume(
    node: Node, path: str
) -> None:
    folder, target = volume_of(node, one(at())), node.root / "target"
    (folder / "a/b").mkdir(parents=True, exist_ok=True)
    for link, to in {"out": "/", "a/out": node.outside, "a/up": "../..", "a/b/up": "..",
                     "loop": "loop"}.items():  # fmt: skip
        if not (folder / link).is_symlink():
            (folder / link).symlink_to(to)
    (folder / "file").touch()
    try:
        subpath.bind(str(folder), path, target)
    except (subpath.Refused, OSError):
        return
    inside = {(folder.stat().st_ino)} | {p.lstat().st_ino for p in folder.rglob("*")}
    assert target.lstat().st_ino in inside
    mounts.detach(target)


# -- propagation and recursive read-only ----------------------------------------------------------


def test_propagation_by_its_cri_name(node: Node) -> None:
    it = one(
        at("/a", mountPropagation="HostToContainer"),
        at("/b", mountPropagation="Bidirectional"),
        at("/c", mountPropagation="None"),
    )
    found = node.mounts(it)
    assert [found[path]["propagation"] for path in ("/a", "/b", "/c")] == [
        "PROPAGATION_HOST_TO_CONTAINER",
        "PROPAGATION_BIDIRECTIONAL",
        "PROPAGATION_PRIVATE",
    ]
    assert "invalid MountPropagation" in str(refusal(node, one(at(mountPropagation="Sideways"))))


def test_a_volume_on_a_private_mount_can_not_propagate_and_that_is_explained(node: Node) -> None:
    volume = {"name": "v", "hostPath": {"path": str(node.outside)}}
    mounts.bind(node.outside, node.outside)
    try:
        mounts.set_propagation(node.outside, mounts.MS_PRIVATE)
        for mode in ("Bidirectional", "HostToContainer"):
            error = str(refusal(node, one(at(mountPropagation=mode), volume=volume)))
            assert f"mountPropagation {mode} of volume" in error
            assert f"`mount --make-rshared {node.outside}`" in error
        mounts.set_propagation(node.outside, mounts.MS_SHARED)
        assert node.mounts(one(at(mountPropagation="Bidirectional"), volume=volume))
    finally:
        mounts.detach(node.outside)


def test_a_bidirectional_sub_path_hands_mounts_back_and_others_do_not(node: Node) -> None:
    it = one(at("/a", subPath="a", mountPropagation="Bidirectional"), at("/b", subPath="b"))
    found = node.mounts(it)
    folder = volume_of(node, it)
    for name in ("a", "b"):
        inner = Path(found[f"/{name}"]["host_path"]) / "inner"
        inner.mkdir()
        mounts.tmpfs(inner)
    assert mounts.is_mount_point(folder / "a/inner")
    assert not mounts.is_mount_point(folder / "b/inner")


def test_recursive_read_only_is_asked_for_only_where_it_can_be_had(node: Node) -> None:
    def result(mode: str, supported: bool, **more: Any) -> bool:
        it = one(at(recursiveReadOnly=mode, **{"readOnly": True, **more}))
        main = it["spec"]["containers"][0]
        occasion = Occasion(recursive_read_only=supported)
        mounted = node.volumes.setup(it)
        return bool(node.volumes.mounts(it, main, mounted, {}, occasion)[0]["recursive_read_only"])

    assert result("Enabled", True)
    assert result("IfPossible", True)
    assert not result("IfPossible", False)
    assert not result("Disabled", True)
    for supported, more, why in (
        (False, {}, "not supported by the runtime"),
        (True, {"readOnly": False}, "not read-only"),
        (True, {"mountPropagation": "HostToContainer"}, "not compatible with propagation"),
    ):
        with pytest.raises(VolumeError, match=why):
            result("Enabled", supported, **more)


# -- files for the environment --------------------------------------------------------------------


def test_a_file_is_read_from_inside_its_volume_only(node: Node) -> None:
    it = one(at())
    mounted = node.volumes.setup(it)
    folder = Path(mounted["v"].path)
    (folder / "sub").mkdir()
    (folder / "sub/x.env").write_text("K='v'")
    (folder / "out").symlink_to(node.outside / "precious")
    os.mkfifo(folder / "pipe")
    read = node.volumes.read_file
    assert read(mounted, "v", "sub/x.env") == "K='v'"
    assert read(mounted, "v", "nothing") is None
    (folder / "huge").write_bytes(bytes(2 << 20))
    for path in ("out", "sub/../../../x", "sub", "pipe", "huge"):
        with pytest.raises(VolumeError, match="can't read"):
            read(mounted, "v", path)
    with pytest.raises(VolumeError, match='cannot find the volume "w"'):
        read(mounted, "w", "x")


# -- the root -----------------------------------------------------------------------------------


def test_the_root_becomes_a_shared_mount_and_is_given_back(node: Node, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    mounts.bind(private, private)
    mounts.set_propagation(private, mounts.MS_PRIVATE)
    try:
        volumes = Volumes(private / "root", node.world)
        for _ in range(2):
            volumes.prepare()
            below = mounts.mount_of(private / "root/pods")
            assert below is not None
            assert below.is_shared
            assert below.point == str(private / "root")
        volumes.release()
        volumes.release()
        assert not mounts.is_mount_point(private / "root")
    finally:
        mounts.detach(private)


def test_a_root_behind_a_symbolic_link_works_the_same(node: Node, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(node.root)
    volumes = Volumes(link, node.world)
    it = one(at(subPath="a"))
    volumes.mounts(it, it["spec"]["containers"][0], volumes.setup(it), {})
    assert len(node.points()) == 1
    volumes.teardown("uid-1")
    assert node.points() == []


def test_mounts_are_found_below_a_root_with_an_odd_name(tmp_path: Path) -> None:
    root = tmp_path / "a b\\c#d\té"
    root.mkdir()
    volumes = Volumes(root, World())
    volumes.prepare()
    try:
        it = pod({"name": "v", "emptyDir": {"medium": "Memory"}})
        volumes.setup(it)
        assert len(mounts.mounts_below(root / "pods")) == 1
        volumes.teardown("uid-1")
        assert mounts.mounts_below(root / "pods") == []
    finally:
        volumes.release()
    assert mounts.mounts_below(root) == []
