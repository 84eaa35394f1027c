"""The resources that are served: one table, `builtin.table`, and what custom definitions add.

Discovery, routing, storage keys and authorization all read this one list, so they can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykubelet.objects import schema
from pykubelet.objects.structural.shapes import StructuralShape

Json = dict[str, Any]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """Something below an object: `pods/log`. `kind` is what goes in and out, with its
    group-version where that is another than the resource's."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group_version: str = ""


@dataclass(frozen=True, slots=True)
class Custom:
    """What a definition says about a custom resource in one version."""

    schema: Json
    columns: tuple[Json, ...] = ()
    scale: Json | None = None
    selectable: tuple[str, ...] = ()
    definition: str = ""

    @property
    def shape(self) -> StructuralShape:
        return StructuralShape(self.schema, root=True)


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource in one version. `type_name` is its type's in the schema tables, empty for
    custom resources; `folder` is where its objects are stored."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    type_name: str = ""
    folder: str = ""
    stored_as: str = ""
    """The group-version that its objects are stored in, where that is another than this one."""
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    custom: Custom | None = None

    @property
    def group_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`pods`, `deployments.apps`: how messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def stored(self) -> bool:
        """Whether there are objects of it, rather than only answers to requests."""
        return bool(self.folder)

    def subresource(self, name: str) -> Subresource | None:
        return next((one for one in self.subresources if one.name == name), None)

    def key(self, namespace: str, name: str) -> str:
        """Where an object is stored."""
        return f"{self.prefix(namespace)}{name}"

    def prefix(self, namespace: str = "") -> str:
        """Where all objects, or those of a namespace, are stored."""
        if self.namespaced and namespace:
            return f"/registry/{self.folder}/{namespace}/"
        return f"/registry/{self.folder}/"


class Registry:
    """The resources there are at this moment."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._resources = {(r.group, r.version, r.plural): r for r in resources}

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources.values())

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._resources.get((group, version, plural))

    def of_kind(self, group_version: str, kind: str) -> Resource | None:
        """The resource that an object with this apiVersion and kind belongs to."""
        return next((r for r in self if r.kind == kind and r.group_version == group_version), None)

    def groups(self) -> dict[str, list[str]]:
        """The versions of each group, preferred first, groups in the order of the table."""
        found: dict[str, list[str]] = {}
        for one in self:
            versions = found.setdefault(one.group, [])
            if one.version not in versions:
                versions.append(one.version)
        return {group: sorted(versions, key=_newest_first) for group, versions in found.items()}

    def add(self, resource: Resource) -> None:
        self._resources[resource.group, resource.version, resource.plural] = resource

    def remove(self, resource: Resource) -> None:
        self._resources.pop((resource.group, resource.version, resource.plural), None)


def builtin() -> Registry:
    """What the API has of its own."""
    text = Path(__file__).with_name("builtin.table").read_text()
    made: list[Resource] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0] == "#":
            continue
        if line[0] == " ":
            last = made.pop()
            made.append(_with_subresource(last, words))
        else:
            made.append(_resource(words))
    return Registry(made)


def _resource(words: list[str]) -> Resource:
    group_version, plural, kind, scope, *rest = words
    group, _, version = group_version.rpartition("/")
    facts = dict(word.partition("=")[::2] for word in rest)
    verbs: tuple[str, ...] = tuple(facts["verbs"].split(",")) if "verbs" in facts else ALL_VERBS
    stored = "create" in verbs and "list" in verbs
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced=scope == "namespaced",
        type_name=schema.kind_type(group_version, kind) or "",
        folder=facts.get("folder", plural) if stored else "",
        stored_as=facts.get("as", ""),
        singular=kind.lower(),
        short_names=tuple(facts["short"].split(",")) if "short" in facts else (),
        categories=tuple(facts["in"].split(",")) if "in" in facts else (),
        verbs=verbs,
    )


def _with_subresource(resource: Resource, words: list[str]) -> Resource:
    name, verbs, *rest = words
    group_version, _, kind = rest[0].rpartition(":") if rest else ("", "", "")
    one = Subresource(name, tuple(verbs.split(",")), kind or resource.kind, group_version)
    return Resource(**{
        **{key: getattr(resource, key) for key in Resource.__slots__},
        "subresources": (*resource.subresources, one),
    })  # fmt: skip


def _newest_first(version: str) -> tuple[int, int, int]:
    """Stable before beta before alpha, higher before lower."""
    major, mark, minor = version.removeprefix("v"), 0, "0"
    for level, word in ((1, "beta"), (2, "alpha")):
        if word in version:
            major, _, minor = version.removeprefix("v").partition(word)
            mark = level
    return mark, -int(major or 0), -int(minor or 0)
