"""Who owns which field, after updates and applies."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pykubelet.objects.patches.field_sets import Shape
from pykubelet.objects.patches.ownership import APPLY, UPDATE, Conflicts, Owner, after_update, apply

DEPLOYMENT = Shape("apps/v1.Deployment")


def who(name: str, operation: str = APPLY) -> Owner:
    return Owner(name, operation, "apps/v1", "", "2020-01-01T00:00:00Z")


def deployment(replicas: int | None = None, **images: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"template": {"spec": {"containers": [
        {"name": name, "image": image} for name, image in images.items()]}}}  # fmt: skip
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def applied(live: Any, config: Any, manager: str, force: bool = False) -> dict[str, Any]:
    before = copy.deepcopy(live)
    made, owners = apply(live, config, DEPLOYMENT, who(manager), force)
    assert live == before
    return {**made, "metadata": {**made["metadata"], "managedFields": owners}}


def containers(obj: dict[str, Any]) -> dict[str, str]:
    return {c["name"]: c["image"] for c in obj["spec"]["template"]["spec"]["containers"]}


def owned(obj: dict[str, Any], manager: str) -> dict[str, Any]:
    fields: dict[str, Any] = next(
        (o["fieldsV1"] for o in obj["metadata"]["managedFields"] if o["manager"] == manager), {}
    )
    return fields


def test_the_first_apply_owns_what_it_says() -> None:
    live = applied(None, deployment(2, a="1"), "me")
    assert owned(live, "me") == {
        "f:spec": {
            "f:replicas": {},
            "f:template": {"f:spec": {"f:containers": {'k:{"name":"a"}': {
                ".": {}, "f:image": {}, "f:name": {}}}}},
        }
    }  # fmt: skip


def test_what_is_not_said_any_more_is_removed() -> None:
    live = applied(None, deployment(2, a="1", b="1"), "me")
    live = applied(live, deployment(None, a="2"), "me")
    assert containers(live) == {"a": "2"}
    assert "replicas" not in live["spec"]


def test_two_appliers_share_an_object() -> None:
    live = applied(None, deployment(2, a="1"), "me")
    live = applied(live, deployment(None, b="1"), "you")
    assert containers(live) == {"a": "1", "b": "1"}
    live = applied(live, deployment(None, a="1"), "me")
    assert containers(live) == {"a": "1", "b": "1"}
    assert "replicas" not in live["spec"]


def test_what_both_say_stays_until_neither_says_it() -> None:
    live = applied(None, deployment(2, a="1"), "me")
    live = applied(live, deployment(2, a="1"), "you")
    live = applied(live, deployment(None, a="1"), "me")
    assert live["spec"]["replicas"] == 2
    live = applied(live, deployment(None, a="1"), "you")
    assert "replicas" not in live["spec"]


def test_changing_what_another_owns_is_a_conflict_unless_forced() -> None:
    live = applied(None, deployment(2, a="1"), "me")
    with pytest.raises(Conflicts) as caught:
        apply(live, deployment(3, a="2"), DEPLOYMENT, who("you"), False)
    assert caught.value.sentence() == (
        'Apply failed with 2 conflicts: conflicts with "me":\n- .spec.replicas\n'
        '- .spec.template.spec.containers[name="a"].image'
    )
    live = applied(live, deployment(3, a="1"), "you", force=True)
    assert live["spec"]["replicas"] == 3
    assert "f:replicas" not in owned(live, "me")["f:spec"]
    assert "f:replicas" in owned(live, "you")["f:spec"]


def test_an_update_takes_over_what_it_changes() -> None:
    live = applied(None, deployment(2, a="1"), "me")
    changed = copy.deepcopy(live)
    changed["spec"]["replicas"] = 5
    owners = after_update(live, changed, DEPLOYMENT, who("kubectl", UPDATE))
    changed["metadata"]["managedFields"] = owners
    assert owned(changed, "kubectl") == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in owned(changed, "me")["f:spec"]
    with pytest.raises(Conflicts) as caught:
        apply(changed, deployment(2, a="1"), DEPLOYMENT, who("me"), False)
    assert caught.value.sentence() == (
        'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas'
    )


def test_what_an_update_removes_nobody_owns() -> None:
    live = applied(None, deployment(2, a="1", b="1"), "me")
    changed = copy.deepcopy(live)
    del changed["spec"]["template"]["spec"]["containers"][1]
    owners = after_update(live, changed, DEPLOYMENT, who("kubectl", UPDATE))
    changed["metadata"]["managedFields"] = owners
    items = owned(changed, "me")["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert list(items) == ['k:{"name":"a"}']
    assert owned(changed, "kubectl") == {}


def test_an_update_that_changes_nothing_changes_no_entries() -> None:
    live = applied(None, deployment(2, a="1"), "me")
    assert (
        after_update(live, live, DEPLOYMENT, who("x", UPDATE)) == live["metadata"]["managedFields"]
    )


def test_applying_the_same_again_changes_nothing() -> None:
    live = applied(None, deployment(2, a="1", b="2"), "me")
    assert applied(live, deployment(2, a="1", b="2"), "me") == live


def test_many_updaters_become_few() -> None:
    live = deployment(0, a="1")
    live["metadata"]["managedFields"] = []
    for n in range(20):
        changed = copy.deepcopy(live)
        changed["metadata"].setdefault("labels", {})[f"l{n}"] = "x"
        changed["metadata"]["managedFields"] = after_update(
            live, changed, DEPLOYMENT, who(f"u{n}", UPDATE)
        )
        live = changed
    assert len(live["metadata"]["managedFields"]) <= 10


def test_ports_are_told_apart_with_the_default_of_their_protocol() -> None:
    config = deployment(1, a="1")
    config["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": 80}]
    live = applied(None, config, "me")
    live["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"] = "TCP"
    again = applied(live, config, "me")
    assert len(again["spec"]["template"]["spec"]["containers"][0]["ports"]) == 1
