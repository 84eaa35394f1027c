"""The installation's memory: nobody's files are overwritten, and everything can be taken back."""

from __future__ import annotations

from pathlib import Path

from pykubelet.bootstrap.install.record import Placed, Record


def record(folder: Path) -> Record:
    return Record.load(folder / "state/install.json")


def test_a_file_is_written_once_and_left_alone_while_it_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "etc/config"
    assert record(tmp_path).place(file, "a", 0o600) is Placed.WRITTEN
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("a", 0o600)
    again = record(tmp_path)  # another run, from disk
    assert again.place(file, "a") is Placed.UNCHANGED
    assert again.place(file, "b") is Placed.WRITTEN


def test_what_a_person_has_edited_stays(tmp_path: Path) -> None:
    file = tmp_path / "config"
    record(tmp_path).place(file, "a")
    file.write_text("mine")
    assert record(tmp_path).place(file, "b") is Placed.EDITED
    assert file.read_text() == "mine"


def test_somebody_elses_file_stays_unless_it_may_be_replaced_and_then_comes_back(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config"
    file.write_bytes(b"theirs\xff")
    assert record(tmp_path).place(file, "ours") is Placed.FOREIGN
    assert record(tmp_path).place(file, "ours", replace=True) is Placed.WRITTEN
    assert record(tmp_path).place(file, "newer", replace=True) is Placed.WRITTEN
    assert record(tmp_path).put_back() == [f"{file} is again as it was before"]
    assert file.read_bytes() == b"theirs\xff"


def test_files_links_and_empty_folders_go_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    memory = record(tmp_path)
    memory.place(tmp_path / "a/b/ours", "x")
    memory.place(tmp_path / "shared/ours", "x")
    memory.link(tmp_path / "usr/command", tmp_path / "a/b/ours")
    (tmp_path / "shared/theirs").touch()
    memory = record(tmp_path)
    assert memory.put_back() == []
    assert memory.remove_folders() == [str(tmp_path / "shared")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shared", "state", "usr"]
    assert [p.name for p in (tmp_path / "shared").iterdir()] == ["theirs"]
    assert list((tmp_path / "usr").iterdir()) == []


def test_somebody_elses_link_stays(tmp_path: Path) -> None:
    (tmp_path / "command").symlink_to("elsewhere")
    memory = record(tmp_path)
    assert memory.link(tmp_path / "command", tmp_path / "ours") is Placed.FOREIGN
    memory.put_back()
    assert (tmp_path / "command").is_symlink()


def test_a_folder_that_the_daemons_will_make_is_claimed_only_if_it_is_new(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    memory = record(tmp_path)
    memory.claim(tmp_path / "old", tmp_path / "new")
    (tmp_path / "new").mkdir()
    memory = record(tmp_path)
    memory.claim(tmp_path / "old", tmp_path / "new")
    assert str(tmp_path / "new") in memory.folders
    assert str(tmp_path / "old") not in memory.folders


def test_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/install.json").write_text("{")
    assert record(tmp_path).files == {}
