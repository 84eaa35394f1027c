"""Objects in protobuf: what goes in comes out, and the bytes are upstream's."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Invalid
from pykubelet.objects.schema import tables
from pykubelet.objects.wire import objects

POD: dict[str, Any] = {
    "metadata": {"name": "web", "creationTimestamp": "2020-01-02T03:04:05Z",
                 "labels": {"a": "b", "c": "d"}, "generation": 7,
                 "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}]},
    "spec": {
        "containers": [
            {
                "name": "c",
                "command": ["a", "b"],
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 5},
                "readinessProbe": {"tcpSocket": {"port": 8080}},
                "securityContext": {"privileged": False, "runAsUser": -1},
            }
        ],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "secret": {"secretName": "s"}}],
        "terminationGracePeriodSeconds": 0,
        "ephemeralContainers": [{"name": "e", "image": "i", "targetContainerName": "c"}],
    },
}  # fmt: skip


def test_a_pod_survives_the_journey() -> None:
    message = objects.encode("core/v1.Pod", POD)
    assert objects.decode("core/v1.Pod", message) == POD


@pytest.mark.parametrize(
    ("name", "tree"),
    [
        ("core/v1.Secret", {"data": {"k": "aGk="}, "type": "Opaque"}),
        ("coordination/v1.LeaseSpec", {"renewTime": "2020-01-02T03:04:05.678901Z",
                                       "leaseDurationSeconds": 40}),
        ("authentication/v1.UserInfo", {"username": "u", "extra": {"k": ["a", "b"], "e": []}}),
        ("apps/v1.ControllerRevision", {"revision": 3, "data": {"spec": {"x": [1, None]}}}),
        ("apiextensions/v1.CustomResourceValidation", {"openAPIV3Schema": {
            "type": "object", "maximum": 1.5, "default": {"a": 1},
            "properties": {"a": {"items": {"type": "string"}, "additionalProperties": False},
                           "b": {"additionalProperties": {"type": "integer"},
                                 "enum": ["x", 1]}}}}),
        ("autoscaling/v2.HorizontalPodAutoscalerSpec", {"minReplicas": 0, "maxReplicas": 3,
            "scaleTargetRef": {"kind": "Deployment", "name": "d"}}),
        ("meta/v1.ListMeta", {"remainingItemCount": 5, "continue": "x"}),
    ],
)  # fmt: skip
def test_special_types_survive_too(name: str, tree: dict[str, Any]) -> None:
    assert objects.decode(name, objects.encode(name, tree)) == tree


def test_the_bytes_are_those_of_the_go_client() -> None:
    """Written down from what a client of the reference sends for a namespace called demo."""
    assert objects.encode("meta/v1.ObjectMeta", {"name": "demo"}) == b"\n\x04demo"
    whole = objects.envelope("v1", "Namespace", b"\n\x06\n\x04demo")
    assert whole == b"k8s\x00\n\x0f\n\x02v1\x12\tNamespace\x12\x08\n\x06\n\x04demo"
    assert objects.open_envelope(whole) == ("v1", "Namespace", b"\n\x06\n\x04demo")


def test_numbers_that_are_packed_are_read() -> None:
    packed = b"\x22\x03\x01\x02\x03"  # supplementalGroups, three numbers in one block
    assert objects.decode("core/v1.PodSecurityContext", packed) == {"supplementalGroups": [1, 2, 3]}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for text in (data, objects.MAGIC + data):
        try:
            _, _, message = objects.open_envelope(text)
            objects.decode("core/v1.Pod", message)
        except (Invalid, UnicodeDecodeError):
            pass
    try:
        objects.decode("core/v1.Pod", data)
    except (Invalid, UnicodeDecodeError, OverflowError, ValueError):
        pass


def test_depth_bombs_are_refused() -> None:
    nested: dict[str, Any] = {}
    for _ in range(150):
        nested = {"not": nested}
    with pytest.raises(Invalid):
        objects.decode(
            "apiextensions/v1.JSONSchemaProps",
            objects.encode("apiextensions/v1.JSONSchemaProps", nested),
        )


@pytest.mark.parametrize("seed", range(40))
def test_random_objects_of_every_package_survive(seed: int) -> None:
    from tests.unit.objects.validation.test_pods import _structure

    rng = random.Random(seed)
    package = tables.packages()[seed % len(tables.packages())]
    short = rng.choice(tables.names(package))
    if tables.type_of(f"{package}.{short}").wrapper or package in ("meta/v1", "apiextensions/v1"):
        return
    tree = _structure(f"{package}.{short}", rng)
    once = objects.decode(f"{package}.{short}", objects.encode(f"{package}.{short}", tree))
    again = objects.decode(f"{package}.{short}", objects.encode(f"{package}.{short}", once))
    assert again == once
