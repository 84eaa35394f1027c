"""CronJob: schedules and what they start, by values; the same through a crash at any point."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.client.resources import CRON_JOBS, JOBS
from pykubelet.clock import from_rfc3339, rfc3339
from pykubelet.controllers.cronjob import CronJobController
from pykubelet.controllers.cronjob.decision import SCHEDULED, Decision, decide
from pykubelet.controllers.cronjob.schedule import latest, parse, zone_of
from pykubelet.controllers.job import JobController
from pykubelet.controllers.ttl_after_finished import due
from pykubelet.errors import Invalid
from tests.unit.controllers.simulation import Simulation, seeds, template

Json = dict[str, Any]


def after(schedule: str, time: str, zone: str = "") -> str | None:
    found = parse(schedule).after(from_rfc3339(time), zone_of(zone))
    return None if found is None else rfc3339(found)


# -- schedules -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "since", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
        ("* * * * *", "2026-01-01T00:00:59Z", "2026-01-01T00:01:00Z"),
        ("*/15 * * * *", "2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"),
        ("30 4 * * *", "2026-01-01T04:30:00Z", "2026-01-02T04:30:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 12 * * MON-FRI", "2026-01-02T13:00:00Z", "2026-01-05T12:00:00Z"),
        ("0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("5,10-12 1 1 jan,jul ?", "2026-01-01T01:12:00Z", "2026-07-01T01:05:00Z"),
        ("@hourly", "2026-01-01T00:30:00Z", "2026-01-01T01:00:00Z"),
        ("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("@every 1h30m", "2026-01-01T00:00:10Z", "2026-01-01T01:30:10Z"),
        ("0 0 31 2 *", "2026-01-01T00:00:00Z", None),
    ],
)
def test_the_next_time_of(schedule: str, since: str, expected: str | None) -> None:
    assert after(schedule, since) == expected


@pytest.mark.parametrize(
    "schedule",
    ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
     "*/0 * * * *", "5-1 * * * *", "a * * * *", "@never", "@every 0s", "@every soon"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(Invalid):
        parse(schedule)


def test_time_zones_are_kept_through_clock_changes() -> None:
    summer = after("0 9 * * *", "2026-07-01T00:00:00Z", "Europe/Berlin")
    winter = after("0 9 * * *", "2026-01-01T00:00:00Z", "Europe/Berlin")
    assert (summer, winter) == ("2026-07-01T07:00:00Z", "2026-01-01T08:00:00Z")


def test_an_hour_that_does_not_exist_has_no_times() -> None:
    # On 2026-03-29 clocks go from 2:00 to 3:00.
    assert after("30 2 * * *", "2026-03-28T02:00:00Z", "Europe/Berlin") == "2026-03-30T00:30:00Z"


def test_an_hour_that_comes_twice_has_its_times_twice() -> None:
    # On 2026-10-25 clocks go from 3:00 back to 2:00.
    first = after("30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Berlin")
    assert first == "2026-10-25T00:30:00Z"
    assert after("30 2 * * *", first, "Europe/Berlin") == "2026-10-25T01:30:00Z"


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(Invalid):
        zone_of("Mars/Olympus")


@given(
    st.sampled_from(["*/7 * * * *", "0 */5 * * *", "15 3 * * 1", "0 0 1 * *", "* * * * *"]),
    st.integers(0, 2**31),
    st.sampled_from(["", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
)
def test_the_next_time_is_later_and_nothing_lies_between(text: str, at: int, zone: str) -> None:
    schedule, place = parse(text), zone_of(zone)
    found = schedule.after(at, place)
    assert found is not None
    assert found > at
    local = datetime.fromtimestamp(found, place)
    assert (local.minute in schedule.minutes, local.hour in schedule.hours) == (True, True)
    between = schedule.after((at + found) / 2 - 1, place)
    assert between is not None
    assert between <= found or (at + found) / 2 - 1 < at


def test_after_a_long_sleep_the_last_missed_time_is_found_without_counting_them_all() -> None:
    now = from_rfc3339("2026-06-01T12:00:30Z")
    found, missed = latest(parse("* * * * *"), UTC, 0.0, now)
    assert found == now - 30
    assert missed > 100


# -- decisions -----------------------------------------------------------------------------------

CREATED = "2026-01-01T00:00:00Z"
NOW = from_rfc3339("2026-01-01T00:05:20Z")


def cron_job(status: Json | None = None, **spec: Any) -> Json:
    body = {"template": template("tick", "tick:1")}
    return {
        "metadata": {
            "name": "tick", "namespace": "default", "uid": "c", "creationTimestamp": CREATED,
        },
        "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": body}, **spec},
        "status": status or {},
    }  # fmt: skip


def job(name: str, end: str = "", served: str = "", begun: str = CREATED) -> Json:
    conditions = [{"type": end, "status": "True", "lastTransitionTime": begun}] if end else []
    annotations = {SCHEDULED: served} if served else {}
    return {
        "metadata": {
            "name": name, "uid": name, "namespace": "default", "annotations": annotations,
        },
        "spec": {},
        "status": {"startTime": begun, "conditions": conditions, "completionTime": begun},
    }  # fmt: skip


def reasons(found: Decision) -> list[str]:
    return [reason for _, reason, _ in found.events]


def test_a_time_that_has_come_is_served_by_a_job_named_after_it() -> None:
    found = decide(cron_job(), [], NOW)
    assert found.start is not None
    assert found.start["metadata"]["name"] == f"tick-{int(NOW) // 60}"
    assert found.start["metadata"]["annotations"][SCHEDULED] == "2026-01-01T00:05:00Z"
    assert found.status["lastScheduleTime"] == "2026-01-01T00:05:00Z"
    assert found.look_in == pytest.approx(280.1)


def test_each_time_is_served_once_even_if_the_status_was_never_written() -> None:
    found = decide(cron_job(), [job("tick-1", served="2026-01-01T00:05:00Z")], NOW)
    assert found.start is None
    assert found.status["lastScheduleTime"] == "2026-01-01T00:05:00Z"
    assert [one["name"] for one in found.status["active"]] == ["tick-1"]


def test_suspended_it_starts_nothing() -> None:
    assert decide(cron_job(suspend=True), [], NOW).start is None


def test_a_time_that_was_missed_for_too_long_is_let_go() -> None:
    assert decide(cron_job(startingDeadlineSeconds=10), [], NOW).start is None
    assert decide(cron_job(startingDeadlineSeconds=60), [], NOW).start is not None


def test_forbidden_beside_another_it_waits() -> None:
    found = decide(cron_job(concurrencyPolicy="Forbid"), [job("old")], NOW)
    assert (found.start, reasons(found)) == (None, ["JobAlreadyActive"])


def test_replacing_ends_the_one_that_runs() -> None:
    found = decide(cron_job(concurrencyPolicy="Replace"), [job("old")], NOW)
    assert found.start is not None
    assert [one["metadata"]["name"] for one in found.delete] == ["old"]


def test_finished_jobs_are_kept_up_to_the_limits() -> None:
    jobs = [job(f"s{n}", "Complete", begun=f"2026-01-01T00:0{n}:00Z") for n in range(5)]
    jobs += [job(f"f{n}", "Failed", begun=f"2026-01-01T00:0{n}:00Z") for n in range(3)]
    found = decide(cron_job(suspend=True, successfulJobsHistoryLimit=2), jobs, NOW)
    gone = sorted(one["metadata"]["name"] for one in found.delete)
    assert gone == ["f0", "f1", "s0", "s1", "s2"]


def test_a_wrong_zone_or_schedule_is_told() -> None:
    assert reasons(decide(cron_job(timeZone="No/Where"), [], NOW)) == ["UnknownTimeZone"]
    assert reasons(decide(cron_job(schedule="often"), [], NOW)) == ["UnparseableSchedule"]


def test_a_job_that_ended_is_told_and_remembered() -> None:
    status = {"active": [{"uid": "a", "name": "a"}], "lastScheduleTime": "2026-01-01T00:05:00Z"}
    found = decide(cron_job(status), [job("a", "Complete")], NOW)
    assert reasons(found) == ["SawCompletedJob"]
    assert found.status["lastSuccessfulTime"] == CREATED
    assert found.status["active"] == []


# -- in trouble ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", seeds(15))
def test_through_crashes_each_time_is_served_by_one_job(seed: int) -> None:
    sim = Simulation(seed, [CronJobController, JobController])
    sim.ends = lambda pod: "Succeeded"
    body = cron_job(schedule="* * * * *", successfulJobsHistoryLimit=2)["spec"]
    body["jobTemplate"]["spec"] |= {"selector": {"matchLabels": {"app": "tick"}}}
    sim.cluster.create(CRON_JOBS, {"metadata": {"name": "tick"}, "spec": body})
    sim.run(800)
    sim.trouble = False
    sim.run(200)
    served = [
        c.object["metadata"]["annotations"][SCHEDULED]
        for c in sim.cluster.log
        if c.resource is JOBS and c.kind == "ADDED"
    ]
    assert len(served) > 3
    assert len(served) == len(set(served))


# -- and the end of finished jobs ----------------------------------------------------------------


def test_a_finished_job_goes_when_its_time_is_over() -> None:
    done = job("a", "Complete")
    assert due(done) is None
    done["spec"]["ttlSecondsAfterFinished"] = 30
    assert due(done) == from_rfc3339(CREATED) + 30
    running = job("b")
    running["spec"]["ttlSecondsAfterFinished"] = 30
    assert due(running) is None
