"""containerd's configuration: what we write, and what we read out of somebody else's."""

from __future__ import annotations

import tomllib

import pytest

from pykubelet.bootstrap.install import containerd
from pykubelet.bootstrap.install.containerd import Effective, Wishes
from pykubelet.errors import Invalid


def wishes(version: tuple[int, int], systemd: bool = True) -> Wishes:
    return Wishes(version, "localhost/pause:1", systemd, restrict_oom_score_adj=not systemd)


@pytest.mark.parametrize("version", [(1, 6), (1, 7), (2, 0), (2, 1), (2, 4)])
@pytest.mark.parametrize("systemd", [True, False])
def test_what_is_written_says_what_is_wished(version: tuple[int, int], systemd: bool) -> None:
    text = containerd.render(wishes(version, systemd))
    assert tomllib.loads(text)["version"] == (3 if version >= (2, 0) else 2)
    assert containerd.effective(text) == Effective(
        cri=True,
        cni_bin="/opt/cni/bin",
        cni_conf="/etc/cni/net.d",
        sandbox_image="localhost/pause:1",
        systemd_cgroup=systemd,
    )
    assert f"restrict_oom_score_adj = {'false' if systemd else 'true'}" in text


def test_only_newer_versions_get_a_list_of_plugin_folders() -> None:
    assert "bin_dirs" not in containerd.render(wishes((2, 0)))
    assert 'bin_dirs = ["/opt/cni/bin"]' in containerd.render(wishes((2, 1)))


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", (1, 6)),
        ("containerd github.com/containerd/containerd/v2 v2.1.9 abcdef0", (2, 1)),
        ("containerd containerd.io 1.7.27 05044ec", (1, 7)),
    ],
)
def test_versions_are_read_as_distributions_write_them(said: str, version: tuple[int, int]) -> None:
    assert containerd.version(said) == version


def test_a_version_that_is_not_told_is_an_error() -> None:
    with pytest.raises(Invalid, match="version"):
        containerd.version("containerd: not found")


@pytest.mark.parametrize(
    "name", ["cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"]
)
def test_a_runtime_whose_cri_is_switched_off_is_recognised(name: str) -> None:
    text = f'disabled_plugins = ["{name}"]\n' + containerd.render(wishes((1, 6)))
    assert not containerd.effective(text).cri
    assert not containerd.effective(f'disabled_plugins = ["{name}"]').cri


def test_a_file_that_is_no_toml_is_an_error_that_says_where() -> None:
    with pytest.raises(Invalid, match="line 1"):
        containerd.effective("= nonsense")
