"""Joining under a name that is taken already. What goes well is tested before a real server."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pykubelet.client.errors import AlreadyExists
from pykubelet.errors import Invalid
from pykubelet.kubelet.membership import Membership
from tests.support.waiting import until

Json = dict[str, Any]


def node(machine: str, ready: str = "True", **labels: str) -> Json:
    return {
        "metadata": {"name": "n1", "uid": "u", "labels": labels},
        "status": {
            "nodeInfo": {"machineID": machine},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


class TakenName:
    """An API in which the node's name is taken by `there`."""

    def __init__(self, there: Json) -> None:
        self.there = there
        self.patches: list[Json] = []

    def create(self, resource: Any, tree: Json) -> Json:
        raise AlreadyExists(409, "AlreadyExists", "nodes n1 is there")

    def get(self, resource: Any, name: str, namespace: str = "") -> Json:
        return copy.deepcopy(self.there)

    def patch(self, resource: Any, name: str, patch: Json, *rest: Any, **more: Any) -> Json:
        self.patches.append(patch)
        return self.there

    def update(self, resource: Any, tree: Json) -> Json:
        return tree


def member(api: Any, mine: Json) -> Membership:
    return Membership(api, lambda: mine)


def test_a_living_node_of_another_machine_keeps_its_name(caplog: pytest.LogCaptureFixture) -> None:
    """Complaint: duplicates are refused at join, with the reason."""
    api = TakenName(node("theirs"))
    joining = member(api, node("ours"))
    joining.start()
    try:
        until(lambda: "another machine has joined as node n1" in caplog.text, "it is said")
        assert "--hostname-override" in caplog.text
        assert not joining.registered.is_set()
        assert api.patches == []
    finally:
        joining.stop()


@pytest.mark.parametrize(
    "there", [node("ours"), node("theirs", ready="Unknown"), node("theirs", ready="False")],
    ids=["this very machine", "one long silent", "one that is not ready"],
)  # fmt: skip
def test_the_object_of_this_machine_or_of_a_dead_one_is_taken_up(there: Json) -> None:
    api = TakenName(there)
    joining = member(api, node("ours", shelf="3"))
    joining.start()
    try:
        assert joining.registered.wait(5)
        until(lambda: any("status" in patch for patch in api.patches), "the status is posted")
        assert api.patches[0] == {"metadata": {"labels": {"shelf": "3"}}}
    finally:
        joining.stop()


def test_who_is_refused_is_told_what_was_expected_and_found() -> None:
    joining = member(TakenName(node("theirs")), node("ours"))
    with pytest.raises(Invalid) as refused:
        joining._join()
    assert (refused.value.expected, refused.value.found) == ("the machine id ours", "theirs")
