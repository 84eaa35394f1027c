"""Which files count, and when they are read."""

from __future__ import annotations

import pytest

from pykubelet.kubelet.sources.settling import SETTLED_AFTER, Settling, is_ignored


@pytest.mark.parametrize(
    "name",
    [".web.yaml", ".web.yaml.swp", "web.yaml~", "#web.yaml#", "web.yaml.bak", "web.yaml.orig",
     "4913", "web.yaml.dpkg-new", "web.yaml.rpmsave", "web.yaml.part", "web.yaml.tmp"],
)  # fmt: skip
def test_what_editors_and_package_managers_leave_is_ignored(name: str) -> None:
    """Complaint: editor backup and dot files in the manifest folder break pods."""
    assert is_ignored(name)


@pytest.mark.parametrize("name", ["web.yaml", "web.yml", "web.json", "web", "web.manifest", "a#b"])
def test_any_other_name_counts(name: str) -> None:
    assert not is_ignored(name)


def test_a_file_that_is_whole_is_due_at_once_and_once() -> None:
    settling = Settling()
    settling.whole("a", now=5.0)
    assert settling.take(5.0) == ["a"]
    assert settling.take(6.0) == []
    assert settling.next() is None


def test_a_file_that_grows_is_due_when_it_has_rested() -> None:
    settling = Settling()
    for now in (0.0, 0.5, 1.0):
        settling.changing("a", now)
    assert settling.take(1.5) == []
    assert settling.when("a") == settling.next() == 1.0 + SETTLED_AFTER
    assert settling.take(2.0) == ["a"]


def test_a_file_that_is_closed_while_it_grows_is_whole() -> None:
    settling = Settling()
    settling.changing("a", 0.0)
    settling.whole("a", 0.1)
    assert settling.take(0.1) == ["a"]
