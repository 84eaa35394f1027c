"""What kubectl get shows."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.apiserver.printing import pods
from pykubelet.apiserver.printing.cells import duration, selector
from pykubelet.apiserver.printing.columns import layout_of
from pykubelet.apiserver.resources.registry import builtin

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (605, "10m"), (3600, "60m"),
     (3 * 3600, "3h"), (3 * 3600 + 60, "3h1m"), (9 * 3600 + 60, "9h"), (47 * 3600, "47h"),
     (49 * 3600, "2d1h"), (9 * 86400, "9d"), (800 * 86400, "2y70d"), (-5, "<invalid>")],
)  # fmt: skip
def test_ages(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def pod(status: Json, **meta: str) -> Json:
    return {"metadata": meta, "spec": {"containers": [{"name": "c"}, {"name": "d"}]},
            "status": status}  # fmt: skip


def state(name: str, ready: bool = False, restarts: int = 0, **one: Json) -> Json:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": one}


@pytest.mark.parametrize(
    ("status", "ready", "word"),
    [
        ({"phase": "Pending"}, "0/2", "Pending"),
        ({"phase": "Running", "containerStatuses": [state("c", True, running={}),
                                                    state("d", True, running={})]}, "2/2",
         "Running"),
        ({"phase": "Running", "containerStatuses": [
            state("c", True, running={}),
            state("d", waiting={"reason": "CrashLoopBackOff"})]}, "1/2", "CrashLoopBackOff"),
        ({"phase": "Succeeded", "containerStatuses": [
            state("c", terminated={"reason": "Completed"})]}, "0/2", "Completed"),
        ({"phase": "Failed", "containerStatuses": [
            state("c", terminated={"exitCode": 3})]}, "0/2", "ExitCode:3"),
        ({"phase": "Failed", "reason": "Evicted"}, "0/2", "Evicted"),
    ],
)  # fmt: skip
def test_a_pod_in_one_word(status: Json, ready: str, word: str) -> None:
    assert pods.row(pod(status), 0)[:2] == [ready, word]


def test_a_pod_that_initializes_or_terminates() -> None:
    one = pod({"phase": "Pending", "initContainerStatuses": [
        state("i", terminated={"exitCode": 0}), state("j", running={})]})  # fmt: skip
    one["spec"]["initContainers"] = [{"name": "i"}, {"name": "j"}]
    assert pods.row(one, 0)[1] == "Init:1/2"
    leaving = pod({"phase": "Running"}, deletionTimestamp="2020-01-01T00:00:00Z")
    assert pods.row(leaving, 0)[1] == "Terminating"


def test_selectors_in_one_line() -> None:
    assert selector(None) == "<none>"
    expression = {"key": "k", "operator": "In", "values": ["y", "x"]}
    given = {"matchLabels": {"a": "b"}, "matchExpressions": [expression]}
    assert selector(given) == "a=b,k in (x,y)"


@pytest.mark.parametrize("kind", sorted({r.kind for r in builtin() if r.stored}))
def test_every_kind_has_a_row_even_for_an_empty_object(kind: str) -> None:
    layout = layout_of(kind)
    cells = layout.row({"kind": kind, "metadata": {"name": "x"}}, 0)
    assert len(cells) == len(layout.columns)
    assert layout.definitions()[0]["name"] == "Name"
