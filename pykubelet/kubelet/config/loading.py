"""From files and flags to one Configuration: flags override drop-ins, which override the file.

Drop-ins are the `*.conf` files of `--config-dir` and the folders in it, in the order of their
paths. Maps are merged key by key, lists and everything else replaced, as upstream documents it
under "Kubelet Configuration Directory Merging". A map given by a flag replaces the files'.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from typing import Any

from pykubelet.errors import Failed, Invalid
from pykubelet.kubelet.config import checks, flags, reading
from pykubelet.kubelet.config.configuration import EVICTION_HARD, TABLE, Configuration
from pykubelet.kubelet.config.kinds import MapOf
from pykubelet.kubelet.config.reading import Given, Layer, Rejected
from pykubelet.objects import documents


def load(args: argparse.Namespace) -> Configuration:
    """The configuration that the parsed flags (`flags.add_flags`) and the files they name make.

    Raises Rejected, which names every mistake, and Failed if a file can't be read. Calling it again
    with the same `args` is how a running agent reloads.
    """
    layers: list[Layer] = []
    problems: list[Invalid] = []
    for path in _files(args.config, args.config_dir):
        try:
            layers.append(_read_file(path))
        except Rejected as error:
            problems += error.problems
        except Invalid as error:
            problems.append(error)
    if problems:
        raise Rejected(problems)
    return combine([*layers, flags.given(args)])


def combine(layers: Iterable[Layer]) -> Configuration:
    """Later layers override earlier ones. Raises Rejected where settings contradict each other."""
    given: dict[str, Given] = {}
    ignored: list[str] = []
    kinds = {known.attribute: known.kind for known in TABLE}
    for layer in layers:
        ignored += layer.ignored
        for attribute, new in layer.given.items():
            old = given.get(attribute)
            if old and layer.merges and isinstance(kinds[attribute], MapOf):
                new = Given({**old.value, **new.value}, new.where)
            given[attribute] = new
    config = Configuration(
        **_derived({name: one.value for name, one in given.items()}),
        ignored=tuple(ignored),
        origins={name: one.where for name, one in given.items()},
    )
    problems = list(checks.contradictions(config))
    if problems:
        raise Rejected(problems)
    return config


def _derived(values: dict[str, Any]) -> dict[str, Any]:
    """Defaults that depend on what else is given."""
    values = dict(values)
    if "node_status_update_frequency" in values:
        values.setdefault("node_status_report_frequency", values["node_status_update_frequency"])
    if values.get("max_parallel_image_pulls", 0) > 1:
        values.setdefault("serialize_image_pulls", False)
    if values.get("merge_default_eviction_settings"):
        values["eviction_hard"] = {**EVICTION_HARD, **values.get("eviction_hard", {})}
    return values


def _files(config: str, folder: str) -> list[str]:
    found = [config] if config else []
    if folder:
        if not os.path.isdir(folder):
            raise Failed(f"--config-dir {folder}: no such folder")
        found += sorted(
            os.path.join(parent, name)
            for parent, _, names in os.walk(folder)
            for name in names
            if name.endswith(".conf")
        )
    return found


def _read_file(path: str) -> Layer:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise Failed(f"can't read the configuration {path}: {error.strerror}") from error
    found = documents.read(text, path)
    if len(found) != 1:
        raise Invalid(
            "not one configuration", where=path, expected="one document", found=str(len(found))
        )
    return reading.read(found[0])
