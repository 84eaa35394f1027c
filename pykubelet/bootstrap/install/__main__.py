"""`python -m pykubelet.bootstrap.install`: what `systemd/install.sh` calls."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pykubelet.errors import PykubeletError


def main() -> int:
    parser = argparse.ArgumentParser(prog="install.sh")
    parser.add_argument("--source", type=Path, required=True, help="the checkout")
    parser.add_argument("--packages", default="", help="what apt has just installed for us")
    parser.add_argument("--no-example", action="store_true")
    parser.add_argument("--uninstall", action="store_true")
    parser.add_argument("--purge-packages", action="store_true")
    args = parser.parse_args()
    try:
        if args.uninstall:
            from pykubelet.bootstrap.install.removing import uninstall

            uninstall(_say, _warn, purge_packages=args.purge_packages)
        else:
            from pykubelet.bootstrap.install.installing import install

            packages = args.packages.split()
            install(args.source, packages, _say, _warn, example=not args.no_example)
    except PykubeletError as error:
        print(f"{_paint('31', '✗')} {error}", file=sys.stderr)
        return 1
    return 0


def _say(sentence: str) -> None:
    print(f"{_paint('32', '✓')} {sentence}", flush=True)


def _warn(sentence: str) -> None:
    print(f"{_paint('33', '!')} {sentence}", flush=True)


def _paint(colour: str, sign: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return sign
    return f"\x1b[{colour}m{sign}\x1b[0m"


if __name__ == "__main__":
    sys.exit(main())
