"""What we write for containerd, read by the containerd that is here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pykubelet.bootstrap.images import recipes
from pykubelet.bootstrap.install import containerd, installing
from pykubelet.bootstrap.install.containerd import Effective, Wishes


def output(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "invalid" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("systemd", [True, False])
def test_containerd_understands_every_line(tmp_path: Path, systemd: bool) -> None:
    version = containerd.version(output("containerd", "--version"))
    config = tmp_path / "config.toml"
    config.write_text(containerd.render(Wishes(version, recipes.PAUSE, systemd, True)))
    dump = output("containerd", "--config", config, "config", "dump")
    assert containerd.effective(dump) == Effective(
        cri=True,
        cni_bin="/opt/cni/bin",
        cni_conf="/etc/cni/net.d",
        sandbox_image=recipes.PAUSE,
        systemd_cgroup=systemd,
    )
    assert "restrict_oom_score_adj = true" in dump


def test_a_file_that_no_package_brought_is_not_the_distributions(tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    assert not installing.is_as_packaged(tmp_path / "config.toml")
    assert not installing.is_as_packaged(tmp_path / "absent")
