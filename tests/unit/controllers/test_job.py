"""Job: counting, indexes, limits, policies and ends by values, and exactness in any trouble."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.client.resources import JOBS, PODS
from pykubelet.clock import rfc3339
from pykubelet.controllers.job import JobController, indexes, policies
from pykubelet.controllers.job.decision import Decision, decide
from pykubelet.controllers.job.making import FAILURES, FINALIZER, INDEX, new_pod
from tests.unit.controllers.cluster import START, copied
from tests.unit.controllers.simulation import Simulation, seeds, template

Json = dict[str, Any]
NOW = START


def job(status: Json | None = None, **spec: Any) -> Json:
    made = template("work", "work:1")
    made["spec"]["restartPolicy"] = "Never"
    return {
        "metadata": {"name": "work", "namespace": "default", "uid": "j", "generation": 1},
        "spec": {
            "selector": {"matchLabels": {"app": "work"}},
            "template": made,
            "completions": 3,
            "parallelism": 2,
            "backoffLimit": 6,
            **spec,
        },
        "status": {"startTime": rfc3339(NOW - 10), **(status or {})},
    }


def indexed(status: Json | None = None, **spec: Any) -> Json:
    return job(status, completionMode="Indexed", **spec)


def pod(
    name: str, phase: str = "Running", *, index: int | None = None, failures: int = 0,
    tracked: bool = True, ended: float = 1000, going: bool = False, code: int = 1,
) -> Json:  # fmt: skip
    made = new_pod(job(backoffLimitPerIndex=1), index, failures)
    made["metadata"] |= {"name": name, "uid": name, "creationTimestamp": rfc3339(NOW - 5000)}
    if not tracked:
        del made["metadata"]["finalizers"]
    if going:
        made["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    made["status"] = {"phase": phase}
    if phase in ("Succeeded", "Failed"):
        end = {"exitCode": 0 if phase == "Succeeded" else code, "finishedAt": rfc3339(NOW - ended)}
        made["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": end}}]
    return made


def ask(of: Json, *own: Json) -> Decision:
    return decide(of, list(own), NOW)


def names(found: Any) -> list[str]:
    return [one["metadata"]["name"] for one in found]


def told(found: Decision) -> dict[str, str]:
    conditions = found.status.get("conditions") or ()
    return {c["type"]: c["reason"] for c in conditions if c["status"] == "True"}


# -- indexes -------------------------------------------------------------------------------------


def test_three_in_a_row_are_a_range_and_two_are_not() -> None:
    assert indexes.write([5, 1, 2, 3, 8, 9]) == "1-3,5,8,9"


@given(st.sets(st.integers(0, 50)))
def test_indexes_are_read_as_they_were_written(found: set[int]) -> None:
    assert indexes.read(indexes.write(found), 51) == found
    assert indexes.read(indexes.write(found), 20) == {n for n in found if n < 20}


# -- how many run --------------------------------------------------------------------------------


def test_as_many_run_as_may_and_as_are_still_needed() -> None:
    assert len(ask(job()).create) == 2
    assert len(ask(job(), pod("a")).create) == 1
    assert len(ask(job({"succeeded": 2})).create) == 1


def test_pods_carry_the_finalizer() -> None:
    assert ask(job()).create[0]["metadata"]["finalizers"] == [FINALIZER]


def test_too_many_are_stopped_without_being_counted() -> None:
    found = ask(job(parallelism=1), pod("a"), pod("b"))
    assert len(found.withdraw) == 1
    assert not found.kill


def test_without_completions_one_success_is_enough_and_the_others_may_finish() -> None:
    work_queue = job({"succeeded": 1}, completions=None, parallelism=3)
    found = ask(work_queue, pod("a"))
    assert (found.create, found.withdraw) == ((), ())
    assert told(ask(work_queue))["Complete"] == "CompletionsReached"


def test_a_suspended_job_stops_its_pods_and_forgets_when_it_began() -> None:
    found = ask(job(suspend=True), pod("a"))
    assert names(found.withdraw) == ["a"]
    assert told(found) == {"Suspended": "JobSuspended"}
    assert "startTime" not in found.status
    resumed = job(found.status)
    del resumed["status"]["active"]
    again = ask(resumed)
    assert again.status["startTime"] == rfc3339(NOW)
    assert len(again.create) == 2


def test_after_a_failure_the_next_try_waits_longer_and_longer() -> None:
    of = job({"failed": 1})
    assert ask(of, pod("a", "Failed", tracked=False, ended=4)).look_in == pytest.approx(6)
    two = [pod(name, "Failed", tracked=False, ended=4) for name in "ab"]
    assert ask(job({"failed": 2}), *two).look_in == pytest.approx(16)
    assert len(ask(of, pod("a", "Failed", tracked=False, ended=11)).create) == 2


def test_a_pod_on_its_way_out_is_replaced_at_once_or_only_when_it_has_failed() -> None:
    going = pod("a", going=True, tracked=False)
    going["metadata"]["deletionTimestamp"] = rfc3339(NOW - 100)
    assert len(ask(job(), going).create) == 2
    assert len(ask(job(podReplacementPolicy="Failed"), going).create) == 1


# -- counting ------------------------------------------------------------------------------------


def test_an_end_is_named_then_let_go_then_counted() -> None:
    first = ask(job(), pod("a", "Succeeded"))
    assert first.status["uncountedTerminatedPods"] == {"succeeded": ["a"]}
    assert first.status["succeeded"] == 0
    assert names(first.release) == ["a"]
    second = ask(job(first.status), pod("a", "Succeeded"))
    assert names(second.release) == ["a"], "it died before it could let go"
    third = ask(job(first.status), pod("a", "Succeeded", tracked=False))
    assert third.status["succeeded"] == 1
    assert third.status["uncountedTerminatedPods"] == {}
    fourth = ask(job(third.status), pod("a", "Succeeded", tracked=False))
    assert fourth.status["succeeded"] == 1


def test_a_pod_that_was_deleted_by_others_counts_as_failed() -> None:
    found = ask(job(), pod("a", going=True))
    assert found.status["uncountedTerminatedPods"] == {"failed": ["a"]}


# -- indexes in work -----------------------------------------------------------------------------


def test_each_index_once_the_smallest_first() -> None:
    found = ask(indexed({"completedIndexes": "1"}, completions=5), pod("a", index=0))
    (made,) = found.create
    assert made["metadata"]["annotations"][INDEX] == "2"
    assert made["spec"]["hostname"] == "work-2"
    assert made["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"


def test_a_second_pod_of_an_index_is_superfluous() -> None:
    found = ask(indexed(parallelism=3), pod("a", index=0), pod("b", index=0))
    assert len(found.withdraw) == 1


def test_completed_indexes_are_told() -> None:
    own = [pod("a", "Succeeded", index=0), pod("b", "Succeeded", index=1)]
    status = ask(indexed(), *own).status
    assert (status["completedIndexes"], status["succeeded"]) == ("0,1", 2)


def test_an_index_has_failures_of_its_own_and_is_given_up_alone() -> None:
    of = indexed(backoffLimitPerIndex=1, completions=2)
    first = ask(of, pod("a", "Failed", index=0), pod("b", index=1))
    (made,) = first.create
    assert made["metadata"]["annotations"][FAILURES] == "1"
    assert names(first.release) == [], "the last failed pod tells how often"
    own = [pod("a", "Failed", index=0), pod("a2", "Failed", index=0, failures=1)]
    last = ask(of, *own, pod("b", "Succeeded", index=1))
    assert last.status["failedIndexes"] == "0"
    assert told(last) == {"FailureTarget": "FailedIndexes"}


def test_too_many_failed_indexes_end_it_early() -> None:
    of = indexed(backoffLimitPerIndex=0, completions=5, maxFailedIndexes=1, parallelism=5)
    own = [pod("a", "Failed", index=0), pod("b", "Failed", index=1), pod("c", index=2)]
    found = ask(of, *own)
    assert told(found) == {"FailureTarget": "MaxFailedIndexesExceeded"}
    assert names(found.kill) == ["c"]


# -- ends ----------------------------------------------------------------------------------------


def test_complete_only_when_all_is_counted_and_nothing_runs() -> None:
    status = {"succeeded": 2, "uncountedTerminatedPods": {"succeeded": ["c"]}}
    early = ask(job(status), pod("c", "Succeeded"))
    assert told(early) == {"SuccessCriteriaMet": "CompletionsReached"}
    late = ask(job(early.status), pod("c", "Succeeded", tracked=False))
    assert told(late)["Complete"] == "CompletionsReached"
    assert late.status["succeeded"] == 3
    assert late.status["completionTime"] == rfc3339(NOW)
    assert ("Normal", "Completed", "Job completed") in late.events


def test_more_failures_than_the_limit_end_it() -> None:
    found = ask(job({"failed": 1}, backoffLimit=1), pod("a", "Failed"), pod("b"))
    assert told(found) == {"FailureTarget": "BackoffLimitExceeded"}
    assert names(found.kill) == ["b"]
    waiting = ask(job(found.status), pod("b", going=True, tracked=False))
    assert "Failed" not in told(waiting)
    assert told(ask(job(found.status)))["Failed"] == "BackoffLimitExceeded"


def test_restarts_in_place_count_where_pods_restart() -> None:
    of = job(backoffLimit=2)
    of["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    running = pod("a")
    running["status"]["containerStatuses"] = [{"name": "c", "restartCount": 2}]
    assert told(ask(of, running)) == {"FailureTarget": "BackoffLimitExceeded"}


def test_the_deadline_ends_it() -> None:
    assert ask(job(activeDeadlineSeconds=30), pod("a")).look_in == pytest.approx(20)
    found = ask(job(activeDeadlineSeconds=5), pod("a"))
    assert told(found) == {"FailureTarget": "DeadlineExceeded"}


def test_a_success_policy_ends_it_with_what_is_enough() -> None:
    policy = {"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]}
    of = indexed(successPolicy=policy)
    found = ask(of, pod("a", "Succeeded", index=1), pod("b", index=2))
    assert told(found) == {"SuccessCriteriaMet": "SuccessPolicy"}
    assert names(found.kill) == ["b"]


def test_a_finished_job_only_lets_its_pods_go() -> None:
    done = job({"conditions": [{"type": "Complete", "status": "True"}]})
    found = ask(done, pod("a", "Failed"))
    assert (names(found.release), found.status) == (["a"], done["status"])


# -- rules for failures --------------------------------------------------------------------------


def policy(action: str, **rule: Any) -> Json:
    return job(podFailurePolicy={"rules": [{"action": action, **rule}]})


@pytest.mark.parametrize(
    ("operator", "values", "code", "matches"),
    [
        ("In", [3, 4], 3, True),
        ("In", [3], 5, False),
        ("NotIn", [3], 5, True),
        ("NotIn", [3], 3, False),
    ],
)
def test_rules_look_at_exit_codes(operator: str, values: Any, code: int, matches: bool) -> None:
    of = policy("FailJob", onExitCodes={"operator": operator, "values": values})
    action, _ = policies.verdict(of, pod("a", "Failed", code=code))
    assert action == ("FailJob" if matches else "Count")


def test_rules_look_at_conditions() -> None:
    disrupted = pod("a", "Failed")
    disrupted["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    of = policy("Ignore", onPodConditions=[{"type": "DisruptionTarget", "status": "True"}])
    found = ask(of, disrupted)
    assert found.status["uncountedTerminatedPods"] == {}
    assert names(found.release) == ["a"]


def test_a_rule_may_end_the_whole_job() -> None:
    of = policy("FailJob", onExitCodes={"operator": "In", "values": [42]})
    found = ask(of, pod("a", "Failed", code=42))
    assert told(found) == {"FailureTarget": "PodFailurePolicy"}
    (condition,) = found.status["conditions"]
    assert "exit code 42" in condition["message"]


# -- in trouble ----------------------------------------------------------------------------------


def simulated(seed: int, **spec: Any) -> Simulation:
    sim = Simulation(seed, [JobController])
    sim.flaky = False
    body = job(**spec)["spec"]
    sim.cluster.create(JOBS, {"metadata": {"name": "work"}, "spec": body})
    return sim


def luck(sim: Simulation, failing: float) -> Any:
    """Pods run for a while, and then end well or badly, each in its own way for ever."""

    def end(pod: Json) -> str:
        if sim.random.random() < 0.8:
            return ""
        uid = pod["metadata"]["uid"]
        fate = hash_of(uid) % 100 < failing * 100
        return "Failed" if fate else "Succeeded"

    return end


def hash_of(text: str) -> int:
    return sum(ord(c) * 31**n for n, c in enumerate(text))


def ended(sim: Simulation, phase: str) -> set[str]:
    return {
        change.object["metadata"]["uid"]
        for change in sim.cluster.log
        if change.resource is PODS and change.object["status"].get("phase") == phase
    }


@pytest.mark.parametrize("seed", seeds(40))
def test_exactly_so_many_succeed_and_each_end_is_counted_once(seed: int) -> None:
    sim = simulated(seed, completions=6, parallelism=3, backoffLimit=100)
    sim.ends = luck(sim, 0.3)

    def check(resource: Any, old: Json | None, new: Json | None) -> None:
        if resource is JOBS and new is not None:
            assert new["status"].get("succeeded", 0) <= 6
        if resource is PODS:
            running = [
                p for p in sim.cluster.all(PODS) if p["status"]["phase"] in ("Pending", "Running")
            ]
            assert len([p for p in running if "deletionTimestamp" not in p["metadata"]]) <= 3

    sim.cluster.observers.append(check)
    sim.run(600)
    sim.settle(horizon=100_000)
    status = sim.cluster.get(JOBS, "work")["status"]
    assert {c["type"] for c in status["conditions"]} == {"SuccessCriteriaMet", "Complete"}
    assert status["succeeded"] == 6 == len(ended(sim, "Succeeded"))
    assert status.get("failed", 0) == len(ended(sim, "Failed"))
    assert not any(p["metadata"].get("finalizers") for p in sim.cluster.all(PODS))


@pytest.mark.parametrize("seed", seeds(30))
def test_each_index_succeeds_once_or_is_given_up_after_its_tries(seed: int) -> None:
    sim = simulated(
        seed, completions=5, parallelism=3, completionMode="Indexed", backoffLimitPerIndex=1,
        backoffLimit=2**31 - 1,
    )  # fmt: skip
    sim.ends = luck(sim, 0.4)
    sim.run(500)
    sim.settle(horizon=100_000)
    tries: dict[str, list[str]] = {}
    seen = set()
    for change in sim.cluster.log:
        phase = change.object.get("status", {}).get("phase")
        uid = change.object["metadata"]["uid"]
        if change.resource is PODS and phase in ("Succeeded", "Failed") and uid not in seen:
            seen.add(uid)
            index = change.object["metadata"]["annotations"][INDEX]
            tries.setdefault(index, []).append(phase)
    status = sim.cluster.get(JOBS, "work")["status"]
    for index, ends in tries.items():
        if int(index) in indexes.read(status.get("completedIndexes"), 5):
            assert ends.count("Succeeded") == 1
            assert len(ends) <= 2
        else:
            assert ends == ["Failed", "Failed"]
    assert len(tries) == 5


@pytest.mark.parametrize("seed", seeds(15))
def test_suspended_resumed_and_resized_it_still_comes_to_its_end(seed: int) -> None:
    sim = simulated(seed, completions=5, parallelism=2, backoffLimit=100)
    sim.ends = luck(sim, 0.2)
    for change in ({"suspend": True}, {"suspend": False, "parallelism": 4}, {"parallelism": 1}):
        sim.run(60)
        current = copied(sim.cluster.get(JOBS, "work"))
        if any(c["type"] == "Complete" for c in current.get("status", {}).get("conditions", ())):
            break
        sim.change(JOBS, "work", lambda j, c=change: j["spec"].update(c))
    sim.settle(horizon=100_000)
    status = sim.cluster.get(JOBS, "work")["status"]
    assert status["succeeded"] == 5
    assert any(c["type"] == "Complete" for c in status["conditions"])
