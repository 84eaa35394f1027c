"""A KubeProxyConfiguration file into a Configuration. It complains about all that is wrong at once,
each with file, line and field."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pykubelet.errors import Failed, Invalid
from pykubelet.objects import documents
from pykubelet.objects.documents import Document
from pykubelet.proxy.config.configuration import (
    API_VERSION,
    IGNORED,
    KIND,
    Configuration,
    IptablesSettings,
    ModeSettings,
)
from pykubelet.proxy.config.kinds import Kind, Refused

#: path → (attribute, kind)
_Table = dict[str, tuple[str, Kind]]


class Rejected(Invalid):
    """A file with one or more mistakes; `problems` has each by itself."""

    def __init__(self, problems: list[Invalid]) -> None:
        self.problems = tuple(problems)
        super().__init__("the proxy's configuration has mistakes")

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def _table(of: type[Any], under: str = "") -> _Table:
    return {
        under + known.metadata["path"]: (known.name, known.metadata["kind"])
        for known in dataclasses.fields(of)
        if "path" in known.metadata
    }


_GENERAL = _table(Configuration)
_NFTABLES = _table(ModeSettings, "nftables.")
_IPTABLES = _table(IptablesSettings, "iptables.")
_KNOWN = {**_GENERAL, **_NFTABLES, **_IPTABLES}


def load(path: str = "") -> Configuration:
    """The defaults where `path` is "". Raises Rejected, and Failed where it can't be read."""
    if not path:
        return Configuration()
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise Failed(f"can't read the configuration {path}: {error.strerror}") from error
    found = documents.read(text, path)
    if len(found) != 1:
        raise Invalid(
            "not one configuration", where=path, expected="one document", found=str(len(found))
        )
    return read(found[0])


def read(document: Document) -> Configuration:
    """Raises Rejected."""
    problems = list(_type_problems(document))
    values: dict[str, Any] = {}
    ignored: list[str] = []
    for path, value in _leaves(document.object):
        name = ".".join(path)
        if value is None or name in ("apiVersion", "kind"):
            continue
        if name in _KNOWN:
            try:
                values[name] = _KNOWN[name][1](value)
            except Refused as error:
                problems.append(_wrong(document, path, error, value))
        elif reason := _reason(name):
            if value not in ("", 0, False, "0s", {}, []):  # upstream writes its defaults out
                ignored.append(f"{document.where(path)}: {name} is not acted on: {reason}")
        else:
            problems.append(_unknown(document, path))
    if problems:
        raise Rejected(problems)
    config = Configuration(
        **_given(_GENERAL, values),
        nftables=ModeSettings(**_given(_NFTABLES, values)),
        iptables=IptablesSettings(**_given(_IPTABLES, values)),
        ignored=tuple(ignored),
    )
    problems = list(_contradictions(document, config))
    if problems:
        raise Rejected(problems)
    return config


def _given(table: _Table, values: Mapping[str, Any]) -> dict[str, Any]:
    return {attribute: values[path] for path, (attribute, _) in table.items() if path in values}


def _leaves(tree: Mapping[str, Any], under: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    for name, value in tree.items():
        path = (*under, name)
        below = ".".join(path) + "."
        if isinstance(value, dict) and any(known.startswith(below) for known in _KNOWN):
            yield from _leaves(value, path)
        else:
            yield path, value


def _reason(name: str) -> str:
    return next(
        (why for known, why in IGNORED.items() if name == known or name.startswith(f"{known}.")), ""
    )


def _type_problems(document: Document) -> Iterator[Invalid]:
    for name, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        found = document.object.get(name)
        if found != expected:
            yield Invalid(
                f"{name} does not say what this file is",
                where=document.where((name,)),
                expected=f"{name}: {expected}",
                found=str(found) if name in document.object else "no such field",
            )


def _unknown(document: Document, path: tuple[str, ...]) -> Invalid:
    name = ".".join(path)
    near = difflib.get_close_matches(name, [*_KNOWN, *IGNORED], n=1, cutoff=0.7)
    return Invalid(
        f"unknown field {name}",
        where=document.where(path),
        expected=f"a field of {API_VERSION} {KIND}",
        remedy=f"did you mean {near[0]}?" if near else "",
    )


def _wrong(document: Document, path: tuple[str, ...], error: Refused, value: Any) -> Invalid:
    return Invalid(
        f"{'.'.join(path)} has a wrong value",
        where=document.where(path),
        expected=error.expected,
        found=str(value),
    )


def _contradictions(document: Document, config: Configuration) -> Iterator[Invalid]:
    for mode, attribute in (
        ("BridgeInterface", "bridge_interface"),
        ("InterfaceNamePrefix", "interface_name_prefix"),
    ):
        if config.detect_local_mode == mode and not getattr(config, attribute):
            name = next(path for path, known in _GENERAL.items() if known[0] == attribute)
            yield Invalid(
                f"detectLocalMode {mode} needs {name}", where=document.where(("detectLocalMode",))
            )
