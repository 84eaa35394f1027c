"""Backup while it runs, restore when it doesn't, and a check that finds damage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.component.apiserver.conftest import ROOT, Api, ServerUnderTest

MAPS = "/api/v1/namespaces/default/configmaps"


def store(server: ServerUnderTest, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pykubelet.cli.main", "store", "--data-dir", str(server.folder),
         *args],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_what_was_backed_up_comes_back(tmp_path: Path) -> None:
    server = ServerUnderTest(tmp_path / "s")
    server.start()
    try:
        api = Api(server)
        api("POST", MAPS, {"metadata": {"name": "before"}})
        copy = str(tmp_path / "copy.db")
        done = store(server, "backup", copy)
        assert "as of revision" in done.stdout, done.stderr
        assert oct(os.stat(copy).st_mode & 0o777) == "0o600"
        assert "there is a file already" in store(server, "backup", copy).stderr
        api("POST", MAPS, {"metadata": {"name": "after"}})
        assert "in use by another process" in store(server, "restore", copy).stderr
        server.stop()
        assert "what was there is now" in store(server, "restore", copy).stdout
        assert "sound:" in store(server, "check").stdout
        server.start()
        names = [i["metadata"]["name"] for i in Api(server)("GET", MAPS)[1]["items"]]
        assert names == ["before"]
    finally:
        server.stop()


def test_damage_is_found(tmp_path: Path) -> None:
    server = ServerUnderTest(tmp_path / "s")
    server.start()
    server.stop()
    path = server.folder / "store.db"
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content) - 4096, 4096):
        content[at : at + 200] = b"\x99" * 200
    path.write_bytes(content)
    done = store(server, "check")
    assert done.returncode
    assert "damaged" in done.stderr
