"""Volumes set up for real: files, owners, mounts, refreshes, and everything gone at the end."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pykubelet.errors import Failed
from pykubelet.kubelet.volumes import mounts
from pykubelet.kubelet.volumes.manager import Volumes
from pykubelet.kubelet.volumes.model import Mounted, VolumeError
from tests.component.volumes.conftest import Node
from tests.support.world import Json, World, container, pod

pytestmark = pytest.mark.root

GROUP = 23456


def only(node: Node, source: Json, **spec: Any) -> Path:
    return Path(node.volumes.setup(pod({"name": "v", **source}, **spec))["v"].path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# -- emptyDir -----------------------------------------------------------------------------------


def test_an_empty_dir_is_open_to_everyone_and_keeps_its_content(node: Node) -> None:
    folder = only(node, {"emptyDir": {}})
    assert str(folder).endswith("pods/uid-1/volumes/kubernetes.io~empty-dir/v")
    assert mode(folder) == 0o777
    (folder / "file").write_text("here")
    assert (only(node, {"emptyDir": {}}) / "file").read_text() == "here"
    assert mode(node.root / "pods/uid-1") == 0o750


def test_a_volume_without_any_source_is_an_empty_dir(node: Node) -> None:
    assert only(node, {}).parent.name == "kubernetes.io~empty-dir"


def test_with_an_fs_group_new_files_belong_to_the_group(node: Node) -> None:
    folder = only(node, {"emptyDir": {}}, securityContext={"fsGroup": GROUP})
    assert mode(folder) == 0o2777
    (folder / "file").touch()
    assert (folder / "file").stat().st_gid == GROUP


@pytest.mark.parametrize(
    ("limit", "pod_limit", "size"),
    [
        ("1Mi", None, 1 << 20),
        ("4Mi", "2Mi", 2 << 20),
        (None, "3Mi", 3 << 20),
        (None, None, 8 << 30),
    ],
)
def test_an_empty_dir_in_memory_is_as_large_as_its_limits_allow(
    node: Node, limit: str | None, pod_limit: str | None, size: int
) -> None:
    resources = {"resources": {"limits": {"memory": pod_limit}}} if pod_limit else {}
    source = {"medium": "Memory", **({"sizeLimit": limit} if limit else {})}
    folder = only(node, {"emptyDir": source}, containers=[container(**resources)])
    assert mounts.filesystem_of(folder) == "tmpfs"
    assert mode(folder) == 0o777
    room = os.statvfs(folder)
    assert room.f_blocks * room.f_frsize == size


def test_memory_lost_to_a_reboot_is_made_again(node: Node) -> None:
    folder = only(node, {"emptyDir": {"medium": "Memory"}})
    mounts.detach(folder)
    only(node, {"emptyDir": {"medium": "Memory"}})
    assert mounts.filesystem_of(folder) == "tmpfs"


def test_a_second_set_up_mounts_nothing_twice(node: Node) -> None:
    for _ in range(3):
        only(node, {"emptyDir": {"medium": "Memory"}})
    assert len(node.points()) == 1


def test_huge_pages_of_the_size_that_the_pod_asks_for(node: Node) -> None:
    asks = [container(resources={"limits": {"hugepages-2Mi": "4Mi"}})]
    for medium in ("HugePages", "HugePages-2Mi"):
        volume = {"emptyDir": {"medium": medium}}
        folder = only(node, volume, containers=asks)
        assert mounts.filesystem_of(folder) == "hugetlbfs"
        node.volumes.teardown("uid-1")


@pytest.mark.parametrize(
    ("medium", "requests", "sentence"),
    [
        ("HugePages", {}, "no resource request for huge pages"),
        ("HugePages", {"hugepages-2Mi": "2Mi", "hugepages-1Gi": "1Gi"}, "multiple huge page sizes"),
        ("HugePages-1Gi", {"hugepages-2Mi": "2Mi"}, "no container requests that page size"),
        ("Paper", {}, 'unknown storage medium "Paper"'),
    ],
)
def test_a_medium_that_can_not_be_had(
    node: Node, medium: str, requests: Json, sentence: str
) -> None:
    asks = [container(resources={"requests": requests})]
    with pytest.raises(VolumeError, match=sentence) as caught:
        only(node, {"emptyDir": {"medium": medium}}, containers=asks)
    assert not caught.value.waiting_may_help


def test_usage_counts_blocks_and_inodes_and_no_link_twice(node: Node) -> None:
    volumes = [
        {"name": "disk", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "other", "hostPath": {"path": str(node.outside)}},
    ]
    mounted = node.volumes.setup(pod(*volumes))
    assert set(node.volumes.usage("uid-1")) == {"disk", "memory"}
    empty = node.volumes.usage("uid-1")["disk"]
    for name in ("disk", "memory"):
        folder = Path(mounted[name].path)
        (folder / "below").mkdir()
        (folder / "below/file").write_bytes(b"x" * 100_000)
        os.link(folder / "below/file", folder / "again")
    (Path(mounted["disk"].path) / "out").symlink_to("/usr")
    disk, memory = (node.volumes.usage("uid-1")[name] for name in ("disk", "memory"))
    assert 100_000 <= disk[0] - empty[0] < 150_000
    assert disk[1] - empty[1] == 3  # a folder, a file, a symbolic link
    assert 100_000 <= memory[0] < 150_000
    assert node.volumes.usage("nobody") == {}


# -- files that follow objects --------------------------------------------------------------------


def test_a_config_map_is_on_the_disk_and_a_secret_never_is(node: Node) -> None:
    node.world.put_config_map("c", a="1")
    node.world.put_secret("s", b=b"2")
    volumes = [
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
    ]
    mounted = node.volumes.setup(pod(*volumes))
    assert all(volume.read_only for volume in mounted.values())
    kinds = {name: mounts.filesystem_of(volume.path) for name, volume in mounted.items()}
    assert kinds == {"c": "", "s": "tmpfs", "p": "tmpfs"}
    assert Path(mounted["c"].path, "a").read_text() == "1"
    assert Path(mounted["s"].path, "b").read_bytes() == b"2"
    assert stat.S_IMODE(Path(mounted["s"].path, "b").stat().st_mode) == 0o400


def test_files_are_the_groups_to_read_and_a_token_is_its_users_alone(node: Node) -> None:
    node.world.put_secret("s", b=b"2")
    sources = [{"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "s"}}]
    source = {"projected": {"sources": sources, "defaultMode": 0o400}}
    folder = only(node, source, securityContext={"fsGroup": GROUP, "runAsUser": 1234})
    token, secret = (folder / "t").stat(), (folder / "b").stat()
    assert (token.st_uid, token.st_gid, stat.S_IMODE(token.st_mode)) == (1234, GROUP, 0o640)
    assert (secret.st_uid, secret.st_gid, stat.S_IMODE(secret.st_mode)) == (0, GROUP, 0o440)
    assert (folder.stat().st_gid, mode(folder)) == (GROUP, 0o2777)
    assert not node.volumes.refresh(
        pod({"name": "v", **source}, securityContext={"fsGroup": GROUP, "runAsUser": 1234})
    )


def test_refresh_says_whether_anything_changed(node: Node) -> None:
    node.world.put_config_map("c", a="1", b="2")
    it = pod({"name": "v", "configMap": {"name": "c"}}, {"name": "e", "emptyDir": {}})
    folder = Path(node.volumes.setup(it)["v"].path)
    assert not node.volumes.refresh(it)
    node.world.put_config_map("c", a="new", c="3")
    assert node.volumes.refresh(it)
    assert sorted(os.listdir(folder))[-2:] == ["a", "c"]
    assert (folder / "a").read_text() == "new"
    assert not node.volumes.refresh(it)


def test_refresh_follows_labels_and_tokens_too(node: Node) -> None:
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    sources = [{"downwardAPI": {"items": items}}, {"serviceAccountToken": {"path": "t"}}]
    it = pod({"name": "v", "projected": {"sources": sources}})
    folder = Path(node.volumes.setup(it)["v"].path)
    node.world.token = "renewed"
    assert node.volumes.refresh(it)
    it["metadata"]["labels"] = {"app": "new"}
    assert node.volumes.refresh(it)
    assert (folder / "labels").read_text() == 'app="new"'
    assert (folder / "t").read_text() == "renewed"


def test_one_object_that_is_gone_does_not_hold_up_the_others(node: Node) -> None:
    node.world.put_config_map("a", k="1")
    node.world.put_config_map("b", k="1")
    it = pod({"name": "a", "configMap": {"name": "a"}}, {"name": "b", "configMap": {"name": "b"}})
    mounted = node.volumes.setup(it)
    del node.world.config_maps["shop/a"]
    node.world.put_config_map("b", k="2")
    with pytest.raises(VolumeError, match='configmap "a" not found'):
        node.volumes.refresh(it)
    assert Path(mounted["a"].path, "k").read_text() == "1"
    assert Path(mounted["b"].path, "k").read_text() == "2"


def test_refresh_leaves_volumes_alone_that_are_not_there_yet(node: Node) -> None:
    node.world.put_config_map("c", a="1")
    assert not node.volumes.refresh(pod({"name": "v", "configMap": {"name": "c"}}))
    assert node.volumes.orphans() == set()


def test_refreshing_while_setting_up_and_tearing_down_loses_nothing(node: Node) -> None:
    it = pod({"name": "v", "configMap": {"name": "c"}})
    node.world.put_config_map("c", a="0")
    stop = threading.Event()
    problems: list[Exception] = []

    def refresh() -> None:
        while not stop.is_set():
            try:
                node.volumes.refresh(it)
            except Exception as error:  # noqa: BLE001 - shown below
                problems.append(error)
                return

    helpers = [threading.Thread(target=refresh) for _ in range(2)]
    for helper in helpers:
        helper.start()
    try:
        for version in range(1, 101):
            node.world.put_config_map("c", a=str(version))
            folder = Path(node.volumes.setup(it)["v"].path)
            assert (folder / "a").read_text() == str(version)
            if version % 10 == 0:
                node.volumes.teardown("uid-1")
                assert node.volumes.orphans() == set()
    finally:
        stop.set()
        for helper in helpers:
            helper.join()
    assert not problems


def test_a_volume_that_no_container_uses_is_not_set_up_and_holds_nothing_up(node: Node) -> None:
    unused = {"name": "u", "configMap": {"name": "absent"}}
    variable = {"name": "K", "valueFrom": {"fileKeyRef": {"volumeName": "f", "path": "x"}}}
    main = container(volumeMounts=[{"name": "v", "mountPath": "/v"}], env=[variable])
    volumes = [unused, {"name": "v", "emptyDir": {}}, {"name": "f", "emptyDir": {}}]
    later = container("debug", volumeMounts=[{"name": "e", "mountPath": "/e"}])
    it = pod(*volumes, {"name": "e", "emptyDir": {}}, containers=[main])
    assert set(node.volumes.setup(it)) == {"v", "f"}
    it["spec"]["ephemeralContainers"] = [later]
    assert set(node.volumes.setup(it)) == {"v", "f", "e"}


def test_on_a_full_disk_the_old_files_stay_and_the_volume_is_named(node: Node) -> None:
    """A tmpfs that is full stands for any full disk."""
    it = pod({"name": "v", "configMap": {"name": "c"}})
    node.world.put_config_map("c", a="1")
    folder = Path(node.volumes.setup(it)["v"].path)
    node.volumes.teardown("uid-1")
    folder.mkdir(parents=True)
    mounts.tmpfs(folder, size=64 << 10)
    node.volumes.setup(it)
    node.world.put_config_map("c", a="2", b="x" * (1 << 20))
    for _ in range(3):
        with pytest.raises(VolumeError, match=r'volume "v" : .*No space left') as caught:
            node.volumes.refresh(it)
        assert caught.value.waiting_may_help
    assert (folder / "a").read_text() == "1"
    node.world.put_config_map("c", a="2")
    assert node.volumes.refresh(it)
    assert (folder / "a").read_text() == "2"


def test_a_source_that_can_not_be_asked_names_the_volume(node: Node) -> None:
    class Away(World):
        def config_map(self, namespace: str, name: str) -> Json | None:
            raise Failed("the API server does not answer")

    volumes = Volumes(node.root, Away())
    with pytest.raises(VolumeError, match='volume "v" : the API server does not') as caught:
        volumes.setup(pod({"name": "v", "configMap": {"name": "c"}}))
    assert caught.value.waiting_may_help


def test_a_key_that_can_be_no_path_is_refused(node: Node) -> None:
    node.world.put_config_map("c", a="1")
    items = [{"key": "a", "path": "../../escape"}]
    with pytest.raises(VolumeError, match=r"must not contain '\.\.'") as caught:
        only(node, {"configMap": {"name": "c", "items": items}})
    assert not caught.value.waiting_may_help


# -- local volumes and fsGroup ------------------------------------------------------------------


def test_a_local_volumes_files_go_to_the_group_and_links_are_not_followed(node: Node) -> None:
    data = node.outside / "data"
    (data / "deep/er").mkdir(parents=True)
    (data / "deep/er/file").touch(mode=0o600)
    (data / "deep/tool").touch(mode=0o700)
    (data / "out").symlink_to(node.outside / "precious")
    node.world.put_claim("d", local={"path": str(data)})
    claim = {"persistentVolumeClaim": {"claimName": "d"}}
    assert only(node, claim, securityContext={"fsGroup": GROUP}) == data
    assert mode(data / "deep/er/file") == 0o660
    assert mode(data / "deep/tool") == 0o760
    assert mode(data / "deep/er") == 0o2775
    assert (data / "deep/er/file").stat().st_gid == GROUP
    assert (data / "out").lstat().st_gid == GROUP
    precious = (node.outside / "precious").stat()
    assert precious.st_gid != GROUP
    assert stat.S_IMODE(precious.st_mode) == 0o644


def test_on_root_mismatch_a_volume_that_looks_done_is_not_walked_again(node: Node) -> None:
    data = node.outside / "data"
    data.mkdir()
    node.world.put_claim("d", local={"path": str(data)})
    claim = {"persistentVolumeClaim": {"claimName": "d"}}
    context = {"fsGroup": GROUP, "fsGroupChangePolicy": "OnRootMismatch"}
    only(node, claim, securityContext=context)
    (data / "late").touch(mode=0o600)
    os.chown(data / "late", 0, 0)
    only(node, claim, securityContext=context)
    assert (data / "late").stat().st_gid == 0
    only(node, claim, securityContext={"fsGroup": GROUP})
    assert (data / "late").stat().st_gid == GROUP


# -- the end ------------------------------------------------------------------------------------


def everything(node: Node) -> Json:
    """A pod with a volume of every type that leaves something on the node."""
    node.world.put_config_map("c", a="1")
    node.world.put_secret("s", b=b"2")
    node.world.put_claim("d", local={"path": str(node.outside)})
    main = container(
        volumeMounts=[
            {"name": "e", "mountPath": "/e", "subPath": "some/where"},
            {"name": "c", "mountPath": "/a", "subPath": "a"},
            {"name": "h", "mountPath": "/h", "subPath": "precious"},
            {"name": "d", "mountPath": "/d", "subPath": "new"},
            {"name": "m", "mountPath": "/m"},
            {"name": "s", "mountPath": "/s"},
            {"name": "p", "mountPath": "/p"},
        ]
    )
    return pod(
        {"name": "e", "emptyDir": {}},
        {"name": "m", "emptyDir": {"medium": "Memory"}},
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "h", "hostPath": {"path": str(node.outside)}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "d"}},
        containers=[main],
        securityContext={"fsGroup": GROUP},
    )


def test_teardown_leaves_no_mount_and_no_file_and_what_is_not_ours_alone(node: Node) -> None:
    it = everything(node)
    node.mounts(it)
    assert node.volumes.orphans() == {"uid-1"}
    assert len(node.points()) > 5
    node.volumes.teardown("uid-1")
    assert node.points() == []
    assert os.listdir(node.root / "pods") == []
    assert (node.outside / "new").is_dir()
    node.volumes.teardown("uid-1")


def test_teardown_takes_away_whatever_a_container_left(node: Node) -> None:
    folder = only(node, {"emptyDir": {}})
    (folder / "dangling").symlink_to("/nowhere")
    (folder / "out").symlink_to(node.outside)
    os.mkfifo(folder / "pipe")
    os.mknod(folder / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    (folder / "closed").mkdir()
    (folder / "closed/file").touch(mode=0o000)
    (folder / "closed").chmod(0o000)
    (folder / "\udcff name\n").touch()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(3000):  # far longer than any path, far deeper than any recursion
        os.mkdir("deep" * 10, dir_fd=here)
        below = os.open("deep" * 10, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    node.volumes.teardown("uid-1")
    assert os.listdir(node.root / "pods") == []


def test_a_mount_that_a_container_made_in_its_volume_goes_and_its_source_stays(node: Node) -> None:
    """With Bidirectional propagation, mounts made in a container appear here."""
    folder = only(node, {"emptyDir": {}})
    (folder / "a").mkdir()
    (folder / "b").touch()
    mounts.bind(node.outside, folder / "a")
    mounts.bind(node.outside / "precious", folder / "b")
    mounts.tmpfs(folder / "a")  # two on one point
    (folder / "a/x").mkdir()
    mounts.tmpfs(folder / "a/x")
    node.volumes.teardown("uid-1")
    assert os.listdir(node.outside) == ["precious"]


def test_what_is_mounted_below_a_host_path_stays_mounted(node: Node) -> None:
    """The bind of a sub-path sees the host's submounts, and taking it away must not reach them."""
    (node.outside / "share/inner").mkdir(parents=True)
    it = pod(
        {"name": "h", "hostPath": {"path": str(node.outside)}},
        containers=[container(volumeMounts=[{"name": "h", "mountPath": "/h", "subPath": "share"}])],
    )
    mounts.bind(node.outside, node.outside)
    mounts.set_propagation(node.outside, mounts.MS_SHARED)
    try:
        target = Path(node.mounts(it)["/h"]["host_path"])
        mounts.tmpfs(node.outside / "share/inner")
        (node.outside / "share/inner/file").touch()
        assert (target / "inner/file").exists(), "a later mount of the host is seen"
        node.volumes.teardown("uid-1")
        assert (node.outside / "share/inner/file").exists()
    finally:
        mounts.detach(node.outside)


