"""The smaller parts of a pod's life: restart policies, edits, the roster, memory, slots."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pykubelet.kubelet.pods import restart, spec
from pykubelet.kubelet.pods.edits import needs_new_pod
from pykubelet.kubelet.pods.memory import Memory
from pykubelet.kubelet.pods.records import Record, orphan
from pykubelet.kubelet.pods.roster import Roster
from pykubelet.kubelet.pods.slots import Slots
from pykubelet.kubelet.pods.snapshot import Failure, Verdict
from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.runtime import labels
from pykubelet.kubelet.runtime.model import PodRuntime
from tests.support.waiting import until
from tests.unit.pods.values import declared, made, pod, sandbox

Json = dict[str, Any]

# -- restart policies ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod_policy", "kind", "own", "after_0", "after_1"),
    [
        ("Always", Kind.REGULAR, None, True, True),
        ("OnFailure", Kind.REGULAR, None, False, True),
        ("Never", Kind.REGULAR, None, False, False),
        ("Always", Kind.INIT, None, False, True),
        ("OnFailure", Kind.INIT, None, False, True),
        ("Never", Kind.INIT, None, False, False),
        ("Never", Kind.SIDECAR, "Always", True, True),
        ("Always", Kind.EPHEMERAL, None, False, False),
        ("Always", Kind.REGULAR, "Never", False, False),
        ("Never", Kind.REGULAR, "OnFailure", False, True),
    ],
)
def test_who_runs_again(
    pod_policy: str, kind: Kind, own: str | None, after_0: bool, after_1: bool
) -> None:
    container = declared(**({"restartPolicy": own} if own else {}))
    assert restart.restarts(pod_policy, kind, container, 0) is after_0
    assert restart.restarts(pod_policy, kind, container, 1) is after_1


# -- edits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "new"),
    [
        ({"image": "image:2"}, False),
        ({"resources": {"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}}}, False),
        ({"env": [{"name": "A", "value": "1"}]}, True),
        ({"command": ["other"]}, True),
        ({"resources": {}}, True),  # another QoS class
    ],
)
def test_which_edits_need_a_new_pod(edit: Json, new: bool) -> None:
    resources = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}
    before = pod(declared(resources=resources))
    after = pod({**declared(resources=resources), **edit})
    assert needs_new_pod(before, after) is new


def test_a_pods_own_limits_may_change_while_it_runs() -> None:
    after = pod(activeDeadlineSeconds=5, terminationGracePeriodSeconds=1, tolerations=[{}])
    assert not needs_new_pod(pod(), after)
    assert needs_new_pod(pod(), pod(hostNetwork=True))
    assert needs_new_pod(pod(), pod(declared(), declared("b")))


# -- the roster ---------------------------------------------------------------------------------


def named(uid: str, name: str = "web", **env: str) -> Json:
    it = pod(declared(env=[{"name": k, "value": v} for k, v in env.items()]))
    it["metadata"] = {"name": name, "namespace": "default", "uid": uid}
    return it


def roster() -> Roster:
    return Roster(lambda uid: {}, frozenset({"file"}))


def test_a_pod_waits_for_all_that_is_left_of_its_namesake() -> None:
    """Complaint: an edited static pod starts before the old one is gone."""
    it = roster()
    it.want("file", [named("old")], 0.0)
    old = it.records["old"]
    old.admitted = True
    it.want("file", [named("new")], 1.0)
    new = it.records["new"]
    assert not old.wanted
    assert it.predecessor(new) == "old"
    assert it.predecessor(old) == ""
    assert it.gone(old) == {"new"}
    assert it.predecessor(new) == ""


def test_of_two_namesakes_the_first_stays() -> None:
    it = roster()
    it.want("file", [named("a"), named("b")], 0.0)
    it.records["a"].admitted = True
    assert it.predecessor(it.records["b"]) == "a"


def test_a_pod_wanted_again_while_it_ends_begins_anew_after_its_end() -> None:
    it = roster()
    it.want("file", [named("u")], 0.0)
    it.want("file", [], 1.0)
    it.want("file", [named("u", A="2")], 2.0)
    old = it.records["u"]
    assert not old.wanted
    assert it.gone(old) == {"u"}
    assert it.records["u"].wanted
    assert it.records["u"].pod == named("u", A="2")
    it.want("file", [], 3.0)
    it.want("file", [named("u")], 4.0)
    it.want("file", [], 5.0)
    assert it.gone(it.records["u"]) == set(), "the last word counts"


def test_an_edit_under_the_same_uid_is_taken_in_or_makes_a_new_pod() -> None:
    it = roster()
    it.want("file", [named("u")], 0.0)
    image = named("u")
    image["spec"]["containers"][0]["image"] = "image:2"
    assert it.want("file", [image], 1.0) == {"u"}
    assert it.records["u"].wanted
    it.want("file", [named("u", A="1")], 2.0)
    assert not it.records["u"].wanted
    assert it.records["u"].again == ("file", named("u", A="1"))


def test_what_one_source_does_not_want_is_no_business_of_another() -> None:
    it = roster()
    it.want("file", [named("a")], 0.0)
    it.want("api", [named("b", "other")], 0.0)
    assert it.want("file", [named("a")], 1.0) == set()
    assert it.records["b"].wanted


def test_a_pod_only_the_runtime_knows_is_ended_once_its_source_has_spoken() -> None:
    box = sandbox()
    box.annotations.update({spec.CONFIG_SOURCE: "file"})  # type: ignore[attr-defined]
    found = PodRuntime("u", "web", "default", (box,), (made(),))
    it = roster()
    assert it.adopt(found, 0.0) is None
    it.want("file", [], 0.0)
    record = it.adopt(found, 0.0)
    assert record
    assert not record.wanted
    assert it.adopt(PodRuntime("other"), 0.0) is None


def test_an_orphan_keeps_its_grace_and_its_hooks() -> None:
    notes = {
        labels.POD_TERMINATION_GRACE_PERIOD: "7",
        labels.PRE_STOP_HANDLER: '{"sleep":{"seconds":1}}',
    }
    found = PodRuntime("u", "web", "default", (sandbox(),), (made(annotations=notes),))
    outline = orphan(found)
    assert spec.grace_seconds(outline) == 7
    (container,) = spec.regular_containers(outline)
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 1}}}


def test_configuration_that_was_missing_is_looked_for_when_the_folder_changes() -> None:
    it = roster()
    it.want("file", [named("u")], 0.0)
    record = it.records["u"]
    record.failures["Prepare"] = Failure("FailedMount", "no such ConfigMap", 100.0)
    record.failures["RunSandbox"] = Failure("FailedCreatePodSandBox", "no network", 100.0)
    assert it.want("file", [named("u")], 1.0) == {"u"}
    assert list(record.failures) == ["RunSandbox"]


def test_an_end_is_asked_for_once() -> None:
    it = roster()
    it.want("file", [named("u")], 0.0)
    assert it.end("u", Verdict("Evicted", "low on memory"), 1.0)
    assert not it.end("u", Verdict("Preempted", "for another"), 2.0)
    assert not it.end("unknown", Verdict("Evicted", ""), 2.0)
    assert it.records["u"].terminating_since == 1.0


# -- memory -------------------------------------------------------------------------------------


def test_a_status_is_kept_recalled_and_forgotten(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "status")
    assert memory.recall("u") == {}
    memory.keep("u", {"phase": "Running"})
    memory.keep("v", {"phase": "Failed"})
    assert memory.recall("u") == {"phase": "Running"}
    memory.forget_all_but({"u"})
    assert memory.recall("v") == {}
    memory.forget("u")
    memory.forget("u")
    assert list((tmp_path / "status").iterdir()) == []


@pytest.mark.parametrize("torn", [b"", b'{"phase": "Run', b"[]", b"\0\0\0"])
def test_a_torn_file_is_no_loss(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "u.json").write_bytes(torn)
    assert Memory(tmp_path).recall("u") == {}


def test_a_record_goes_on_from_the_last_known_status() -> None:
    record = Record(named("u"), "file")
    record.resume(
        {
            "phase": "Failed",
            "reason": "DeadlineExceeded",
            "message": "too long",
            "startTime": "2026-11-21T00:00:00Z",
            "containerStatuses": [
                {"name": "main", "containerID": "containerd://abc", "ready": True, "started": True}
            ],
        }
    )
    assert record.ended == "Failed"
    assert record.verdict == Verdict("DeadlineExceeded", "too long")
    assert record.last_known("abc") == (True, True)
    assert record.last_known("other") == (False, False)


# -- slots --------------------------------------------------------------------------------------


def test_no_more_than_so_many_at_a_time_until_one_hangs() -> None:
    """Complaint: one hanging pod makes the node NotReady."""
    now = [0.0]
    slots = Slots(2, patience=0.05, clock=lambda: now[0])
    inside: list[int] = []
    release = threading.Event()

    def work(number: int) -> None:
        with slots.taken():
            inside.append(number)
            release.wait(10)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(inside) == 2, "two are in")
    now[0] = 0.04
    assert len(inside) == 2
    now[0] = 0.06
    until(lambda: len(inside) == 3, "the third no longer waits for those that hang")
    release.set()
    for thread in threads:
        thread.join()
