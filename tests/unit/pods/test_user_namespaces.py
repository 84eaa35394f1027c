"""Which host IDs a pod with users of its own gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Failed
from pykubelet.kubelet.pods.user_namespaces import (
    END,
    LENGTH,
    Range,
    UserNamespaces,
    id_mappings,
    lowest_free,
)

LENGTHS = st.integers(1, 8).map(lambda n: n * LENGTH)


def overlap(a: Range, b: Range) -> bool:
    return a[0] < b[0] + b[1] and b[0] < a[0] + a[1]


@given(st.lists(LENGTHS, max_size=30), LENGTHS)
def test_no_two_pods_share_an_id_and_none_has_the_hosts(lengths: list[int], length: int) -> None:
    taken: list[Range] = []
    for each in lengths:
        found = lowest_free(taken, each)
        assert found
        taken.append(found)
    # Some leave, and what is free again is used again, by pods of any length.
    left = taken[::2]
    found = lowest_free(left, length)
    assert found
    assert found[0] >= LENGTH
    assert found[0] % LENGTH == 0
    assert not any(overlap(found, each) for each in left)


def test_there_is_an_end_to_ids() -> None:
    assert lowest_free([(LENGTH, END - 2 * LENGTH)]) is None
    assert lowest_free([], END) is None


def test_a_pod_keeps_its_range_whatever_the_agent_is_told_later(tmp_path: Path) -> None:
    for uid in ("a", "b", "c"):
        (tmp_path / uid).mkdir()
    first = UserNamespaces(tmp_path)
    mine = first.range_of("a")
    assert mine == (LENGTH, LENGTH)
    assert first.range_of("a") == mine
    later = UserNamespaces(tmp_path, 2 * LENGTH)
    assert later.range_of("a") == mine
    assert later.range_of("b") == (2 * LENGTH, 2 * LENGTH)
    assert first.range_of("c") == (4 * LENGTH, LENGTH)


def test_when_all_are_given_away_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(Failed, match="no range of host IDs is left"):
        UserNamespaces(tmp_path, END).range_of("a")


def test_a_pod_without_users_of_its_own_is_mapped_nowhere() -> None:
    assert id_mappings(None) == ()
    assert id_mappings((LENGTH, 2)) == ({"container_id": 0, "host_id": LENGTH, "length": 2},)
