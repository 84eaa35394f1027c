"""What is known about one setting, and how `configuration` writes its table down.

The table is the class `Configuration` itself: each attribute carries a `Setting`. Reading files and
flags, writing /configz, telling what a reload needs and the reference page are all derived from it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from pykubelet.kubelet.config.kinds import Kind

_KEY = "setting"


@dataclass(frozen=True)
class Setting:
    """`path` is upstream's, with dots (`authentication.x509.clientCAFile`); empty for a setting
    that only a flag can give. `flag` is empty for one that only the file can give.

    `live` says that a running agent takes up a new value; else it needs a restart. `differs` says
    why our default is not upstream's, where it isn't.
    """

    attribute: str
    path: str
    kind: Kind
    default: Any
    about: str
    flag: str
    live: bool
    differs: str


def setting(
    path: str,
    kind: Kind,
    default: Any,
    about: str,
    *,
    flag: str = "",
    live: bool = False,
    differs: str = "",
) -> Any:
    """A line of the table, as the value of an attribute of a dataclass. `default` is the typed
    value, as `Kind.read` would give it."""
    known = Setting("", path, kind, default, about, flag, live, differs)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata={_KEY: known})
    return dataclasses.field(default=default, metadata={_KEY: known})


def of(table: type[Any]) -> tuple[Setting, ...]:
    """The settings of a class that was written with `setting`, in its order."""
    return tuple(
        dataclasses.replace(field.metadata[_KEY], attribute=field.name)
        for field in dataclasses.fields(table)
        if _KEY in field.metadata
    )
