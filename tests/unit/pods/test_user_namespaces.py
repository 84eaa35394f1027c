"""Ranges of host IDs: one a pod, kept over restarts, free again with the pod's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pykubelet.errors import Failed
from pykubelet.kubelet.pods import user_namespaces
from pykubelet.kubelet.pods.user_namespaces import LENGTH, UserNamespaces, id_mappings, lowest_free


def test_the_lowest_free_range_is_taken_and_the_hosts_never() -> None:
    assert lowest_free([]) == (LENGTH, LENGTH)
    taken = [(LENGTH, LENGTH), (2 * LENGTH, LENGTH), (4 * LENGTH, LENGTH)]
    assert lowest_free(taken) == (3 * LENGTH, LENGTH)
    assert lowest_free(taken, 2 * LENGTH) == (5 * LENGTH, 2 * LENGTH), "it has to fit"


def test_there_is_an_end_to_ranges(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(user_namespaces, "END", 3 * LENGTH)
    for uid in ("a", "b"):
        (tmp_path / uid).mkdir()
    ranges = UserNamespaces(tmp_path)
    assert ranges.range_of("a") == (LENGTH, LENGTH)
    with pytest.raises(Failed, match="no range of host IDs is left"):
        ranges.range_of("b")


def test_a_pod_keeps_its_range_and_gives_it_back_with_its_folder(tmp_path: Path) -> None:
    for uid in ("a", "b", "c"):
        (tmp_path / uid).mkdir()
    first = UserNamespaces(tmp_path)
    assert [first.range_of(uid)[0] for uid in ("a", "b")] == [LENGTH, 2 * LENGTH]
    again = UserNamespaces(tmp_path)  # another life of the agent
    assert again.range_of("b") == (2 * LENGTH, LENGTH)
    shutil.rmtree(tmp_path / "a")
    assert again.range_of("c") == (LENGTH, LENGTH)


def test_mappings_are_what_cri_wants() -> None:
    assert id_mappings(None) == ()
    assert id_mappings((LENGTH, LENGTH)) == (
        {"container_id": 0, "host_id": LENGTH, "length": LENGTH},
    )
