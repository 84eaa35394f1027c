"""Images made from local files, run by a real containerd."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pykubelet.bootstrap.images import layouts, recipes
from pykubelet.bootstrap.images.store import Store
from pykubelet.cli import images as command
from pykubelet.errors import Invalid, Unavailable
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = pytest.mark.root


def run(machine: Machine, *words: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    args = parser.parse_args([*words, "--address", str(machine.socket)])
    return int(args.run(args))


def output(machine: Machine, image: str, *words: str) -> str:
    """What a container of the image prints."""
    return machine.ctr("run", "--rm", "--cgroup", machine.cgroup_root, image, "c1", *words)


def test_a_program_of_this_host_runs_with_its_libraries_and_is_pinned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Complaint 22: offline, an image that was collected can't be pulled again."""
    (tmp_path / "word").write_text("from a file\n")
    with Machine() as machine:
        run(machine, "build", "-t", "reader", "--file", "/bin/cat", "--file",
            f"{tmp_path}/word=/word", "--entrypoint", "/bin/cat /word")  # fmt: skip
        assert "docker.io/library/reader:latest imported, pinned" in capsys.readouterr().out
        assert output(machine, "docker.io/library/reader:latest") == "from a file\n"
        run(machine, "list")
        line = capsys.readouterr().out.splitlines()[1]
        assert line.startswith("docker.io/library/reader:latest")
        assert line.rstrip().endswith("yes")


def test_the_node_makes_its_own_images_and_pause_ends_on_sigterm() -> None:
    with Machine() as machine:
        run(machine, "builtin")
        store = Store(machine.socket)
        assert {i.name: i.pinned for i in store.list()} == {
            recipes.PAUSE: True,
            recipes.HELLO: True,
        }
        assert output(machine, recipes.HELLO, "sh", "-c", "echo $((6*7))") == "42\n"
        machine.ctr("run", "--detach", "--cgroup", machine.cgroup_root, recipes.PAUSE, "p")
        machine.ctr("tasks", "kill", "p")
        until(lambda: "STOPPED" in machine.ctr("tasks", "list"), "it ends when it is told to")
        # The list may know it a moment before the shim does.
        until(lambda: machine.ctr("tasks", "delete", "p") or True, "it can be deleted")


def test_without_catatonit_the_shell_holds_the_sandbox(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = recipes.shutil.which
    monkeypatch.setattr(recipes.shutil, "which", lambda n: None if n == "catatonit" else real(n))
    with Machine() as machine:
        layouts.write(recipes.pause("pause"), tmp_path / "pause.tar")
        Store(machine.socket).load(tmp_path / "pause.tar")
        name = "docker.io/library/pause:latest"
        machine.ctr("run", "--detach", "--cgroup", machine.cgroup_root, name, "p")
        machine.ctr("tasks", "kill", "p")
        until(lambda: "STOPPED" in machine.ctr("tasks", "list"), "it ends when it is told to")
        # The list may know it a moment before the shim does.
        until(lambda: machine.ctr("tasks", "delete", "p") or True, "it can be deleted")


def test_mistakes_are_named_before_anything_is_imported(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/usr/bin/perl\n")
    (tmp_path / "script").chmod(0o755)
    with Machine() as machine:
        for words, message in [
            (["build", "-t", "x"], "needs files"),
            (["build", "-t", "x", "--file", "/nowhere"], "no such file"),
            (["build", "-t", "X", "--file", "/bin/cat"], "not an image name"),
            (["build", "-t", "x", "--file", "/bin/cat", "--entrypoint", "/bin/dog"],
             "entrypoint isn't in the image"),
            (["build", "-t", "x", "--file", f"{tmp_path}/script=/s", "--entrypoint", "/s"],
             "interpreter isn't in the image; found /usr/bin/perl"),
            (["import", f"{tmp_path}/script"], "not an image archive"),
        ]:  # fmt: skip
            with pytest.raises(Invalid, match=message):
                run(machine, *words)
        assert Store(machine.socket).list() == []
    with pytest.raises(Unavailable, match="is it running"):
        Store(tmp_path / "no.sock").list()
