"""The word about this host at the start of an agent."""

from __future__ import annotations

import dataclasses
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from pykubelet.kubelet.config import Configuration
from pykubelet.kubelet.daemon import host_checks


def config(tmp_path: Path, **settings: Any) -> Configuration:
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\n")
    quiet = {"root_dir": str(tmp_path), "enable_server": False, "healthz_port": 0,
             "resolv_conf": str(conf)}  # fmt: skip
    return dataclasses.replace(Configuration(), **{**quiet, **settings})


def test_a_port_that_is_taken_stops_the_start_and_names_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        asked = config(tmp_path, healthz_port=port, healthz_bind_address="127.0.0.1")
        with pytest.raises(host_checks.Unfit) as refused:
            host_checks.check(asked)
    (line,) = [each for each in str(refused.value).splitlines() if "port" in each]
    assert line.startswith(f"port {port} is taken by ")
    assert "stop that, or choose another port" in line


def test_a_reboot_is_told_from_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Complaint: after a reboot pods are "Running" but dead."""
    caplog.set_level(logging.INFO)
    asked = config(tmp_path)
    facts = host_checks.check(asked)
    assert not facts.rebooted, "the first start of all is no reboot"
    host_checks.remember(asked, facts)
    assert not host_checks.check(asked).rebooted
    assert "rebooted" not in caplog.text
    (tmp_path / "boot_id").write_text("of another life")
    assert host_checks.check(asked).rebooted
    assert caplog.text.count("the host was rebooted") == 1


def test_a_boot_id_that_cannot_be_kept_is_said_and_lived_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = config(tmp_path, root_dir=str(tmp_path / "resolv.conf" / "no-folder"))
    host_checks.remember(asked, host_checks.check(asked))
    assert "the boot id can't be kept" in caplog.text


def test_a_resolver_on_the_loopback_is_told_with_its_remedy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Complaint: DNS loops with systemd-resolved."""
    stub = tmp_path / "stub.conf"
    stub.write_text("nameserver 127.0.0.53\n")
    host_checks.check(config(tmp_path, resolv_conf=str(stub)))
    assert "set resolvConf to a file that names the real servers" in caplog.text
