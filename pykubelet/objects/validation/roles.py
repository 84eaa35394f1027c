"""Roles and bindings. Source: the API reference of rbac.authorization.k8s.io/v1."""

from __future__ import annotations

from pykubelet.objects import fields, names
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import label_selector
from pykubelet.objects.validation.rules import Errors, Json, named

_GROUP = "rbac.authorization.k8s.io"


def role(obj: Json) -> Errors:
    """A Role or a ClusterRole."""
    namespaced = obj.get("kind") == "Role"
    for index, rule in enumerate(obj.get("rules") or ()):
        yield from _rule(rule, namespaced, ("rules", index))
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        selectors, at = aggregation.get("clusterRoleSelectors") or [], ("aggregationRule",)
        if not selectors:
            yield fields.required(
                (*at, "clusterRoleSelectors"),
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            )
        for index, selector in enumerate(selectors):
            yield from label_selector(selector, (*at, "clusterRoleSelectors", index))


def binding(obj: Json) -> Errors:
    """A RoleBinding or a ClusterRoleBinding."""
    namespaced = obj.get("kind") == "RoleBinding"
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != _GROUP:
        yield fields.not_supported(("roleRef", "apiGroup"), reference.get("apiGroup"), (_GROUP,))
    kinds = ("ClusterRole", "Role") if namespaced else ("ClusterRole",)
    if reference.get("kind") not in kinds:
        yield fields.not_supported(("roleRef", "kind"), reference.get("kind") or "", kinds)
    if not reference.get("name"):
        yield fields.required(("roleRef", "name"))
    else:
        yield from named(reference["name"], ("roleRef", "name"), names.path_segment)
    for index, subject in enumerate(obj.get("subjects") or ()):
        yield from _subject(subject, namespaced, ("subjects", index))


def binding_update(new: Json, old: Json) -> Errors:
    if new.get("roleRef") != old.get("roleRef"):
        yield fields.invalid(("roleRef",), new.get("roleRef"), "cannot change roleRef")


def _rule(rule: Json, namespaced: bool, at: Path) -> Errors:
    if not rule.get("verbs"):
        yield fields.required((*at, "verbs"), "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            yield fields.invalid(
                (*at, "nonResourceURLs"),
                urls,
                "namespaced rules cannot apply to non-resource URLs",
            )
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            yield fields.invalid(
                (*at, "nonResourceURLs"),
                urls,
                "rules cannot apply to both regular resources and non-resource URLs",
            )
        return
    if not rule.get("apiGroups"):
        yield fields.required(
            (*at, "apiGroups"), "resource rules must supply at least one api group"
        )
    if not rule.get("resources"):
        yield fields.required(
            (*at, "resources"), "resource rules must supply at least one resource"
        )


def _subject(subject: Json, namespaced: bool, at: Path) -> Errors:
    if not subject.get("name"):
        yield fields.required((*at, "name"))
    group = subject.get("apiGroup") or ""
    match subject.get("kind"):
        case "ServiceAccount":
            if subject.get("name"):
                yield from named(subject["name"], (*at, "name"), names.dns_subdomain)
            if group:
                yield fields.not_supported((*at, "apiGroup"), group, ("",))
            if not subject.get("namespace") and not namespaced:
                yield fields.required((*at, "namespace"))
        case "User" | "Group":
            if group != _GROUP:
                yield fields.not_supported((*at, "apiGroup"), group, (_GROUP,))
        case kind:
            yield fields.not_supported(
                (*at, "kind"), kind or "", ("Group", "ServiceAccount", "User")
            )
