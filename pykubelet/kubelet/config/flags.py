"""The command line's share of the settings, under upstream's flag names.

Only flags that were really given count: they override every file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from pykubelet.kubelet.config import settings
from pykubelet.kubelet.config.configuration import TABLE
from pykubelet.kubelet.config.kinds import Bool, Refused
from pykubelet.kubelet.config.reading import Given, Layer

_PREFIX = "setting_"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Every setting that has a flag, and the two that name files."""
    files = parser.add_argument_group("configuration files")
    files.add_argument("--config", default="", metavar="FILE", help="a KubeletConfiguration file")
    files.add_argument(
        "--config-dir",
        default="",
        metavar="DIR",
        help="a folder of drop-ins (*.conf), which override the file in the order of their names",
    )
    group = parser.add_argument_group("settings, each of which overrides the files")
    for known in TABLE:
        if known.flag:
            _add(group, known)


def _add(group: Any, known: settings.Setting) -> None:
    options: dict[str, Any] = {}
    if isinstance(known.kind, Bool):
        options = {"nargs": "?", "const": True}  # `--flag` alone means true, as upstream
    group.add_argument(
        known.flag,
        dest=_PREFIX + known.attribute,
        default=argparse.SUPPRESS,
        type=_reader(known),
        metavar="VALUE",
        help=known.about.replace("%", "%%"),
        **options,
    )


def _reader(known: settings.Setting) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return known.kind.read_text(text)
        except Refused as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def given(args: argparse.Namespace) -> Layer:
    """What the command line said."""
    layer = Layer(merges=False)
    for known in TABLE:
        name = _PREFIX + known.attribute
        if known.flag and hasattr(args, name):
            layer.given[known.attribute] = Given(getattr(args, name), known.flag)
    return layer