def test_a_folder_in_use_by_somebody_does_not_hold_teardown_up(node: Node) -> None:
    folder = only(node, {"emptyDir": {"medium": "Memory"}})
    with open(folder / "open", "w"):
        node.volumes.teardown("uid-1")
    assert node.points() == []


def test_a_file_that_can_not_be_removed_is_said(node: Node) -> None:
    folder = only(node, {"emptyDir": {}})
    (folder / "file").touch()
    if subprocess.run(["chattr", "+i", folder / "file"], capture_output=True).returncode:
        pytest.skip("this file system has no immutable files")
    try:
        with pytest.raises(Failed, match="the folder of pod uid-1 can't be removed"):
            node.volumes.teardown("uid-1")
        assert node.volumes.orphans() == {"uid-1"}, "it is tried again"
    finally:
        subprocess.run(["chattr", "-R", "-i", node.root], check=True)


# -- crashes ------------------------------------------------------------------------------------


def killed_after(steps: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child that dies, as by kill -9, at its `steps`-th line inside the room.

    False where it came to its end before that.
    """
    import sys

    child = os.fork()
    if not child:
        left = steps

        def trace(frame: Any, event: str, _: object) -> Any:
            nonlocal left
            if "/kubelet/volumes/" not in frame.f_code.co_filename:
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os._exit(9)
            return trace

        try:
            sys.settrace(trace)
            action()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9), f"the child failed with {code}"
    return code == 9


def test_a_kill_anywhere_in_set_up_is_mended_by_setting_up_again(node: Node) -> None:
    """Complaint 13: static pods do not start after an agent restart."""
    it = everything(node)
    steps = 0
    while killed_after(steps, lambda: node.mounts(it)):
        mounted = Volumes(node.root, node.world).setup(it)
        found = node.mounts(it, mounted)
        assert Path(found["/a"]["host_path"]).read_text() == "1"
        assert Path(mounted["s"].path, "b").read_bytes() == b"2"
        assert Path(found["/e"]["host_path"]).stat().st_gid == GROUP
        assert len(node.points()) == len(set(node.points())), "something is mounted twice"
        node.volumes.teardown("uid-1")
        assert node.points() == []
        assert node.volumes.orphans() == set()
        steps += 1 + steps // 40  # every step at first, then ever fewer
    assert steps > 500


def test_a_kill_anywhere_in_teardown_is_mended_by_tearing_down_again(node: Node) -> None:
    it = everything(node)
    steps = 0
    while True:
        node.mounts(it)
        folder = Path(node.volumes.setup(it)["e"].path)
        (folder / "a/b/c").mkdir(parents=True)
        (folder / "a/b/c/file").touch()
        if not killed_after(steps, lambda: node.volumes.teardown("uid-1")):
            break
        node.volumes.teardown("uid-1")
        assert node.points() == []
        assert node.volumes.orphans() == set()
        steps += 1 + steps // 20
    assert steps > 200


def test_a_kill_anywhere_in_a_refresh_leaves_old_or_new_and_is_mended(node: Node) -> None:
    it = pod({"name": "c", "configMap": {"name": "c"}})
    node.world.put_config_map("c", a="0", b="0")
    folder = Path(node.volumes.setup(it)["c"].path)
    steps = 0
    for version in range(1, 1000):
        node.world.put_config_map("c", a=str(version), b=str(version))
        killed = killed_after(steps, lambda: node.volumes.refresh(it))
        contents = {(folder / name).read_text() for name in ("a", "b")}
        assert len(contents) == 1
        assert contents <= {str(version - 1), str(version)}
        node.volumes.refresh(it)
        assert (folder / "a").read_text() == str(version)
        assert len([name for name in os.listdir(folder) if name.startswith("..2")]) == 1
        if not killed:
            break
        steps += 1
    assert steps > 50


def test_mounted_says_where_in_exactly_one_way(node: Node) -> None:
    for volume in node.volumes.setup(everything(node)).values():
        assert isinstance(volume, Mounted)
        assert [bool(volume.path), bool(volume.device), bool(volume.image)].count(True) == 1
