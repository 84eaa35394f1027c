"""Who may do what."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.apiserver.authorization.default_roles import bindings, roles
from pykubelet.apiserver.authorization.rbac import Attributes, Rbac, covers
from pykubelet.apiserver.cache.collection import Collection
from pykubelet.apiserver.cache.items import encode, head_of, item
from pykubelet.apiserver.users import ANONYMOUS, User

Json = dict[str, Any]
PLURALS = {"Role": "roles", "RoleBinding": "rolebindings", "ClusterRole": "clusterroles",
           "ClusterRoleBinding": "clusterrolebindings"}  # fmt: skip


def rbac_of(*objects: Json) -> Rbac:
    kept = {plural: Collection() for plural in PLURALS.values()}
    for revision, obj in enumerate([*roles(), *bindings(), *objects], 1):
        meta = obj["metadata"]
        namespace = meta.get("namespace", "")
        key = f"{namespace}/{meta['name']}" if namespace else meta["name"]
        head = head_of(obj["kind"], obj["apiVersion"])
        kept[PLURALS[obj["kind"]]].apply(
            key, revision, item(key, encode(obj), revision, head, None)
        )
    return Rbac(lambda plural: kept[plural])


def binding(role: str, within: str = "", **subject: str) -> Json:
    kind = "RoleBinding" if within else "ClusterRoleBinding"
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "b", "namespace": within},
        "roleRef": {"kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }


def on(verb: str, resource: str, namespace: str = "", **more: str) -> Attributes:
    return Attributes(verb, resource=resource, namespace=namespace, **more)


def test_masters_may_do_everything_and_nobody_almost_nothing() -> None:
    rbac = rbac_of()
    assert rbac.allows(User("root", ("system:masters",)), on("delete", "nodes"))
    assert not rbac.allows(ANONYMOUS, on("list", "pods"))
    assert rbac.allows(ANONYMOUS, Attributes("get", path="/healthz"))
    assert not rbac.allows(ANONYMOUS, Attributes("get", path="/metrics"))


def test_a_role_binding_holds_in_its_namespace_only() -> None:
    rbac = rbac_of(binding("edit", "a", kind="User", name="jane"))
    jane = User("jane")
    assert rbac.allows(jane, on("create", "pods", "a"))
    assert rbac.allows(jane, on("get", "secrets", "a"))
    assert not rbac.allows(jane, on("create", "pods", "b"))
    assert not rbac.allows(jane, on("create", "roles", "a", group="rbac.authorization.k8s.io"))


def test_aggregated_roles_have_the_rules_of_their_parts() -> None:
    rbac = rbac_of(binding("view", "a", kind="Group", name="dev"),
                   binding("admin", "b", kind="User", name="boss"))  # fmt: skip
    reader = User("x", ("dev",))
    assert rbac.allows(reader, on("list", "pods", "a"))
    assert not rbac.allows(reader, on("get", "secrets", "a"))
    assert not rbac.allows(reader, on("create", "pods", "a"))
    boss = User("boss")
    assert rbac.allows(boss, on("list", "pods", "b"))
    assert rbac.allows(boss, on("create", "roles", "b", group="rbac.authorization.k8s.io"))


def test_a_service_account_is_named_by_its_namespace() -> None:
    rbac = rbac_of(binding("view", "a", kind="ServiceAccount", name="s", namespace="home"))
    assert rbac.allows(User("system:serviceaccount:home:s"), on("get", "pods", "a"))
    assert not rbac.allows(User("system:serviceaccount:a:s"), on("get", "pods", "a"))


@pytest.mark.parametrize(
    ("rule", "wanted", "allowed"),
    [
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, on("get", "pods"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
         on("get", "pods", subresource="log"), False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]},
         on("get", "pods", subresource="log"), True),
        ({"verbs": ["get"], "apiGroups": ["*"], "resources": ["*/log"]},
         on("get", "pods", subresource="log"), True),
        ({"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*"]}, on("get", "pods"), False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
         on("get", "pods", name="a"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
         on("get", "pods", name="b"), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/x/*"]}, Attributes("get", path="/x/y"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/x"]}, Attributes("get", path="/x/y"), False),
    ],
)  # fmt: skip
def test_rules(rule: Json, wanted: Attributes, allowed: bool) -> None:
    assert covers(rule, wanted) is allowed
