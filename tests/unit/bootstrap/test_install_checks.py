"""What is wrong with a host, in one line each, with the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykubelet.bootstrap.install.checks import Facts, cgroup_layout, judge


def test_a_sound_host_has_nothing_to_mend() -> None:
    assert judge(Facts()) == []


@pytest.mark.parametrize(
    ("facts", "words", "remedy"),
    [
        (Facts(root=False), "needs root", "sudo"),
        (
            Facts(ports=((10250, "kubelet (pid 7)"),)),
            "port 10250 (the kubelet API) is taken by kubelet (pid 7)",
            "another kubelet",
        ),
        (Facts(free_megabytes=120), "only 120 MB free", "room"),
    ],
)
def test_what_makes_a_node_impossible_stops_the_installation(
    facts: Facts, words: str, remedy: str
) -> None:
    (finding,) = judge(facts)
    assert finding.fatal
    assert words in finding.sentence
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("facts", "words", "remedy"),
    [
        (Facts(cgroup="hybrid"), "cgroups are hybrid", "systemd.unified_cgroup_hierarchy=1"),
        # Complaint 28: "too many open files" that are inotify limits.
        (
            Facts(inotify_instances=128),
            "inotify allows 128 instances",
            "sysctl -w fs.inotify.max_user_instances=",
        ),
        # Complaint 29: "turn the firewall off".
        (Facts(firewalls=("ufw",)), "ufw is active", "ufw route allow in on pykubelet0"),
        (
            Facts(firewalls=("firewalld",)),
            "firewalld is active",
            "firewall-cmd --permanent --zone=trusted --add-interface=pykubelet0",
        ),
    ],
)
def test_what_only_hampers_is_a_warning(facts: Facts, words: str, remedy: str) -> None:
    (finding,) = judge(facts)
    assert not finding.fatal
    assert words in finding.sentence
    assert remedy in finding.remedy


def test_the_three_layouts_of_cgroups_are_told_apart(tmp_path: Path) -> None:
    assert cgroup_layout(tmp_path) == "v1"
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified/cgroup.procs").touch()
    assert cgroup_layout(tmp_path) == "hybrid"
    (tmp_path / "cgroup.controllers").touch()
    assert cgroup_layout(tmp_path) == "v2"
