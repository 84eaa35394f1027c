"""Role-based access control, decided from the cached roles and bindings.

The rules of each role are compiled once for each revision of it. Source: "Using RBAC
Authorization".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pykubelet.apiserver.cache.collection import Collection
from pykubelet.apiserver.cache.items import Item
from pykubelet.apiserver.users import MASTERS, User

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do. `path` is for what isn't a resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Rbac:
    """`of` gives the collection of a resource by its plural: roles, rolebindings, and so on."""

    def __init__(self, of: Callable[[str], Collection]) -> None:
        self._of = of
        self._parsed: dict[tuple[str, str], tuple[int, Json]] = {}

    def allows(self, user: User, wanted: Attributes) -> str:
        """Why it is allowed, in a few words; nothing if it isn't."""
        if MASTERS in user.groups:
            return f"group {MASTERS}"
        for binding, rules in self._rules_of(user, wanted.namespace):
            if any(covers(rule, wanted) for rule in rules):
                return binding
        return ""

    def rules_of(self, user: User, namespace: str) -> list[Json]:
        """All rules that hold for somebody, in the cluster and in a namespace."""
        if MASTERS in user.groups:
            everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
            return [everything, {"nonResourceURLs": ["*"], "verbs": ["*"]}]
        return [rule for _, rules in self._rules_of(user, namespace) for rule in rules]

    def _rules_of(self, user: User, namespace: str) -> Iterator[tuple[str, list[Json]]]:
        for item in self._of("clusterrolebindings").items():
            binding = self._tree("clusterrolebindings", item)
            if _is_meant(user, binding, ""):
                why = f'ClusterRoleBinding "{item.name}"'
                yield why, self._role("", binding["roleRef"])
        if namespace:
            for item in self._of("rolebindings").items(namespace):
                binding = self._tree("rolebindings", item)
                if _is_meant(user, binding, namespace):
                    why = f'RoleBinding "{item.key}"'
                    yield why, self._role(namespace, binding["roleRef"])

    def _role(self, namespace: str, reference: Json) -> list[Json]:
        kind, name = reference["kind"], reference["name"]
        if kind == "ClusterRole":
            return self.cluster_rules(name)
        item = self._of("roles").get(f"{namespace}/{name}")
        return self._tree("roles", item).get("rules") or [] if item else []

    def cluster_rules(self, name: str) -> list[Json]:
        item = self._of("clusterroles").get(name)
        if item is None:
            return []
        role = self._tree("clusterroles", item)
        selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
        rules: list[Json] = list(role.get("rules") or ())
        if selectors:
            from pykubelet.objects.selectors import from_object, matches

            for other in self._of("clusterroles").items():
                chosen = any(matches(from_object(one), other.labels) for one in selectors)
                if chosen and other.key != name:
                    rules += self.cluster_rules(other.name)
        return rules

    def _tree(self, plural: str, item: Item) -> Json:
        """Parsed once for each revision: only roles and bindings are kept, and they are small."""
        key = plural, item.key
        known = self._parsed.get(key)
        if known is None or known[0] != item.revision:
            if len(self._parsed) > 10_000:
                self._parsed.clear()
            known = self._parsed[key] = item.revision, item.tree()
        return known[1]


def covers(rule: Json, wanted: Attributes) -> bool:
    """Whether a PolicyRule allows it."""
    if not _any_of(rule.get("verbs"), wanted.verb):
        return False
    if wanted.path:
        return any(_path_fits(one, wanted.path) for one in rule.get("nonResourceURLs") or ())
    if not _any_of(rule.get("apiGroups"), wanted.group):
        return False
    full = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    resources = rule.get("resources") or ()
    if not (
        "*" in resources
        or full in resources
        or (wanted.subresource and f"*/{wanted.subresource}" in resources)
    ):
        return False
    names = rule.get("resourceNames")
    return not names or wanted.name in names


def _any_of(choices: Iterable[str] | None, value: str) -> bool:
    return choices is not None and ("*" in choices or value in choices)


def _path_fits(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return pattern == path


def _is_meant(user: User, binding: Json, namespace: str) -> bool:
    for subject in binding.get("subjects") or ():
        name = subject.get("name")
        match subject.get("kind"):
            case "User" if name == user.name:
                return True
            case "Group" if name in user.groups:
                return True
            case "ServiceAccount":
                home = subject.get("namespace") or namespace
                if user.name == f"system:serviceaccount:{home}:{name}":
                    return True
    return False
