"""Atomic folders on a plain file system: layout, updates, crashes, names."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.kubelet.volumes import atomic
from pykubelet.kubelet.volumes.model import File


def put(folder: Path, **files: bytes) -> bool:
    return atomic.write(folder, {name: File(data, 0o644) for name, data in files.items()})


def shown(folder: Path) -> dict[str, bytes]:
    """What a program in a container sees: everything but the names that belong to the scheme."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for top in folder.iterdir()
        if not top.name.startswith("..")
        for path in ([top] if top.is_file() else top.rglob("*"))
        if path.is_file()
    }


def generations(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.is_dir() and not p.is_symlink()]


def test_the_layout_is_upstreams(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": File(b"1", 0o640), "d/e/f": File(b"2", 0o400)})
    (generation,) = generations(tmp_path)
    assert generation.startswith("..20")
    assert os.readlink(tmp_path / "..data") == generation
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert os.readlink(tmp_path / "d") == "..data/d"
    assert shown(tmp_path) == {"a": b"1", "d/e/f": b"2"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "d/e/f").stat().st_mode & 0o777 == 0o400


def test_writing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    assert put(tmp_path, a=b"1")
    before = os.readlink(tmp_path / "..data")
    assert not put(tmp_path, a=b"1")
    assert os.readlink(tmp_path / "..data") == before


def test_what_comes_changes_and_goes(tmp_path: Path) -> None:
    put(tmp_path, a=b"1", b=b"2")
    assert put(tmp_path, b=b"3", c=b"4")
    assert shown(tmp_path) == {"b": b"3", "c": b"4"}
    assert len(generations(tmp_path)) == 1
    assert put(tmp_path)
    assert shown(tmp_path) == {}


def test_a_mode_alone_is_a_change(tmp_path: Path) -> None:
    atomic.write(tmp_path, {"a": File(b"1", 0o644)})
    assert atomic.write(tmp_path, {"a": File(b"1", 0o600)})


def test_a_file_may_become_a_folder_and_back(tmp_path: Path) -> None:
    put(tmp_path, a=b"1")
    atomic.write(tmp_path, {"a/b": File(b"2", 0o644)})
    assert shown(tmp_path) == {"a/b": b"2"}
    put(tmp_path, a=b"1")
    assert shown(tmp_path) == {"a": b"1"}


@pytest.mark.parametrize(
    "leftover",
    [
        lambda folder: (folder / "..2020_01_01_00_00_00.half").mkdir(),
        lambda folder: (folder / "..data_tmp").symlink_to("..nowhere"),
        lambda folder: (folder / "b").unlink(),
        lambda folder: (folder / "gone").symlink_to("..data/gone"),
        lambda folder: ((folder / "..data").unlink(), (folder / "..data").symlink_to("..gone")),
        lambda folder: (folder / "a").unlink() or (folder / "a").symlink_to("/etc/passwd"),
    ],
    ids=["half a generation", "next link", "missing name", "stale name", "dangling", "odd link"],
)
def test_a_crash_at_any_point_is_mended_by_the_next_write(tmp_path: Path, leftover: object) -> None:
    put(tmp_path, a=b"1", b=b"2")
    leftover(tmp_path)  # type: ignore[operator]
    put(tmp_path, a=b"1", b=b"2")
    assert shown(tmp_path) == {"a": b"1", "b": b"2"}
    assert len(generations(tmp_path)) == 1
    assert sorted(os.listdir(tmp_path)) == sorted(["..data", "a", "b", *generations(tmp_path)])


def test_a_reader_never_sees_half_of_an_update(tmp_path: Path) -> None:
    """It opens the generation once, as a careful program does, and finds all of it equal."""
    names = [f"key-{n}" for n in range(20)]
    torn: list[set[bytes]] = []
    stop = threading.Event()
    put(tmp_path, **dict.fromkeys(names, b"0"))

    def read() -> None:
        while not stop.is_set():
            generation = os.open(tmp_path / "..data", os.O_RDONLY | os.O_DIRECTORY)
            seen = set()
            try:
                for name in names:
                    descriptor = os.open(name, os.O_RDONLY, dir_fd=generation)
                    seen.add(os.read(descriptor, 100))
                    os.close(descriptor)
            except FileNotFoundError:
                continue  # this generation was taken away meanwhile: the next one is there
            finally:
                os.close(generation)
            if len(seen) > 1:
                torn.append(seen)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for round_ in range(1, 100):
            put(tmp_path, **dict.fromkeys(names, str(round_).encode()))
            assert (tmp_path / "key-0").read_bytes() == str(round_).encode()
    finally:
        stop.set()
        reader.join()
    assert not torn


BAD_PATHS = ["", "/a", "..", "a/../b", "../a", "..a", "..data", "./..a", "a\0b", ".", "./."]


@pytest.mark.parametrize("path", [*BAD_PATHS, "a//../b", "x" * 256, "a/" * 2100])
def test_paths_that_no_payload_may_have(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="invalid path"):
        atomic.write(tmp_path, {"good": File(b"", 0o644), path: File(b"", 0o644)})
    assert os.listdir(tmp_path) == []


def test_a_file_can_not_lie_below_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a/b lies below a, which is a file"):
        atomic.write(tmp_path, {"a": File(b"", 0o644), "a/b": File(b"", 0o644)})


@given(st.text(max_size=30))
def test_a_path_that_is_accepted_stays_inside(path: str) -> None:
    try:
        clean = atomic.check_path(path)
    except (ValueError, UnicodeEncodeError):
        return
    whole = os.path.normpath(os.path.join("/volume", clean))
    assert whole.startswith("/volume/")
    assert not whole.removeprefix("/volume/").startswith("..")
