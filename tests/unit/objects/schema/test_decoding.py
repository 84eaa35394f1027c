"""The one form that the API stores and shows."""

from __future__ import annotations

from typing import Any

from pykubelet.objects.schema.decoding import decode


def made(name: str, tree: dict[str, Any]) -> dict[str, Any]:
    result, findings = decode(name, tree)
    assert not findings.wrong
    assert not findings.unknown
    return result


def test_empty_values_go_where_empty_means_absent() -> None:
    assert made("core/v1.ObjectReference", {"kind": "", "name": None, "uid": "x"}) == {"uid": "x"}
    kept = made("core/v1.PodSpec", {"containers": [], "terminationGracePeriodSeconds": 0,
                                    "hostNetwork": False, "volumes": []})  # fmt: skip
    assert kept == {"containers": [], "terminationGracePeriodSeconds": 0}


def test_structures_that_are_always_there_appear() -> None:
    assert made("core/v1.Container", {"name": "c"}) == {"name": "c", "resources": {}}
    assert made("core/v1.Service", {}) == {
        "metadata": {}, "spec": {}, "status": {"loadBalancer": {}}
    }  # fmt: skip
    assert made("rbac/v1.Role", {}) == {"metadata": {}, "rules": None}


def test_quantities_and_times_are_spelled_in_one_way() -> None:
    tree: dict[str, Any] = {"limits": {"cpu": "1000m", "memory": 1024}}
    assert made("core/v1.ResourceRequirements", tree) == {"limits": {"cpu": "1", "memory": "1024"}}
    tree = {"creationTimestamp": "2020-01-02T03:04:05.678+01:00"}
    assert made("meta/v1.ObjectMeta", tree) == {"creationTimestamp": "2020-01-02T02:04:05Z"}
    lease = {"renewTime": "2020-01-02T03:04:05.5Z"}
    assert made("coordination/v1.LeaseSpec", lease) == {"renewTime": "2020-01-02T03:04:05.500000Z"}


def test_unknown_fields_are_left_out_and_named_and_wrong_ones_refused() -> None:
    result, findings = decode("core/v1.Container", {"name": "c", "imagee": "x", "tty": "yes"})
    assert "imagee" not in result
    assert [e.path for e in findings.unknown] == [("imagee",)]
    assert [e.path for e in findings.wrong] == [("tty",)]


def test_decoding_twice_changes_nothing() -> None:
    tree = {"metadata": {"name": "x", "labels": {"b": "1", "a": None}},
            "spec": {"ports": [{"port": 80, "targetPort": "x"}]}}  # fmt: skip
    once = made("core/v1.Service", tree)
    assert made("core/v1.Service", once) == once
    assert once["metadata"]["labels"] == {"b": "1", "a": ""}
