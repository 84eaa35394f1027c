"""The last page of a test run: whoever reads only its last line isn't misled."""

from __future__ import annotations

from pathlib import Path

from tests.support.summary import summarise

REPORT = """<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="assert 1 == 2&#10;more"/></testcase>
<testcase classname="a" name="broken"><error message="fixture failed"/></testcase>
<testcase classname="b" name="one"><skipped message="needs root"/></testcase>
<testcase classname="b" name="two"><skipped message="needs root"/></testcase>
</testsuite></testsuites>"""


def test_everything_is_counted_and_what_failed_or_was_skipped_is_named(tmp_path: Path) -> None:
    (tmp_path / "unit.xml").write_text(REPORT)
    (tmp_path / "checks").write_text("passed ruff\nfailed mypy\n")
    (tmp_path / "cannot").write_text("lab: needs root\n")
    lines, good = summarise(tmp_path)
    assert not good
    assert lines == [
        "failed: mypy",
        "failed: a::bad: assert 1 == 2",
        "failed: a::broken: fixture failed",
        "skipped: 2 tests (b::one, …): needs root",
        "couldn't run: lab: needs root",
        "2 passed, 3 failed, 2 skipped",
    ]


def test_a_run_in_which_nothing_ran_is_no_success(tmp_path: Path) -> None:
    assert summarise(tmp_path) == (["0 passed, 0 failed, 0 skipped"], False)


def test_a_report_that_was_cut_off_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "node.xml").write_text("<testsuites><testsu")
    lines, good = summarise(tmp_path)
    assert not good
    assert lines[0] == "failed: node: its report can't be read"


def test_what_passed_only_at_the_second_try_counts_and_is_named(tmp_path: Path) -> None:
    case = '<testcase classname="a.b" name="shaky">{}</testcase>'
    solid = '<testcase classname="a.b" name="broken"><failure message="no"/></testcase>'
    failed = case.format('<failure message="too slow"/>')
    (tmp_path / "node.xml").write_text(f"<testsuite>{failed}{solid}</testsuite>")
    (tmp_path / "node.again").write_text(f"<testsuite>{case.format('')}{solid}</testsuite>")
    lines, well = summarise(tmp_path)
    assert "passed only at the second try: a.b::shaky: too slow" in lines
    assert "failed: a.b::broken: no" in lines
    assert lines[-1] == "1 passed, 1 failed, 0 skipped"
    assert not well
