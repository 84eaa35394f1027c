"""Runs the named subjects, or all of them, and prints one table."""

from __future__ import annotations

import importlib
import sys

from tests.bench.rows import Row, table

SUBJECTS = ("pods", "footprint", "scheduling", "services")


def main() -> int:
    found: list[Row] = []
    for subject in sys.argv[1:] or SUBJECTS:
        print(f"measuring {subject} …", file=sys.stderr, flush=True)
        for row in importlib.import_module(f"tests.bench.{subject}").rows():
            found.append(row)
            print(table([row]).splitlines()[-1], file=sys.stderr, flush=True)
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
