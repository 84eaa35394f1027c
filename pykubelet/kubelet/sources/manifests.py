"""From the text of a manifest file to the pods that it asks for. Pure.

`folder` reads the files and calls `parse`; what comes back is either everything that the file
holds or one refusal that says where and why, so that a file never counts half. A static pod gets a
name that carries its node's and an identity that follows from the manifest alone: the same file
gives the same UID on every version of the agent, so an upgrade restarts nothing.

CPU and memory of containers stay out of the identity: an edit of those alone is the same pod,
resized in place, unless it would change the pod's QoS class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from pykubelet.errors import Invalid
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.edits import without_resizable
from pykubelet.objects import documents
from pykubelet.objects.defaults.pods import default
from pykubelet.objects.documents import Document
from pykubelet.objects.fields import FieldError
from pykubelet.objects.resources import qos_class
from pykubelet.objects.schema import check
from pykubelet.objects.validation.pods import validate

Json = dict[str, Any]

_TYPES = {"Pod": "Pod", "ConfigMap": "ConfigMap", "Secret": "Secret"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one file holds. ConfigMaps and Secrets serve the static pods of the same folder."""

    path: str
    pods: tuple[Json, ...] = ()
    config_maps: tuple[Json, ...] = ()
    secrets: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a file does not count. `problems` are sentences, each with its line where it has one."""

    path: str
    problems: tuple[str, ...] = field(default_factory=tuple)

    @property
    def sentence(self) -> str:
        more = len(self.problems) - 1
        return self.problems[0] + (f" (and {more} more)" if more else "")


def parse(text: str, path: str, node_name: str) -> Manifest | Refusal:
    """Read, check, default and validate; name and identify the pods for this node."""
    try:
        found = documents.read(text, path)
    except Invalid as error:
        return Refusal(path, (str(error),))
    problems: list[str] = []
    kinds: dict[str, list[Json]] = {kind: [] for kind in _TYPES}
    if not found:
        problems.append(f"{path}: expected at least one Pod; found an empty file")
    for document in found:
        for at, item in _items(document):
            kind = _kind(item)
            if kind is None:
                problems.append(_wrong_kind(document, at, item))
                continue
            faults = list(_faults(document, at, kind, item))
            problems += faults
            if not faults:
                kinds[kind].append(static_pod(item, path, node_name) if kind == "Pod" else item)
    problems += _twice(path, kinds["Pod"])
    if problems:
        return Refusal(path, tuple(problems))
    return Manifest(path, tuple(kinds["Pod"]), tuple(kinds["ConfigMap"]), tuple(kinds["Secret"]))


def static_pod(manifest: Json, path: str, node_name: str) -> Json:
    """The pod that this node runs for a checked manifest: named, identified and defaulted."""
    metadata = manifest["metadata"]
    own = dict(metadata.get("annotations") or {})
    own[spec.CONFIG_SOURCE] = "file"
    own[spec.CONFIG_HASH] = manifest_hash(manifest, path, node_name)
    pod = {
        **manifest,
        "metadata": {
            **metadata,
            "name": f"{metadata['name']}-{node_name}".lower(),
            "namespace": metadata.get("namespace") or "default",
            "uid": metadata.get("uid") or identity(manifest, path, node_name),
            "annotations": own,
        },
        "spec": {
            **manifest["spec"],
            "nodeName": node_name,
            # A static pod stays whatever its node is tainted with.
            "tolerations": [
                *(manifest["spec"].get("tolerations") or ()),
                {"operator": "Exists", "effect": "NoExecute"},
            ],
        },
    }
    pod.pop("status", None)
    return default(pod)


def manifest_hash(manifest: Json, path: str, node_name: str) -> str:
    """32 hex digits over the manifest as it stands in the file, and where it stands."""
    return _digest([manifest, path, node_name])


def identity(manifest: Json, path: str, node_name: str) -> str:
    """The UID of the static pod: like the hash, but blind to what can be resized in place."""
    fixed = {
        **manifest,
        "spec": {
            **manifest["spec"],
            **{
                key: [without_resizable(c) for c in manifest["spec"][key]]
                for key in ("containers", "initContainers")
                if manifest["spec"].get(key)
            },
        },
    }
    return _digest([fixed, qos_class(manifest), path, node_name])


def _digest(value: object) -> str:
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:32]


# -- checking ---------------------------------------------------------------------------------


def _items(document: Document) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """The objects of a document: itself, or what a List holds; with the path to each."""
    object_ = document.object
    if isinstance(object_, dict) and str(object_.get("kind", "")).endswith("List"):
        for number, item in enumerate(object_.get("items") or ()):
            yield ("items", number), item
    else:
        yield (), object_


def _kind(item: object) -> str | None:
    if not isinstance(item, dict) or item.get("apiVersion") != "v1":
        return None
    return _TYPES.get(str(item.get("kind")))


def _wrong_kind(document: Document, at: tuple[str | int, ...], item: object) -> str:
    found = (
        f"{item.get('apiVersion')}/{item.get('kind')}"
        if isinstance(item, dict)
        else type(item).__name__
    )
    return (
        f"{document.source}:{document.line(at)}: expected a v1 Pod (or a ConfigMap or Secret for "
        f"one); found {found}"
    )


def _faults(document: Document, at: tuple[str | int, ...], kind: str, item: Json) -> Iterator[str]:
    errors = check(f"core/v1.{kind}", item) + list(_null_items(item, ()))
    if not errors and kind == "Pod":
        if not (item.get("metadata") or {}).get("name"):
            yield f"{document.source}:{document.line((*at, 'metadata'))}: metadata.name: required"
            return
        errors = validate(
            default({**item, "metadata": {"namespace": "default", **item["metadata"]}})
        )
    for error in errors:
        line = document.line((*at, *error.path))
        yield f"{document.source}:{line}: {error}"


def _null_items(tree: object, path: tuple[str | int, ...]) -> Iterator[FieldError]:
    """A null is as good as an absent field, but in a list it stands for nothing anyone can mean."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _null_items(value, (*path, key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            if value is None:
                yield FieldError((*path, number), "a value", "nothing (null)", "type")
            yield from _null_items(value, (*path, number))


def _twice(path: str, pods: list[Json]) -> Iterator[str]:
    names: set[str] = set()
    for pod in pods:
        name = spec.full_name(pod)
        if name in names:
            yield f"{path}: expected each pod once; found two that are named {name}"
        names.add(name)
