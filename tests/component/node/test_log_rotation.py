"""Rotation on a real containerd, and on plain files for the corners."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pykubelet.errors import Unavailable
from pykubelet.kubelet.node import logs
from pykubelet.kubelet.node.logs import Rotation
from tests.component.node.lab import Lab
from tests.support.waiting import until


@pytest.mark.root
def test_a_chatty_containers_log_is_rotated_and_not_a_line_is_lost(lab: Lab) -> None:
    script = "i=0; while :; do echo line $i; i=$((i+1)); usleep 2000; done"
    pod = lab.start("chatty", "sh", "-c", script)
    id = lab.runtime.pods("chatty")["chatty"].containers[0].id
    folder = Path(logs.pod_folder(pod, str(lab.logs)), "c")
    current = folder / "0.log"
    rotation = Rotation(lab.runtime.reopen_log, max_size=2000, max_files=4)
    for _ in range(2):
        until(lambda: current.exists() and current.stat().st_size > 2000, "it has grown")
        assert rotation.rotate({id: str(current)}) == [id]
    until(lambda: current.stat().st_size > 100, "it goes on in the new file")
    lab.runtime.stop_container(id, 0)
    files = sorted(folder.iterdir(), key=lambda f: f.name.removesuffix(".gz"))
    assert [f.suffix == ".gz" for f in files] == [False, True, False]
    text = b"".join(
        gzip.decompress(f.read_bytes()) if f.suffix == ".gz" else f.read_bytes()
        for f in [*files[1:], files[0]]
    )
    numbers = [int(line.split()[-1]) for line in text.splitlines()]
    assert numbers == list(range(len(numbers)))
    lab.remove("chatty")


class Clock:
    """A second later at every look."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    file = tmp_path / "0.log"
    file.write_text("x" * 100)
    return file


def test_the_oldest_files_go_and_older_ones_are_compressed(log_file: Path) -> None:
    rotation = Rotation(lambda id: log_file.write_text("y" * 100), 50, 3, now=Clock())
    for _ in range(4):
        rotation.rotate({"id": str(log_file)})
    names = sorted(f.name for f in log_file.parent.iterdir())
    assert names == ["0.log", "0.log.20260101-000003.gz", "0.log.20260101-000004"]


def test_twice_within_a_second_nothing_is_overwritten(log_file: Path) -> None:
    same = datetime(2026, 1, 1, tzinfo=UTC)
    rotation = Rotation(lambda id: log_file.write_text("y" * 100), 50, 9, now=lambda: same)
    for _ in range(3):
        rotation.rotate({"id": str(log_file)})
    assert len(list(log_file.parent.iterdir())) == 4


def test_when_the_runtime_can_not_reopen_everything_is_as_it_was(log_file: Path) -> None:
    def refuse(id: str) -> None:
        raise Unavailable("nobody answers")

    assert Rotation(refuse, 50, 3).rotate({"id": str(log_file)}) == []
    assert [f.name for f in log_file.parent.iterdir()] == ["0.log"]
    assert log_file.read_text() == "x" * 100


def test_what_an_interrupted_compression_left_is_cleared(log_file: Path) -> None:
    for name in ("0.log.20250101-000000.tmp", "0.log.20250102-000000", "0.log.20250102-000000.gz"):
        (log_file.parent / name).write_bytes(gzip.compress(b"old") if name.endswith("gz") else b"")
    Rotation(lambda id: None, 50, 9, now=Clock()).rotate({"id": str(log_file)})
    names = sorted(f.name for f in log_file.parent.iterdir())
    assert names == ["0.log.20250102-000000.gz", "0.log.20260101-000001"]


def test_small_logs_and_logs_that_are_not_there_are_left_alone(log_file: Path) -> None:
    paths = {"a": str(log_file), "b": str(log_file.parent / "nothing.log")}
    assert Rotation(lambda id: None, 1000, 3).rotate(paths) == []


POD = {"metadata": {"name": "web", "namespace": "default", "uid": "u"}}


def test_links_lead_to_logs_and_dead_ones_go(tmp_path: Path, log_file: Path) -> None:
    links = tmp_path / "links"
    for id, target in (("aaa", log_file), ("bbb", tmp_path / "gone"), ("ccc", tmp_path / "gone")):
        logs.make_link(POD, "app", id, str(target), str(links))
        logs.make_link(POD, "app", id, str(target), str(links))
    assert (links / "web_default_app-aaa.log").read_text() == log_file.read_text()
    assert logs.remove_dead_links(["ccc"], str(links)) == 1
    assert sorted(p.name for p in links.iterdir()) == [
        "web_default_app-aaa.log", "web_default_app-ccc.log",
    ]  # fmt: skip


def test_a_link_whose_name_would_be_too_long_keeps_its_end() -> None:
    name = logs.link_name({"metadata": {"name": "p" * 253, "namespace": "n"}}, "c", "f" * 64)
    assert len(name) == 255
    assert name.endswith(f"-{'f' * 64}.log")
