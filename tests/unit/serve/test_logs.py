"""Reading container logs in the CRI format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykubelet.errors import Invalid, NotFound
from pykubelet.kubelet.serve import logs
from pykubelet.kubelet.serve.logs import LogOptions

FIVE = b"".join(
    b"2026-01-01T00:00:0%d.5Z %b F line %d\n" % (n, b"stderr" if n % 2 else b"stdout", n)
    for n in range(5)
)


def shown(path: Path, **options: object) -> bytes:
    with logs.open_log(path) as reader:
        return b"".join(logs.read(reader, LogOptions(**options)))  # type: ignore[arg-type]


@pytest.fixture
def five(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_bytes(FIVE)
    return path


def test_lines_are_shown_without_their_prefix(five: Path) -> None:
    assert shown(five) == b"line 0\nline 1\nline 2\nline 3\nline 4\n"


def test_timestamps_are_shown_on_request(five: Path) -> None:
    assert shown(five, timestamps=True).startswith(b"2026-01-01T00:00:00.5Z line 0\n")


def test_one_stream_can_be_chosen(five: Path) -> None:
    assert shown(five, stream="Stderr") == b"line 1\nline 3\n"
    assert shown(five, stream="Stderr", tail=1) == b"line 3\n"


@pytest.mark.parametrize(("tail", "first"), [(0, None), (1, 4), (2, 3), (5, 0), (50, 0)])
def test_the_last_lines_only(five: Path, tail: int, first: int | None) -> None:
    said = shown(five, tail=tail)
    assert said == b"".join(b"line %d\n" % n for n in range(5 if first is None else first, 5))


def test_not_older_than_a_time(five: Path) -> None:
    since = 1767225602.0  # 2026-01-01T00:00:02Z
    assert shown(five, since=since) == b"line 2\nline 3\nline 4\n"


def test_a_time_stamp_with_an_offset_is_the_same_instant(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"2026-01-01T01:00:01.123456789+01:00 stdout F a\n")
    assert shown(path, since=1767225601.0) == b"a\n"
    assert shown(path, since=1767225602.0) == b""


def test_no_more_than_so_many_bytes(five: Path) -> None:
    assert shown(five, limit=10) == b"line 0\nlin"


def test_parts_of_a_long_line_are_joined_and_count_as_one(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(
        b"2026-01-01T00:00:00Z stdout F before\n"
        b"2026-01-01T00:00:01Z stdout P aaa\n"
        b"2026-01-01T00:00:01Z stdout P bbb\n"
        b"2026-01-01T00:00:01Z stdout F ccc\n"
    )
    assert shown(path, tail=1, timestamps=True) == b"2026-01-01T00:00:01Z aaabbbccc\n"


def test_a_line_that_the_runtime_did_not_finish_writing_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(FIVE + b"2026-01-01T00:0")
    assert shown(path, tail=1) == b"line 4\n"
    path.write_bytes(b"\x00\x00\n\n" + FIVE)
    assert shown(path).startswith(b"line 0\n")


def test_an_empty_line_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"2026-01-01T00:00:00Z stdout F \n2026-01-01T00:00:00Z stdout F\n")
    assert shown(path) == b"\n\n"


def test_a_log_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        logs.open_log(tmp_path / "0.log")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    entries=st.lists(
        st.tuples(st.sampled_from([b"stdout", b"stderr"]), st.booleans(), st.integers(0, 9000)),
        max_size=60,
    ),
    tail=st.integers(0, 70),
)
def test_the_tail_is_the_end_of_the_whole(
    tmp_path: Path, entries: list[tuple[bytes, bool, int]], tail: int
) -> None:
    """Whatever the line lengths and cuts: reading backwards finds what reading it all would."""
    path = tmp_path / "0.log"
    path.write_bytes(
        b"".join(
            b"2026-01-01T00:00:00Z %b %b %b\n" % (stream, b"P" if part else b"F", b"x" * size)
            for stream, part, size in entries
        )
    )
    whole = shown(path)
    lines = whole.splitlines(keepends=True)
    assert shown(path, tail=tail) == b"".join(lines[-tail:] if tail else [])


class Script:
    """A follower's waits, each of which lets something happen."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = list(steps)

    def wait(self) -> bool:
        self._steps.pop(0)()
        return True

    def ended(self) -> bool:
        return not self._steps


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"2026-01-01T00:00:09Z stdout F " + text + b"\n")


def test_following_goes_on_until_the_container_has_ended(five: Path) -> None:
    script = Script(lambda: append(five, b"six"), lambda: None, lambda: append(five, b"last"))
    with logs.open_log(five) as reader:
        said = b"".join(logs.read(reader, LogOptions(follow=True, tail=1), script))
    assert said == b"line 4\nsix\nlast\n"


def test_following_moves_to_the_new_file_after_a_rotation_and_loses_nothing(five: Path) -> None:
    def rotate() -> None:
        five.rename(five.with_name("0.log.20260101-000000"))
        append(five.with_name("0.log.20260101-000000"), b"written to the old one")

    script = Script(rotate, lambda: append(five, b"new"), lambda: append(five, b"newer"))
    with logs.open_log(five) as reader:
        said = b"".join(logs.read(reader, LogOptions(follow=True, tail=0), script))
    assert said == b"written to the old one\nnew\nnewer\n"


def test_a_follower_that_has_its_bytes_stops(five: Path) -> None:
    with logs.open_log(five) as reader:
        said = b"".join(logs.read(reader, LogOptions(follow=True, limit=6), Script(lambda: None)))
    assert said == b"line 0"


def test_options_are_read_as_upstream_names_them() -> None:
    query = {"follow": ["true"], "tailLines": ["7"], "sinceSeconds": ["60"], "stream": ["Stdout"]}
    options = LogOptions.from_query(query, now=lambda: 1000.0)
    assert options == LogOptions(follow=True, tail=7, since=940.0, stream="Stdout")
    assert LogOptions.from_query({"tail": ["all"]}).tail is None
    assert LogOptions.from_query({"sinceTime": ["2026-01-01T00:00:02Z"]}).since == 1767225602.0


@pytest.mark.parametrize(
    "query",
    [
        {"tailLines": ["-1"]},
        {"tailLines": ["x"]},
        {"sinceSeconds": ["0"]},
        {"limitBytes": ["0"]},
        {"sinceTime": ["yesterday"]},
        {"sinceSeconds": ["5"], "sinceTime": ["2026-01-01T00:00:02Z"]},
        {"stream": ["stdin"]},
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(query: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid, match=next(iter(query))):
        LogOptions.from_query(query)
