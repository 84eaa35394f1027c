"""What a pod needs next, snapshot by snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pykubelet.kubelet.pods.lifecycle import decide, outcome, overdue
from pykubelet.kubelet.pods.snapshot import (
    Action,
    Failure,
    KillContainer,
    Phase,
    Prepare,
    Release,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    RunSandbox,
    Snapshot,
    StartContainer,
    StopSandbox,
    Verdict,
)
from pykubelet.kubelet.probes.schedule import ProbeResult
from tests.unit.pods.values import (
    CREATED,
    EXITED,
    NOW,
    UNKNOWN,
    busy,
    declared,
    made,
    pod,
    sandbox,
    snap,
)

SIDECAR = declared("proxy", restartPolicy="Always")
INIT = declared("init")
SICK = ProbeResult(True, False, False, "it hangs", "liveness", None)
FAILED = Failure("Trouble", "it broke", NOW + 7.0)


def actions(s: Snapshot) -> list[Action]:
    return list(decide(s).actions)


# -- starting -----------------------------------------------------------------------------------


def test_volumes_come_first() -> None:
    assert actions(snap(pod(), prepared=False)) == [Prepare()]


def test_then_the_sandbox() -> None:
    assert actions(snap(pod())) == [RunSandbox(0)]


def test_a_sandbox_after_a_lost_one_has_the_next_number() -> None:
    s = snap(pod(), sandbox(ready=False), stopped={"s0"})
    assert actions(s) == [RunSandbox(1)]


def test_a_reserved_name_is_passed_over() -> None:
    assert actions(snap(pod(), sandbox_floor=3)) == [RunSandbox(3)]
    s = snap(pod(), sandbox(), container_floors={"main": 2})
    assert actions(s) == [StartContainer("main", 2)]


def test_init_containers_come_one_by_one() -> None:
    it = pod(init=(INIT, declared("second")))
    assert actions(snap(it, sandbox())) == [StartContainer("init", 0)]
    assert actions(snap(it, sandbox(), made("init"))) == []
    s = snap(it, sandbox(), made("init", EXITED))
    assert actions(s) == [StartContainer("second", 0)]
    s = snap(it, sandbox(), made("init", EXITED), made("second", EXITED))
    assert actions(s) == [StartContainer("main", 0)]


def test_a_sidecar_has_only_to_have_started() -> None:
    probed = {**SIDECAR, "startupProbe": {"exec": {"command": ["x"]}}}
    it = pod(init=(probed,))
    s = snap(it, sandbox(), made("proxy"))
    assert actions(s) == []
    assert decide(s).sentence == "waits for init container proxy"
    started = {"proxy": ProbeResult(True, True, True)}
    assert actions(replace(s, health=started)) == [StartContainer("main", 0)]


def test_regular_containers_start_in_order_and_one_at_a_time() -> None:
    it = pod(declared("a"), declared("b"))
    assert actions(snap(it, sandbox())) == [StartContainer("a", 0)]
    s = snap(it, sandbox(), busy=busy(StartContainer("a", 0)))
    assert actions(s) == []
    assert decide(s).sentence == "starting a; b starts next"
    assert actions(snap(it, sandbox(), made("a"))) == [StartContainer("b", 0)]


def test_a_start_that_waits_out_its_failure_holds_up_nobody_else() -> None:
    it = pod(declared("a"), declared("b"))
    s = snap(it, sandbox(), failures={"StartContainer:a": FAILED})
    decision = decide(s)
    assert list(decision.actions) == [StartContainer("b", 0)]
    assert decision.look_at == FAILED.until
    assert "a: Trouble: it broke" in decision.sentence


def test_an_ephemeral_container_starts_beside_the_others_and_once() -> None:
    it = pod(declared("a"), ephemeralContainers=[declared("debug")])
    s = snap(it, sandbox())
    assert actions(s) == [StartContainer("a", 0), StartContainer("debug", 0)]
    s = snap(it, sandbox(), made("a"), made("debug", EXITED, 1))
    assert actions(s) == []


def test_another_of_its_name_is_waited_for() -> None:
    decision = decide(snap(pod(), predecessor="old", prepared=False))
    assert (decision.phase, decision.actions) == (Phase.WAITING, ())


@pytest.mark.parametrize("action", [Prepare(), RunSandbox(0), StartContainer("main", 0)])
def test_nothing_under_way_is_begun_again(action: Action) -> None:
    found = [sandbox()] if isinstance(action, StartContainer) else []
    s = snap(pod(), *found, prepared=not isinstance(action, Prepare), busy=busy(action))
    assert actions(s) == []


@pytest.mark.parametrize("action", [Prepare(), RunSandbox(0), StartContainer("main", 0)])
def test_nothing_that_failed_is_tried_before_its_time(action: Action) -> None:
    found = [sandbox()] if isinstance(action, StartContainer) else []
    s = snap(pod(), *found, prepared=not isinstance(action, Prepare), failures={action.key: FAILED})
    decision = decide(s)
    assert decision.actions == ()
    assert decision.look_at == FAILED.until
    assert "Trouble: it broke" in decision.sentence
    assert list(decide(replace(s, now=FAILED.until)).actions) == [action]


# -- keeping it running -------------------------------------------------------------------------


def test_a_pod_that_is_as_it_should_be_is_left_alone() -> None:
    decision = decide(snap(pod(init=(INIT,)), sandbox(), made("init", EXITED), made()))
    assert (decision.actions, decision.look_at, decision.sentence) == ((), None, "running")


def test_what_ended_starts_again_when_its_time_has_come() -> None:
    s = snap(pod(), sandbox(), made("main", EXITED, 1), restart_at={"main": NOW + 10})
    assert actions(s) == []
    assert decide(s).look_at == NOW + 10
    assert actions(replace(s, now=NOW + 10)) == [StartContainer("main", 1)]


def test_a_sick_container_is_killed_with_its_probes_own_grace() -> None:
    s = snap(pod(), sandbox(), made(), health={"main": SICK})
    (kill,) = actions(s)
    assert isinstance(kill, KillContainer)
    assert (kill.grace, kill.replace) == (30, True)
    assert kill.message == "Container main failed liveness probe, will be restarted"
    quick = {"main": replace(SICK, grace=3)}
    (kill,) = actions(replace(s, health=quick))
    assert isinstance(kill, KillContainer)
    assert kill.grace == 3
    never = snap(pod(restartPolicy="Never"), sandbox(), made(), health={"main": SICK})
    (kill,) = actions(never)
    assert isinstance(kill, KillContainer)
    assert not kill.replace


def test_what_was_killed_to_be_replaced_comes_back_whatever_it_exited_with() -> None:
    it = pod(restartPolicy="OnFailure")
    s = snap(it, sandbox(), made("main", EXITED, 0), replaced={"main-0"})
    assert outcome(s) == ""
    assert actions(s) == [StartContainer("main", 1)]
    assert outcome(replace(s, replaced=frozenset())) == "Succeeded"


def test_an_edited_image_replaces_the_container_under_any_policy() -> None:
    it = pod({**declared(), "image": "image:2"}, restartPolicy="Never")
    (kill,) = actions(snap(it, sandbox(), made()))
    assert isinstance(kill, KillContainer)
    assert kill.replace


def test_a_container_that_an_older_agent_made_without_a_hash_stays() -> None:
    assert actions(snap(pod(), sandbox(), made(annotations={}))) == []


def test_a_sick_neighbour_is_seen_while_another_starts() -> None:
    it = pod(declared("a"), declared("b"))
    s = snap(it, sandbox(), made("b"), health={"b": SICK}, busy=busy(StartContainer("a", 0)))
    assert [type(a) for a in actions(s)] == [KillContainer]


def test_a_resize_is_in_place_or_by_restart_as_the_policy_for_that_resource_says() -> None:
    s = snap(pod(), sandbox(), made(), resize={"main": {"cpu"}})
    assert actions(s) == [ResizeContainer("main", "main-0")]
    rules = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    it = pod(declared(resizePolicy=rules))
    assert actions(snap(it, sandbox(), made(), resize={"main": {"cpu"}})) == [
        ResizeContainer("main", "main-0")
    ]
    (kill,) = actions(snap(it, sandbox(), made(), resize={"main": {"memory"}}))
    assert isinstance(kill, KillContainer)
    assert kill.replace


def test_what_was_created_and_never_started_is_removed() -> None:
    assert actions(snap(pod(), sandbox(), made("main", CREATED))) == [RemoveContainer("main-0")]


def test_what_the_runtime_does_not_know_is_killed_and_comes_back() -> None:
    (kill,) = actions(snap(pod(restartPolicy="Never"), sandbox(), made("main", UNKNOWN)))
    assert isinstance(kill, KillContainer)
    assert kill.replace


# -- sandboxes that are lost or too many --------------------------------------------------------


def test_containers_of_a_lost_sandbox_are_stopped_before_a_new_one() -> None:
    s = snap(pod(), sandbox(ready=False), made())
    (kill,) = actions(s)
    assert isinstance(kill, KillContainer)
    s = snap(pod(), sandbox(ready=False), made("main", EXITED, 137))
    assert actions(s) == [StopSandbox("s0")]
    assert actions(replace(s, stopped={"s0"})) == [RunSandbox(1)]


def test_in_a_new_sandbox_all_starts_anew_init_containers_first() -> None:
    it = pod(init=(INIT,))
    s = snap(
        it,
        sandbox(ready=False),
        sandbox("s1", 1),
        made("init", EXITED),
        made("main", EXITED, 137),
        stopped={"s0"},
    )
    assert actions(s) == [StartContainer("init", 1)]
    ready = made("init", EXITED, attempt=1, sandbox="s1")
    s = snap(it, sandbox("s1", 1), made("init", EXITED), ready, made("main", EXITED, 137))
    assert actions(s) == [StartContainer("main", 1)]


def test_of_two_ready_sandboxes_the_newer_is_kept() -> None:
    s = snap(pod(), sandbox(), sandbox("s1", 1))
    assert actions(s) == [StopSandbox("s0")]


def test_no_sandbox_is_stopped_while_a_container_may_be_starting_in_it() -> None:
    s = snap(pod(), sandbox(ready=False), busy=busy(StartContainer("main", 0)))
    assert actions(s) == []


# -- is it over? --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "code", "result"),
    [
        ("Always", 0, ""),
        ("Always", 1, ""),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 1, ""),
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
    ],
)
def test_the_outcome_follows_policy_and_exit_code(policy: str, code: int, result: str) -> None:
    s = snap(pod(restartPolicy=policy), sandbox(), made("main", EXITED, code))
    assert outcome(s) == result


def test_one_that_runs_keeps_the_pod_going() -> None:
    it = pod(declared("a"), declared("b"), restartPolicy="Never")
    assert outcome(snap(it, sandbox(), made("a", EXITED, 1), made("b"))) == ""
    s = snap(it, sandbox(), made("a", EXITED, 1), made("b", EXITED, 0))
    assert outcome(s) == "Failed"


def test_an_init_container_that_failed_for_good_decides() -> None:
    s = snap(pod(init=(INIT,), restartPolicy="Never"), sandbox(), made("init", EXITED, 1))
    assert outcome(s) == "Failed"
    assert outcome(snap(pod(init=(INIT,)), sandbox(), made("init", EXITED, 1))) == ""


def test_exit_code_rules_decide_first() -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    it = pod(declared(restartPolicy="Never", restartPolicyRules=rules))
    assert outcome(snap(it, sandbox(), made("main", EXITED, 42))) == ""
    assert outcome(snap(it, sandbox(), made("main", EXITED, 1))) == "Failed"


def test_the_deadline_counts_from_when_the_node_took_the_pod() -> None:
    s = snap(pod(activeDeadlineSeconds=10))
    assert overdue(s) is None
    verdict = overdue(replace(s, now=NOW + 5.0))
    assert verdict
    assert verdict.reason == "DeadlineExceeded"


# -- ending -------------------------------------------------------------------------------------


def ending(*found: Any, **more: Any) -> Snapshot:
    it = more.pop("pod", pod(terminationGracePeriodSeconds=20))
    return snap(it, *found, wanted=False, terminating_since=NOW, **more)


def test_the_steps_of_an_end() -> None:
    steps = [
        (ending(sandbox(), made()), [KillContainer("main", "main-0", 20)]),
        (ending(sandbox(), made("main", EXITED)), [StopSandbox("s0")]),
        (
            ending(sandbox(ready=False), made("main", EXITED), stopped={"s0"}),
            [RemoveSandbox("s0")],
        ),
        (ending(), [Release(remove=True)]),
    ]
    for s, wanted in steps:
        assert actions(s) == wanted
        assert decide(s).phase is Phase.TERMINATING
    assert decide(ending(released=True, removed=True)).phase is Phase.TERMINATED


def test_a_pod_at_its_end_keeps_its_dead_until_nobody_wants_it() -> None:
    it = pod(restartPolicy="Never")
    s = snap(it, sandbox(ready=False), made("main", EXITED), stopped={"s0"}, ended="Succeeded")
    assert actions(s) == [Release(remove=False)]
    s = replace(s, released=True)
    assert decide(s).phase is Phase.TERMINATED
    assert actions(replace(s, wanted=False)) == [RemoveSandbox("s0")]
    s = replace(s, wanted=False, runtime=replace(s.runtime, sandboxes=(), containers=()))
    assert actions(s) == [Release(remove=True)]


def test_what_ended_once_is_over_though_nothing_of_it_is_left() -> None:
    s = snap(pod(), ended="Failed", released=True)
    assert (decide(s).phase, actions(s)) == (Phase.TERMINATED, [])


def test_regular_containers_stop_side_by_side_then_sidecars_in_reverse() -> None:
    it = pod(
        declared("a"),
        declared("b"),
        init=(declared("one", restartPolicy="Always"), declared("two", restartPolicy="Always")),
        terminationGracePeriodSeconds=20,
    )
    all_four = [made(name) for name in ("one", "two", "a", "b")]
    assert {a.name for a in actions(ending(sandbox(), *all_four, pod=it))} == {"a", "b"}  # type: ignore[attr-defined]
    s = ending(sandbox(), *all_four[:2], pod=it)
    s = replace(s, terminating_since=NOW - 15.0)
    assert actions(s) == [KillContainer("two", "two-0", 5)]
    s = replace(s, terminating_since=NOW - 60.0)
    assert actions(s) == [KillContainer("two", "two-0", 2)]
    assert actions(ending(sandbox(), made("one"), pod=it)) == [KillContainer("one", "one-0", 20)]


def test_the_grace_comes_from_who_asked_for_the_end() -> None:
    s = ending(sandbox(), made(), grace=7)
    assert actions(s) == [KillContainer("main", "main-0", 7)]
    s = snap(pod(), sandbox(), made(), verdict=Verdict("Evicted", "low on memory", grace=0))
    assert actions(s) == [KillContainer("main", "main-0", 0)]


def test_a_kill_under_way_is_overtaken_only_by_a_quicker_one() -> None:
    slow = busy(KillContainer("main", "main-0", 30), since=NOW - 1.0)
    assert actions(ending(sandbox(), made(), busy=slow, grace=30)) == []
    (quick,) = actions(ending(sandbox(), made(), busy=slow, grace=5))
    assert quick == KillContainer("main", "main-0", 5, hook=False)
    both = {**slow, **busy(quick, since=NOW)}
    assert actions(ending(sandbox(), made(), busy=both, grace=5)) == []
    (now,) = actions(ending(sandbox(), made(), busy=both, grace=0))
    assert now == KillContainer("main", "main-0", 0, hook=False)


def test_an_end_waits_for_what_may_still_come_up() -> None:
    for action in (RunSandbox(0), Prepare(), StartContainer("main", 0)):
        s = ending(busy=busy(action))
        assert actions(s) == []
        assert "waits for" in decide(s).sentence


def test_a_container_made_but_never_started_is_removed_at_the_end() -> None:
    s = ending(sandbox(), made("main", CREATED))
    assert actions(s) == [RemoveContainer("main-0")]
    assert actions(replace(s, busy=busy(StartContainer("main", 0)))) == []


def test_a_removal_that_fails_says_so_and_waits() -> None:
    s = ending(failures={"Release": FAILED})
    decision = decide(s)
    assert decision.actions == ()
    assert decision.sentence.endswith("(Trouble: it broke)")
    assert decision.look_at == FAILED.until
