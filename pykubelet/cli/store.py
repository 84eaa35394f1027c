"""`pykubelet store`: back up, restore and check the API server's embedded store."""

from __future__ import annotations

import argparse
from pathlib import Path

from pykubelet.cli.exits import OK

SUMMARY = "back up, restore and check the API server's store"

_FILE = "store.db"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "A backup may be taken while the server runs; for a restore it must be stopped.\n"
        "  pykubelet store backup /var/backups/cluster.db\n"
        "  pykubelet store restore /var/backups/cluster.db"
    )
    parser.add_argument(
        "--data-dir", type=Path, default=Path("/var/lib/pykubelet/apiserver"),
        help="where the store is (default: %(default)s)",
    )  # fmt: skip
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    for name, about, act in (
        ("backup", "copy the store to a new file", _backup),
        ("restore", "put a backup in the store's place", _restore),
    ):
        one = actions.add_parser(name, help=about)
        one.add_argument("file", type=Path)
        one.set_defaults(run=act)
    one = actions.add_parser("check", help="look whether the store is sound")
    one.set_defaults(run=_check)


def run(args: argparse.Namespace) -> int:
    """Each action has its own; argparse insists on one."""
    raise AssertionError(args.action)


def _backup(args: argparse.Namespace) -> int:
    from pykubelet.apiserver.storage import maintenance

    facts = maintenance.backup(args.data_dir / _FILE, args.file)
    print(f"{args.file}: {facts.records} objects as of revision {facts.revision}")
    return OK


def _restore(args: argparse.Namespace) -> int:
    from pykubelet.apiserver.storage import maintenance

    kept = maintenance.restore(args.file, args.data_dir / _FILE)
    print(f"restored from {args.file}" + (f"; what was there is now {kept}" if kept else ""))
    return OK


def _check(args: argparse.Namespace) -> int:
    from pykubelet.apiserver.storage import maintenance

    facts = maintenance.check(args.data_dir / _FILE)
    print(f"sound: {facts.records} objects, revision {facts.revision}, {facts.size} bytes")
    return OK
