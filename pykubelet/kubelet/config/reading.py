"""A KubeletConfiguration document into settings, each with the place it was read from.

`read` walks what `objects.documents` decoded along the fields that upstream has. What it finds goes
into a `Layer`: the settings given there, and a sentence for each field that is not acted on. It
complains about everything that is wrong in a document at once, each with file, line and field.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.kubelet.config.configuration import TABLE
from pykubelet.kubelet.config.ignored import HARMLESS, IGNORED
from pykubelet.kubelet.config.kinds import Kind, Path, Refused, Unknown, shown
from pykubelet.kubelet.config.settings import Setting
from pykubelet.objects.documents import Document

API_VERSION = "kubelet.config.k8s.io/v1beta1"
KIND = "KubeletConfiguration"


@dataclass(frozen=True, slots=True)
class Given:
    """A typed value, and where it comes from: `file:line`, or a flag's name."""

    value: Any
    where: str


@dataclass(slots=True)
class Layer:
    """What one file, or the command line, says. Keys are attributes of Configuration."""

    given: dict[str, Given] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    merges: bool = True
    """Whether its maps are merged into those of earlier layers, or replace them."""


class Rejected(Invalid):
    """A configuration with one or more mistakes; `problems` has each by itself."""

    def __init__(self, problems: list[Invalid]) -> None:
        self.problems = tuple(problems)
        first = problems[0]
        super().__init__(
            first.what,
            where=first.where,
            expected=first.expected,
            found=first.found,
            remedy=first.remedy,
        )

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


@dataclass(frozen=True, slots=True)
class _Leaf:
    kind: Kind
    setting: Setting | None
    why_ignored: str = ""


_Tree = dict[str, Any]  # field name → _Leaf or _Tree


def _tree() -> _Tree:
    root: _Tree = {}
    leaves = {s.path: _Leaf(s.kind, s) for s in TABLE if s.path}
    leaves |= {path: _Leaf(kind, None, why) for path, (kind, why) in IGNORED.items()}
    for path, leaf in leaves.items():
        *parents, last = path.split(".")
        node = root
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = leaf
    return root


_FIELDS = _tree()


def read(document: Document) -> Layer:
    """Raises Rejected, which names every mistake."""
    layer = Layer()
    problems = list(_type_problems(document))
    body = {k: v for k, v in document.object.items() if k not in ("apiVersion", "kind")}
    problems += _walk(document, body, _FIELDS, (), layer)
    if problems:
        raise Rejected(problems)
    return layer


def _type_problems(document: Document) -> Iterator[Invalid]:
    for name, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        found = document.object.get(name)
        if found != expected:
            yield Invalid(
                f"{name} does not say what this file is",
                where=document.where((name,)),
                expected=f"{name}: {expected}",
                found=shown(found) if name in document.object else "no such field",
            )


def _walk(
    document: Document, value: dict[str, Any], fields: _Tree, path: Path, layer: Layer
) -> Iterator[Invalid]:
    for name, item in value.items():
        here = (*path, name)
        known = fields.get(name)
        if known is None:
            yield _unknown(document, here, tuple(fields))
        elif item is None:
            continue  # as upstream: null is the same as leaving the field out
        elif isinstance(known, _Leaf):
            yield from _take(document, item, known, here, layer)
        elif isinstance(item, dict):
            yield from _walk(document, item, known, here, layer)
        else:
            yield _wrong(document, here, Refused(f"a map with {', '.join(known)}", item))


def _take(
    document: Document, item: Any, leaf: _Leaf, path: Path, layer: Layer
) -> Iterator[Invalid]:
    try:
        value = leaf.kind.read(item)
    except Unknown as error:
        yield _unknown(document, (*path, *error.path), error.known)
    except Refused as error:
        yield _wrong(document, path, error)
    else:
        where, name = document.where(path), dotted(path)
        if leaf.setting:
            layer.given[leaf.setting.attribute] = Given(value, where)
        elif value not in HARMLESS.get(name, ()):
            layer.ignored.append(f"{where}: {name} is not acted on: {leaf.why_ignored}")


def _unknown(document: Document, path: Path, known: tuple[str, ...]) -> Invalid:
    name = str(path[-1])
    by_lower = {field.lower(): field for field in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return Invalid(
        f"unknown field {dotted(path)}",
        where=document.where(path),
        expected=f"a field of {API_VERSION} {KIND}",
        remedy=f"did you mean {dotted((*path[:-1], by_lower[near[0]]))}?" if near else "",
    )


def _wrong(document: Document, path: Path, error: Refused) -> Invalid:
    full = (*path, *error.path)
    return Invalid(
        f"{dotted(full)} has a wrong value",
        where=document.where(full),
        expected=error.expected,
        found=error.found,
    )


def dotted(path: Path) -> str:
    """`("a", 0, "b.c")` → `a[0]["b.c"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif "." in step:
            text += f'["{step}"]'
        else:
            text += f".{step}" if text else step
    return text
