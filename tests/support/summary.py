"""The last page of `tests/run.sh`: what failed, what couldn't run and why, and one line of counts.

Reads a folder that the script filled: a JUnit file for each stage (and `STAGE.again` of what was
tried a second time), `checks` (a line for each check:
`passed NAME` or `failed NAME`) and `cannot` (what couldn't run at all, one reason a line). Exits
with 1 where anything failed, or where nothing ran.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path
from xml.etree import ElementTree


def summarise(folder: Path) -> tuple[list[str], bool]:
    """The lines to print, and whether all is well."""
    counts: Counter[str] = Counter()
    failed: list[str] = []
    again: list[str] = []
    skipped: defaultdict[str, list[str]] = defaultdict(list)
    for line in _lines(folder / "checks"):
        outcome, _, name = line.partition(" ")
        counts[outcome] += 1
        if outcome == "failed":
            failed.append(name)
    for report in sorted(folder.glob("*.xml")):
        try:
            cases = list(ElementTree.parse(report).iter("testcase"))
        except ElementTree.ParseError:
            counts["failed"] += 1
            failed.append(f"{report.stem}: its report can't be read")
            continue
        second = _second_try(report.with_suffix(".again"))
        for case in cases:
            outcome, why = _outcome(case)
            key = (case.get("classname"), case.get("name"))
            if outcome == "failed" and key in second:
                outcome = "passed"
                again.append(f"{key[0]}::{key[1]}: {why}")
            counts[outcome] += 1
            name = f"{case.get('classname')}::{case.get('name')}"
            if outcome == "failed":
                failed.append(f"{name}: {why}" if why else name)
            elif outcome == "skipped":
                skipped[why].append(name)
    lines = [f"failed: {each}" for each in failed]
    for why, names in skipped.items():
        which = names[0] if len(names) == 1 else f"{len(names)} tests ({names[0]}, …)"
        lines.append(f"skipped: {which}: {why}")
    lines += [f"passed only at the second try: {each}" for each in again]
    lines += [f"couldn't run: {each}" for each in _lines(folder / "cannot")]
    lines.append(
        f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"
    )
    return lines, bool(counts["passed"]) and not counts["failed"]


def _second_try(report: Path) -> set[tuple[str | None, str | None]]:
    """The tests that passed when they were tried once more."""
    try:
        cases = ElementTree.parse(report).iter("testcase")
        return {
            (case.get("classname"), case.get("name"))
            for case in cases
            if _outcome(case)[0] == "passed"
        }
    except (OSError, ElementTree.ParseError):
        return set()


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    for tag, outcome in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        found = case.find(tag)
        if found is not None:
            message = (found.get("message") or found.text or "").strip()
            return outcome, message.splitlines()[0][:200] if message else ""
    return "passed", ""


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    report, good = summarise(Path(sys.argv[1]))
    print("\n".join(report))
    sys.exit(not good)
