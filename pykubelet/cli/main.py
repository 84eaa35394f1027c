"""`pykubelet`: one command for every daemon and everything that a person does.

Each subcommand is a module of this folder with `SUMMARY`, `configure(parser)` and `run(args)`; one
with subcommands of its own sets `run` on those by `set_defaults`. Only the module that was
asked for is imported, and heavy libraries only when it runs, so `pykubelet status` answers before
a finger has left the key.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import Protocol

from pykubelet.cli.exits import CODES, INTERRUPTED, NO_AGENT, NOT_FOUND, REFUSED, TROUBLE
from pykubelet.errors import Invalid, NotFound, PykubeletError, Unavailable
from pykubelet.version import VERSION


class Command(Protocol):
    """What a command's module offers."""

    SUMMARY: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments, and its description and examples."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code. A PykubeletError that escapes is printed as one line."""


COMMANDS = ("run", "status", "why", "logs", "exec", "images", "apiserver", "store",
            "scheduler", "controller-manager", "dns", "proxy", "version", "completion")  # fmt: skip
"""In the order of the help. A name's module is `pykubelet.cli.<name>`, with _ for -."""


def main(argv: list[str] | None = None) -> int:
    """Run one command line; the exit code."""
    words = sys.argv[1:] if argv is None else argv
    parser = build_parser(_asked_for(words))
    args = parser.parse_args(words)
    if not hasattr(args, "run"):
        parser.print_help()
        return 0
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; what is buffered can go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PykubeletError as error:
        print(f"pykubelet {args.command}: {error}", file=sys.stderr)
        return _code_of(error)


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of everything; with `only`, the other commands are known by name alone."""
    parser = argparse.ArgumentParser(
        prog="pykubelet",
        description="A whole small Kubernetes, built around its node agent.",
        epilog="exit codes:\n"
        + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in CODES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pykubelet {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name in COMMANDS:
        if only not in (None, name):
            commands.add_parser(name)
            continue
        command = load(name)
        sub = commands.add_parser(
            name,
            help=command.SUMMARY,
            description=command.SUMMARY[:1].upper() + command.SUMMARY[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if hasattr(command, "run"):
            sub.set_defaults(run=command.run)
        command.configure(sub)
    return parser


def load(name: str) -> Command:
    """The module of a command."""
    module: Command = import_module(f"pykubelet.cli.{name.replace('-', '_')}")
    return module


def _asked_for(words: list[str]) -> str | None:
    """The command in a command line: its first word that is no option. None: no one command."""
    return next((word for word in words if not word.startswith("-")), None)


def _code_of(error: PykubeletError) -> int:
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, Unavailable):
        return NO_AGENT
    return REFUSED if isinstance(error, Invalid) else TROUBLE


if __name__ == "__main__":
    sys.exit(main())
