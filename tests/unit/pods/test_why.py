"""The story of a pod, from file to probe, told from values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pykubelet.kubelet.pods.chain import Chain, chain_from_json
from pykubelet.kubelet.pods.snapshot import (
    Decision,
    Failure,
    Phase,
    Prepare,
    RunSandbox,
    Snapshot,
    Underway,
    Verdict,
    start_key,
)
from pykubelet.kubelet.pods.why import FileFacts, explain
from pykubelet.kubelet.probes.schedule import ProbeResult
from pykubelet.kubelet.runtime.model import Container, ContainerState, PodRuntime, Sandbox

FILE = FileFacts("/m/web.yaml", modified_at=1000.0)
SANDBOX = Sandbox("s", "u", "web-n", "default", 0, True, 1_000_000_000, ("10.1.0.2",))
PROBE = {"tcpSocket": {"port": 80}}
POD: dict[str, Any] = {
    "metadata": {"name": "web-n", "namespace": "default", "uid": "u"},
    "spec": {
        "initContainers": [{"name": "setup", "image": "tool"}],
        "containers": [
            {"name": "app", "image": "web:1", "livenessProbe": PROBE, "readinessProbe": PROBE}
        ],
    },
}


def container(name: str, state: ContainerState, **more: Any) -> Container:
    return Container(
        f"id-{name}", name, "s", "u", more.pop("attempt", 0), state,
        started_at=2_000_000_000, finished_at=3_000_000_000, **more,
    )  # fmt: skip


SETUP_DONE = container("setup", ContainerState.EXITED)
APP_RUNS = container("app", ContainerState.RUNNING)
WAITING = Snapshot(POD, PodRuntime("u"), now=50.0, wall=2000.0)
RUNNING = replace(
    WAITING,
    prepared=True,
    runtime=PodRuntime("u", sandboxes=(SANDBOX,), containers=(APP_RUNS, SETUP_DONE)),
    health={"app": ProbeResult(True, True, True)},
)


def tell(snapshot: Snapshot | None, file: FileFacts | None = FILE, **decided: Any) -> Chain:
    decision = Decision(Phase.SYNCING, "all is well", **decided)
    return explain("web", file, snapshot, decision if snapshot else None, {})


def state(chain: Chain, name: str) -> tuple[str, str]:
    step = next(step for step in chain.steps if step.name == name)
    return step.state, step.sentence


def test_a_healthy_pod_has_every_step_behind_it() -> None:
    chain = tell(RUNNING)
    assert chain.well
    assert chain.stands is None
    assert [step.name for step in chain.steps] == [
        "file",
        "manifest",
        "admission",
        "volumes and cgroup",
        "sandbox and network",
        "image of setup",
        "init container setup",
        "image of app",
        "container app",
        "probes of app",
    ]
    assert state(chain, "sandbox and network")[1] == "ready, address 10.1.0.2"
    assert state(chain, "init container setup")[1] == "exited with code 0"
    assert state(chain, "probes of app")[1] == "liveness and readiness: all is well"
    assert chain.next == "all is well"


def test_a_refused_manifest_says_where_and_that_the_old_pod_stays() -> None:
    """Complaint 9: a static pod does not start and nothing says why."""
    spoilt = replace(FILE, problems=("/m/web.yaml:7: spec.x: unknown field", "more"), kept=True)
    chain = tell(RUNNING, spoilt)
    assert chain.stands
    assert chain.stands.name == "manifest"
    assert "/m/web.yaml:7" in chain.stands.sentence
    assert "stays in force" in chain.stands.sentence
    assert chain.stands.details == ("more",)
    alone = tell(None, replace(spoilt, kept=False))
    assert alone.next == "It is read again as soon as it is changed."
    assert not alone.well


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (FileFacts("/m/x", exists=False), "not there"),
        (FileFacts("/m/.x.swp", ignored=True), "ignored"),
        (FileFacts("/m/x", settles_at=3.0), "still being written"),
    ],
)
def test_a_file_that_does_not_count_yet_says_so(file: FileFacts, said: str) -> None:
    """Complaint 10: editor backup and dot files in the manifest folder."""
    chain = tell(None, file)
    assert chain.stands
    assert said in chain.stands.sentence
    assert chain.next
    assert chain.pod == ""


def test_a_rejected_pod_ends_its_story_at_admission() -> None:
    verdict = Verdict("OutOfcpu", "asked for 9, 2 are free")
    chain = explain(
        "web", FILE, replace(WAITING, verdict=verdict), Decision(Phase.TERMINATED, "ended"), {}
    )
    assert state(chain, "admission") == ("failed", "OutOfcpu: asked for 9, 2 are free")
    assert [s.name for s in chain.steps][-2:] == ["admission", "stop"]


def test_a_pod_waits_for_the_one_it_replaces() -> None:
    """Complaint 11: an edited static pod starts before the old one is gone."""
    chain = tell(replace(WAITING, predecessor="old-uid"))
    assert chain.stands
    assert (chain.stands.name, chain.stands.state) == ("admission", "waiting")
    assert "old-uid" in chain.stands.sentence


def test_what_is_under_way_is_now_and_what_comes_after_waits() -> None:
    chain = tell(replace(WAITING, busy={Prepare().key: Underway(Prepare(), 40.0)}))
    assert state(chain, "volumes and cgroup")[0] == "now"
    assert chain.steps[3].since == "1970-01-01T00:33:10Z"  # ten seconds ago
    assert state(chain, "sandbox and network")[0] == "waiting"
    assert state(chain, "container app")[0] == "waiting"
    assert chain.stands
    assert chain.stands.name == "volumes and cgroup"
    chain = tell(
        replace(WAITING, prepared=True, busy={RunSandbox(0).key: Underway(RunSandbox(0), 49.0)})
    )
    assert state(chain, "sandbox and network") == ("now", "being created")


def test_a_failed_step_says_why_and_when_it_is_tried_again() -> None:
    failures = {RunSandbox(0).key: Failure("FailedCreatePodSandBox", "no CNI config", 62.0)}
    chain = tell(replace(WAITING, prepared=True, failures=failures), look_at=62.0)
    assert state(chain, "sandbox and network") == (
        "failed",
        "FailedCreatePodSandBox: no CNI config; tried again in 12 s",
    )
    assert chain.seconds == 12.0


def test_trouble_with_an_image_is_the_images_and_the_container_waits_for_it() -> None:
    failures = {start_key("app"): Failure("ImagePullBackOff", "no route", 200.0)}
    runtime = replace(RUNNING.runtime, containers=(SETUP_DONE,))
    chain = tell(replace(RUNNING, runtime=runtime, failures=failures))
    assert state(chain, "image of app") == (
        "failed",
        "ImagePullBackOff: no route; tried again in 2 min 30 s",
    )
    assert state(chain, "container app") == ("waiting", "waits for its image")
    assert state(chain, "probes of app")[0] == "waiting"


def test_a_crash_loop_tells_code_times_last_words_and_the_next_start() -> None:
    crashed = container(
        "app", ContainerState.EXITED, exit_code=2, attempt=3, message="no such table\n"
    )
    runtime = replace(RUNNING.runtime, containers=(crashed, SETUP_DONE))
    chain = tell(replace(RUNNING, runtime=runtime, restart_at={"app": 90.0}))
    step = chain.stands
    assert step
    assert step.sentence == "exited with code 2, restarted 3 times; started again in 40 s"
    assert step.details == ("no such table",)
    assert step.since == "1970-01-01T00:00:03Z"


def test_a_probe_that_fails_is_where_a_running_pod_stands() -> None:
    health = {"app": ProbeResult(True, False, True, "connection refused")}
    chain = tell(replace(RUNNING, health=health))
    assert state(chain, "probes of app") == ("failed", "readiness fails: connection refused")
    health = {"app": ProbeResult(True, True, False, "HTTP 500", "liveness")}
    chain = tell(replace(RUNNING, health=health))
    assert state(chain, "probes of app") == ("failed", "liveness fails: HTTP 500")


def test_a_pod_that_is_being_stopped_says_so() -> None:
    gone = FileFacts("/m/web.yaml", exists=False)
    chain = explain("web", gone, RUNNING, Decision(Phase.TERMINATING, "no longer wanted"), {})
    assert [(s.name, s.state, s.sentence) for s in chain.steps] == [
        ("file", "done", "/m/web.yaml was removed"),
        ("admission", "done", "this node takes it"),
        ("init container setup", "done", "exited with code 0"),
        ("container app", "now", "still running"),
        ("stop", "now", "no longer wanted"),
    ]


def test_a_pod_that_ran_to_its_end_is_well_only_if_its_containers_were() -> None:
    for code, well in ((0, True), (3, False)):
        ended = container("app", ContainerState.EXITED, exit_code=code)
        runtime = replace(RUNNING.runtime, containers=(ended, SETUP_DONE))
        decision = Decision(Phase.TERMINATED, "ran to its end")
        chain = explain("web", None, replace(RUNNING, runtime=runtime), decision, {})
        assert chain.steps[0].name == "source"
        assert chain.well is well


def test_the_pod_stands_at_the_init_container_that_runs() -> None:
    runs = container("setup", ContainerState.RUNNING)
    runtime = replace(RUNNING.runtime, containers=(runs,))
    chain = tell(replace(RUNNING, runtime=runtime))
    assert state(chain, "init container setup") == ("now", "running; the next waits for its end")
    assert chain.stands
    assert chain.stands.name == "init container setup"


def test_the_termination_message_is_found_in_the_status() -> None:
    ended = container("app", ContainerState.EXITED, exit_code=1)
    runtime = replace(RUNNING.runtime, containers=(ended, SETUP_DONE))
    last = {"terminated": {"exitCode": 1, "message": "dying words\n"}}
    told = {"containerStatuses": [{"name": "app", "state": {"waiting": {}}, "lastState": last}]}
    chain = explain("web", FILE, replace(RUNNING, runtime=runtime), None, told)
    assert chain.stands
    assert chain.stands.details == ("dying words",)


def test_a_chain_survives_its_journey_as_json() -> None:
    chain = tell(replace(RUNNING, health={"app": ProbeResult(True, False, True)}), look_at=55.0)
    assert chain_from_json(chain.to_json()) == chain
    assert chain.to_json()["stands"] == "probes of app"
