"""The shape check: what has another type, what is unknown, what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.objects import schema
from pykubelet.objects.schema import tables


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "creationTimestamp": None, "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], **spec},
    }


def said(tree: Any, name: str = "core/v1.Pod") -> list[str]:
    return [str(error) for error in schema.check(name, tree)]


def test_a_good_pod_has_nothing_wrong() -> None:
    good = pod(
        terminationGracePeriodSeconds=30,
        volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
        containers=[
            {
                "name": "c",
                "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
                "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 5},
                "ports": [{"containerPort": 80}],
                "securityContext": {"capabilities": {"drop": ["ALL"]}},
            }
        ],
    )
    assert said(good) == []


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (pod(contaniers=[]), "spec.contaniers: unknown field; expected a field of PodSpec "
         "(containers?)"),
        (pod(hostNetwork="yes"), "spec.hostNetwork: expected true or false; found 'yes'"),
        (pod(containers=[{"name": "c", "image": 5}]),
         "spec.containers[0].image: expected a string; found the number 5"),
        (pod(containers={"name": "c"}), "spec.containers: expected a list; found a mapping"),
        (pod(containers=None), "spec.containers: missing; expected a value"),
        (pod(containers=[{"image": "x"}]), "spec.containers[0].name: missing; expected a value"),
        (pod(activeDeadlineSeconds=2**63), "spec.activeDeadlineSeconds: expected an integer of 64 "
         f"bits; found the number {2**63}"),
        (pod(activeDeadlineSeconds=True), "spec.activeDeadlineSeconds: expected an integer of 64 "
         "bits; found the boolean true"),
        (pod(priority=1.5), "spec.priority: expected an integer of 32 bits; found the number 1.5"),
        (pod(overhead={"cpu": "lots"}), "spec.overhead.cpu: expected a quantity, such as 100m or "
         "1.5Gi; found 'lots'"),
        ({**pod(), "metadata": {"deletionTimestamp": "soon"}}, "metadata.deletionTimestamp: "
         "expected a time, such as 2006-01-02T15:04:05Z; found 'soon'"),
        ({**pod(), "metadata": {"labels": {"a": 1}}},
         "metadata.labels.a: expected a string; found the number 1"),
        ("hello", ": expected a mapping; found 'hello'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_path(tree: Any, says: str) -> None:
    assert says in said(tree)


def test_binary_data_must_be_base64() -> None:
    assert said({"data": {"a": "aGk=", "b": "aGk=\n", "c": ""}}, "core/v1.Secret") == []
    assert said({"data": {"a": "hi!"}}, "core/v1.Secret") == [
        "data.a: expected a string in base64; found 'hi!'"
    ]


def test_custom_schemas_may_nest() -> None:
    schema_of = {"properties": {"a": {"items": {"type": "object"}, "default": [1]}}, "type": "x"}
    tree = {"openAPIV3Schema": schema_of}
    assert said(tree, "apiextensions/v1.CustomResourceValidation") == []


@pytest.mark.parametrize(
    ("api_version", "kind", "name"),
    [
        ("v1", "Pod", "core/v1.Pod"),
        ("apps/v1", "Deployment", "apps/v1.Deployment"),
        ("rbac.authorization.k8s.io/v1", "Role", "rbac/v1.Role"),
        ("networking.k8s.io/v1", "Ingress", "networking/v1.Ingress"),
        ("v1", "Status", "meta/v1.Status"),
        ("networking.example.com/v1", "Ingress", None),
        ("v1", "Container", None),
        ("v2", "Pod", None),
        ("", "", None),
    ],
)
def test_an_object_says_its_type(api_version: str, kind: str, name: str | None) -> None:
    assert schema.kind_type(api_version, kind) == name


@pytest.mark.parametrize("package", tables.packages())
def test_every_type_of_every_table_reads_and_its_references_hold(package: str) -> None:
    for short in tables.names(package):
        made = tables.type_of(f"{package}.{short}")
        schema.check(made.name, {})
        for field in made.fields.values():
            if tables.is_type(field.base):
                home = tables.type_of(field.base)
                assert all(key in home.fields for key in field.keys)
                assert not field.merge_key or field.merge_key in home.fields


def test_field_numbers_are_unique_within_a_message() -> None:
    for package in tables.packages():
        for short in tables.names(package):
            made = tables.type_of(f"{package}.{short}")
            below = {f for _, name in made.inlined for f in tables.type_of(name).fields}
            numbers = [f.number for f in made.fields.values() if f.number and f.name not in below]
            numbers += [number for number, _ in made.inlined]
            assert len(numbers) == len(set(numbers)), made.name
