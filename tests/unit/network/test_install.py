"""The executable and the configuration as they are put in place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pykubelet.errors import Invalid
from pykubelet.network import install


def test_the_executable_gets_its_interpreter_and_its_two_names(tmp_path: Path) -> None:
    install.install_executables(
        tmp_path, interpreter="/usr/bin/python3.11", socket="/run/x.sock", python="/opt/x/python"
    )
    lines = (tmp_path / "pykubelet").read_text().splitlines()
    assert lines[0] == "#!/usr/bin/python3.11 -IS"
    assert 'SOCKET = "/run/x.sock"' in lines
    assert 'PYTHON = "/opt/x/python"' in lines
    assert (tmp_path / "pykubelet").stat().st_mode & 0o111
    compile("\n".join(lines), "pykubelet", "exec")


def test_another_packages_loopback_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "loopback").write_text("somebody else's")
    install.install_executables(tmp_path)
    install.remove(tmp_path, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["loopback"]


def test_what_was_installed_is_removed(tmp_path: Path) -> None:
    install.install_executables(tmp_path)
    install.install_config(tmp_path, "{}")
    install.remove(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_subnet_per_family_makes_a_dual_stack_configuration() -> None:
    template = (install.SOURCE / install.CONF_NAME).read_text()
    text = install.render_config(
        template, subnets=["10.1.0.0/24", "fd00::/64"], version="1.1.0", socket="/run/x.sock"
    )
    config = json.loads(text)
    plugin = config["plugins"][0]
    assert config["cniVersion"] == "1.1.0"
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]
    assert plugin["socket"] == "/run/x.sock"
    with pytest.raises(Invalid, match="subnet"):
        install.render_config(template, subnets=["nonsense"])
