"""The two commands that the README opens with: they can be run, and tell how."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("script", ["systemd/install.sh", "tests/run.sh", ".ci/run"])
def test_a_script_has_its_run_bit_and_is_good_shell(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / script], check=True)


@pytest.mark.parametrize("script", ["systemd/install.sh", "tests/run.sh"])
def test_a_script_tells_its_options_and_refuses_others(script: str) -> None:
    shown = subprocess.run([ROOT / script, "--help"], capture_output=True, text=True, check=True)
    assert script in shown.stdout
    refused = subprocess.run(
        [ROOT / script, "--nonsense"], capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert "--nonsense" in refused.stderr


def test_the_unit_says_what_the_supervisor_does() -> None:
    """The same daemon, whoever keeps it running."""
    from pykubelet.bootstrap.install import paths

    unit = (ROOT / "systemd/pykubelet.service").read_text()
    command = " ".join([str(paths.PROGRAM), "run", *paths.AGENT_ARGUMENTS])
    assert f"ExecStart={command}\n" in unit
