"""Nobody hands out by roles and bindings what they may not do themselves.

Upstream does this in the storage of the RBAC kinds, so it can't be switched off here either. Who
may `escalate` a role, or `bind` it, is excepted. Source: "Using RBAC Authorization", privilege
escalation prevention and bootstrapping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pykubelet.apiserver import status
from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin
from pykubelet.apiserver.authorization.rbac import Attributes
from pykubelet.apiserver.users import MASTERS
from pykubelet.objects import selectors

Json = dict[str, Any]

_GROUP = "rbac.authorization.k8s.io"
_ROLES = (f"roles.{_GROUP}", f"clusterroles.{_GROUP}")
_BINDINGS = (f"rolebindings.{_GROUP}", f"clusterrolebindings.{_GROUP}")
_EVERYTHING = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


async def _check(asked: Asked) -> None:
    if asked.operation not in (CREATE, UPDATE) or MASTERS in asked.user.groups:
        return
    if asked.resource in _ROLES:
        _check_role(asked)
    elif asked.resource in _BINDINGS:
        _check_binding(asked)


def _check_role(asked: Asked) -> None:
    old, new = asked.old or {}, asked.new
    keys = ("rules", "aggregationRule")
    if asked.operation == UPDATE and all(old.get(key) == new.get(key) for key in keys):
        return
    if _may(asked, "escalate", asked.call.resource.plural, asked.name):
        return
    if new.get("aggregationRule") and any(_missing(asked, _EVERYTHING)):
        raise asked.forbidden("must have cluster-admin privileges to use an aggregationRule")
    _refuse_if_missing(asked, new.get("rules") or ())


def _check_binding(asked: Asked) -> None:
    old, new = asked.old or {}, asked.new
    keys = ("roleRef", "subjects")
    if asked.operation == UPDATE and all(old.get(key) == new.get(key) for key in keys):
        return
    reference = new.get("roleRef") or {}
    plural = "roles" if reference.get("kind") == "Role" else "clusterroles"
    name = reference.get("name") or ""
    if not _may(asked, "bind", plural, name):
        _refuse_if_missing(asked, _rules_of(asked, plural, name))


def _may(asked: Asked, verb: str, plural: str, name: str) -> bool:
    wanted = Attributes(verb, _GROUP, plural, "", asked.namespace, name)
    return bool(asked.call.parts.allows(asked.user, wanted))


def _rules_of(asked: Asked, plural: str, name: str) -> list[Json]:
    """The rules of a role, those that it aggregates included."""
    namespace = asked.namespace if plural == "roles" else ""
    role = asked.object(f"{plural}.{_GROUP}", name, namespace)
    if role is None:
        resource = asked.call.parts.registry.find(_GROUP, "v1", plural)
        assert resource is not None
        raise status.not_found(resource, name)
    rules = list(role.get("rules") or ())
    chosen = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    if chosen:
        for other in asked.objects(f"clusterroles.{_GROUP}"):
            labels = other["metadata"].get("labels")
            matched = any(selectors.matches(selectors.from_object(one), labels) for one in chosen)
            if matched and other["metadata"]["name"] != name:
                rules += _rules_of(asked, "clusterroles", other["metadata"]["name"])
    return rules


def _refuse_if_missing(asked: Asked, rules: Iterable[Json]) -> None:
    missing = list(_missing(asked, rules))
    if missing:
        groups = " ".join(f'"{group}"' for group in asked.user.groups)
        listed = "\n".join(sorted({_shown(one) for one in missing}))
        raise asked.forbidden(
            f'user "{asked.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions '
            f"not currently held:\n{listed}"
        )


def _missing(asked: Asked, rules: Iterable[Json]) -> Iterator[Attributes]:
    """What the rules allow and the asker may not do."""
    for rule in rules:
        for wanted in _atoms(rule, asked.namespace):
            if not asked.call.parts.allows(asked.user, wanted):
                yield wanted


def _atoms(rule: Json, namespace: str) -> Iterator[Attributes]:
    """A rule taken apart. A `*` in it stands for itself: only a `*` covers it."""
    for verb in rule.get("verbs") or ():
        for path in rule.get("nonResourceURLs") or ():
            yield Attributes(verb, path=path)
        for group in rule.get("apiGroups") or ():
            for full in rule.get("resources") or ():
                resource, _, subresource = full.partition("/")
                for name in rule.get("resourceNames") or ("",):
                    yield Attributes(verb, group, resource, subresource, namespace, name)


def _shown(one: Attributes) -> str:
    if one.path:
        return f'{{NonResourceURLs:["{one.path}"], Verbs:["{one.verb}"]}}'
    full = f"{one.resource}/{one.subresource}" if one.subresource else one.resource
    names = f', ResourceNames:["{one.name}"]' if one.name else ""
    return f'{{APIGroups:["{one.group}"], Resources:["{full}"]{names}, Verbs:["{one.verb}"]}}'


PLUGIN = Plugin("RBACEscalation", check=_check)
