"""The roles and bindings that every cluster has, from `default_roles.table`.

Source: "Using RBAC Authorization", default roles and role bindings.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_GROUP = "rbac.authorization.k8s.io"
_API_VERSION = f"{_GROUP}/v1"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS = {f"{_GROUP}/autoupdate": "true"}
_VERBS = {
    "read": ("get", "list", "watch"),
    "write": ("create", "delete", "deletecollection", "patch", "update"),
    "all": ("*",),
}


def roles() -> Iterator[Json]:
    """The ClusterRoles."""
    for words, lines in _sections():
        if words[0] != "role":
            continue
        role: Json = _object("ClusterRole", words[1])
        facts = dict(word.partition("=")[::2] for word in words[2:])
        if "into" in facts:
            role["metadata"]["labels"] = {
                **_LABELS, f"{_GROUP}/aggregate-to-{facts['into']}": "true"
            }  # fmt: skip
        if "from" in facts:
            selector = {"matchLabels": {f"{_GROUP}/aggregate-to-{facts['from']}": "true"}}
            role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
        role["rules"] = [_rule(line.split()) for line in lines]
        yield role


def bindings() -> Iterator[Json]:
    """The ClusterRoleBindings."""
    for words, _ in _sections():
        if words[0] != "bind":
            continue
        binding = _object("ClusterRoleBinding", words[1])
        binding["roleRef"] = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": words[1]}
        binding["subjects"] = [_subject(word) for word in words[2:]]
        yield binding


def _object(kind: str, name: str) -> Json:
    metadata = {"name": name, "labels": dict(_LABELS), "annotations": dict(_ANNOTATIONS)}
    return {"apiVersion": _API_VERSION, "kind": kind, "metadata": metadata}


def _rule(words: list[str]) -> Json:
    verbs = [v for word in words[0].split(",") for v in _VERBS.get(word, (word,))]
    if words[1].startswith("/"):
        return {"verbs": verbs, "nonResourceURLs": words[1].split(",")}
    group, _, resources = words[1].partition(":")
    rule = {"verbs": verbs, "apiGroups": ["" if group == "core" else group],
            "resources": resources.split(",")}  # fmt: skip
    if len(words) > 2:
        rule["resourceNames"] = words[2].split(",")
    return rule


def _subject(word: str) -> Json:
    kind, _, name = word.partition("=")
    if kind == "account":
        namespace, _, name = name.partition("/")
        return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    return {"kind": kind.capitalize(), "name": name, "apiGroup": _GROUP}


def _sections() -> Iterator[tuple[list[str], list[str]]]:
    text = Path(__file__).with_name("default_roles.table").read_text()
    head: list[str] = []
    lines: list[str] = []
    for line in [*text.splitlines(), "end"]:
        if not line or line[0] == "#":
            continue
        if line[0] == " ":
            lines.append(line)
            continue
        if head:
            yield head, lines
        head, lines = line.split(), []
