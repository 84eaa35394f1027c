"""The manifest folder, on real files: what is dropped, edited, moved, broken and taken away."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import watchdog.observers
from watchdog.observers.polling import PollingObserver

from pykubelet.kubelet.sources import watch
from pykubelet.kubelet.sources.folder import MAX_BYTES, Folder
from pykubelet.kubelet.sources.local import LocalSources
from tests.support.waiting import until

Open = Callable[..., Folder]


def manifest(name: str, image: str = "busybox") -> str:
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n"
        f"spec: {{containers: [{{name: main, image: {image}}}]}}\n"
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "manifests").mkdir()
    return tmp_path / "manifests"


@pytest.fixture
def opened(place: Path) -> Iterator[Open]:
    folders: list[Folder] = []

    def start(**options: float) -> Folder:
        options = {"rescan_seconds": 600.0, **options}
        changes: list[float] = []
        folder = Folder(
            place, "node-1", place.parent / "state", lambda: changes.append(0), **options
        )
        folder.start()
        folders.append(folder)
        return folder

    yield start
    for folder in folders:
        folder.stop()


def names(folder: Folder) -> list[str]:
    return sorted(p["metadata"]["name"] for m in folder.manifests.values() for p in m.pods)


def old(file: Path) -> Path:
    """Make it look as if it had been lying there for long."""
    os.utime(file, (1, 1))
    return file


def test_what_lies_there_is_read_at_the_start(place: Path, opened: Open) -> None:
    (place / "web.yaml").write_text(manifest("web"))
    old(place / "web.yaml")
    folder = opened()
    assert names(folder) == ["web-node-1"]
    assert folder.watching == "inotify"


def test_a_file_moved_or_written_and_closed_is_read_at_once(place: Path, opened: Open) -> None:
    folder = opened()
    began = time.monotonic()
    (place / "written.yaml").write_text(manifest("written"))
    part = place / ".moved.part"
    part.write_text(manifest("moved"))
    part.rename(place / "moved.yaml")
    until(lambda: names(folder) == ["moved-node-1", "written-node-1"], "both are read")
    assert time.monotonic() - began < 0.9, "before it would have counted as settled"


def test_a_file_that_is_being_written_is_read_when_it_rests(place: Path, opened: Open) -> None:
    folder = opened()
    text = manifest("slow")
    with open(place / "slow.yaml", "w") as file:
        for half in (text[:40], text[40:]):
            file.write(half)
            file.flush()
            until(lambda: folder.facts(str(place / "slow.yaml")).settles_at, "it is noticed")
            assert folder.refusals == {}
        until(lambda: names(folder) == ["slow-node-1"], "it has settled", timeout=5)


def test_edits_and_removals_follow(place: Path, opened: Open) -> None:
    folder = opened()
    file = place / "web.yaml"
    file.write_text(manifest("web"))
    until(lambda: names(folder) == ["web-node-1"], "it is read")
    file.write_text(manifest("shop"))
    until(lambda: names(folder) == ["shop-node-1"], "the edit is read")
    file.rename(place / "web.yaml.bak")
    until(lambda: names(folder) == [], "what was renamed to a backup is gone")
    (place / "web.yaml.bak").rename(file)
    until(lambda: names(folder) == ["shop-node-1"], "it is back")
    file.unlink()
    until(lambda: names(folder) == [], "it is gone")


def test_a_spoilt_file_leaves_what_it_said_in_force(place: Path, opened: Open) -> None:
    folder = opened()
    file = place / "web.yaml"
    file.write_text(manifest("web"))
    until(lambda: names(folder) == ["web-node-1"], "it is read")
    file.write_text("kind: [")
    until(lambda: folder.refusals, "it is refused")
    assert names(folder) == ["web-node-1"]
    facts = folder.facts(str(file))
    assert facts.kept
    assert facts.problems
    folder.stop()
    again = opened()
    assert names(again) == ["web-node-1"], "also for an agent that never saw it whole"
    file.write_text(manifest("web"))
    until(lambda: not again.refusals, "mended")
    file.unlink()
    until(lambda: names(again) == [], "gone with the file")
    assert not list((place.parent / "state").iterdir())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: \xff\xfe", "expected UTF-8 text; found byte 0xff"),
        (b"x" * (MAX_BYTES + 1), f"expected at most {MAX_BYTES} bytes"),
    ],
)
def test_what_is_no_text_is_refused(place: Path, opened: Open, content: bytes, said: str) -> None:
    folder = opened()
    (place / "web.yaml").write_bytes(content)
    until(lambda: folder.refusals, "it is refused")
    (refusal,) = folder.refusals.values()
    assert said in refusal.sentence
    assert str(place / "web.yaml") in refusal.sentence


def test_folders_sockets_and_dead_links_are_no_manifests(place: Path, opened: Open) -> None:
    (place / "sub").mkdir()
    (place / "sub" / "web.yaml").write_text(manifest("web"))
    (place / "dead.yaml").symlink_to("/nowhere")
    os.mkfifo(place / "pipe.yaml")
    folder = opened()
    (place / "good.yaml").write_text(manifest("good"))
    until(lambda: names(folder) == ["good-node-1"], "only the file counts")
    assert folder.refusals == {}


def test_a_link_to_a_manifest_counts(place: Path, opened: Open) -> None:
    target = place.parent / "elsewhere.yaml"
    target.write_text(manifest("linked"))
    folder = opened(rescan_seconds=0.2)
    (place / "linked.yaml").symlink_to(target)
    until(lambda: names(folder) == ["linked-node-1"], "it is read")
    target.write_text(manifest("edited"))
    until(lambda: names(folder) == ["edited-node-1"], "and followed")


def test_a_folder_made_later_or_made_anew_is_found(place: Path, opened: Open) -> None:
    place.rmdir()
    folder = opened(rescan_seconds=0.2)
    assert folder.watching.startswith("nothing")
    place.mkdir()
    (place / "web.yaml").write_text(manifest("web"))
    until(lambda: names(folder) == ["web-node-1"], "the folder is found")
    place.rename(place.with_name("aside"))
    until(lambda: names(folder) == [], "what was in it is gone")
    place.mkdir()
    (place / "new.yaml").write_text(manifest("new"))
    until(lambda: names(folder) == ["new-node-1"], "the new folder is watched")


def test_where_inotify_is_exhausted_the_folder_is_polled(
    place: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Complaint: "too many open files" that are inotify limits."""

    class Exhausted(watchdog.observers.Observer):  # type: ignore[misc,valid-type]
        def start(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(watch, "Observer", Exhausted)
    monkeypatch.setattr(watch, "PollingObserver", lambda: PollingObserver(timeout=0.1))
    folder = opened()
    assert folder.watching == "polling"
    assert "raise fs.inotify.max_user_instances" in caplog.text
    (place / "web.yaml").write_text(manifest("web"))
    until(lambda: names(folder) == ["web-node-1"], "it is found all the same")


def test_config_maps_and_secrets_of_the_folder_serve_its_pods(place: Path, opened: Open) -> None:
    folder = opened()
    (place / "c.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\ndata: {a: b}\n"
    )
    until(lambda: folder.manifests, "it is read")
    sources = LocalSources(lambda: folder.manifests, dict)
    found = sources.config_map("shop", "c")
    assert found
    assert found["data"] == {"a": "b"}
    assert sources.config_map("default", "c") is None
    assert sources.secret("shop", "c") is None
