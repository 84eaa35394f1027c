"""Where a pod's cgroup is, with either driver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.kubelet.cgroups.names import Names, slice_path

UID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


def test_cgroupfs_uses_plain_folders() -> None:
    names = Names("/", "cgroupfs")
    assert names.kubepods() == "/kubepods"
    assert names.pod("u-1", "Burstable") == "/kubepods/burstable/podu-1"
    assert names.pod("u-1", "Guaranteed") == "/kubepods/podu-1"
    assert names.parent("u-1", "BestEffort") == "/kubepods/besteffort/podu-1"


def test_systemd_spells_the_whole_path_in_each_slices_name() -> None:
    names = Names("/", "systemd")
    assert names.parent("u-1", "Burstable") == "kubepods-burstable-podu_1.slice"
    assert names.pod("u-1", "Burstable") == (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podu_1.slice"
    )


def test_a_root_of_its_own_goes_before_everything() -> None:
    assert Names("/pk-x1").pod("u", "Guaranteed") == "/pk-x1/kubepods/podu"
    assert Names("/pk-x1", "systemd").parent("u", "Guaranteed") == "pk_x1-kubepods-podu.slice"
    assert slice_path(["a.slice", "b"]) == "/a.slice/a-b.slice"


@pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])
@pytest.mark.parametrize("qos", ["Guaranteed", "Burstable", "BestEffort"])
@given(uid=st.from_regex(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", fullmatch=True))
def test_a_pods_uid_can_be_read_off_its_folder(driver: str, qos: str, uid: str) -> None:
    names = Names("/", driver)
    assert names.uid(names.pod(uid, qos).rpartition("/")[2]) == uid
    assert names.pod(uid, qos) in names.places(uid)


@pytest.mark.parametrize("folder", ["burstable", "kubepods-burstable.slice", "pod", "cri-1.scope"])
def test_what_is_no_pod_has_no_uid(folder: str) -> None:
    assert Names("/", "cgroupfs").uid(folder) is None
    assert Names("/", "systemd").uid(folder) is None
