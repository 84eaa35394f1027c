"""What a probe's answers mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.kubelet.probes.state import (
    TRANSITIONS,
    Kind,
    Outcome,
    Phase,
    Spec,
    State,
    Turn,
    answered,
    diagram,
    spec,
    specs,
    terminating,
    wants_more,
)

OK, BAD, ODD = Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNKNOWN


def play(of: Spec, *outcomes: Outcome) -> State:
    state = State()
    for outcome in outcomes:
        state = answered(of, state, outcome, "said so")
    return state


def test_defaults_are_those_of_the_api() -> None:
    assert spec(Kind.LIVENESS, {"exec": {}, "periodSeconds": 0}) == Spec(
        Kind.LIVENESS, {"exec": {}, "periodSeconds": 0}, 0.0, 10.0, 1.0, 1, 3, None
    )


def test_a_containers_probes_are_found_by_kind() -> None:
    container: dict[str, Any] = {
        "startupProbe": {"exec": {}, "terminationGracePeriodSeconds": 5},
        "readinessProbe": {"tcpSocket": {"port": 1}},
    }
    found = specs(container)
    assert set(found) == {Kind.STARTUP, Kind.READINESS}
    assert found[Kind.STARTUP].grace == 5


@pytest.mark.parametrize("kind", [Kind.STARTUP, Kind.LIVENESS])
def test_three_failures_in_a_row_hold_a_container_and_fewer_do_not(kind: Kind) -> None:
    of = Spec(kind, {})
    assert play(of, BAD, BAD).phase is Phase.WAITING
    assert play(of, BAD, BAD, BAD).phase is Phase.HELD


def test_a_success_between_failures_starts_the_count_again() -> None:
    assert play(Spec(Kind.LIVENESS, {}), BAD, BAD, OK, BAD, BAD).phase is Phase.PASSING


def test_readiness_comes_and_goes_by_its_thresholds() -> None:
    of = Spec(Kind.READINESS, {}, success_threshold=2, failure_threshold=2)
    assert play(of, OK).phase is Phase.WAITING
    assert play(of, OK, OK).phase is Phase.PASSING
    assert play(of, OK, OK, BAD).phase is Phase.PASSING
    assert play(of, OK, OK, BAD, BAD).phase is Phase.FAILING
    assert play(of, OK, OK, BAD, BAD, OK, OK).phase is Phase.PASSING


def test_an_answer_that_could_not_be_had_changes_no_verdict_and_no_count() -> None:
    of = Spec(Kind.LIVENESS, {})
    state = play(of, BAD, BAD, ODD)
    assert state.phase is Phase.WAITING
    assert state.message == "Liveness probe errored: said so"
    assert answered(of, state, BAD, "").phase is Phase.HELD


def test_complaints_read_as_upstreams_do_and_go_with_a_success() -> None:
    of = Spec(Kind.READINESS, {})
    assert play(of, BAD).message == "Readiness probe failed: said so"
    assert play(of, BAD, OK).message == ""


def test_a_startup_probe_that_passed_has_done_its_work() -> None:
    of = Spec(Kind.STARTUP, {})
    assert wants_more(of, play(of, BAD))
    assert not wants_more(of, play(of, OK))


def test_once_the_pod_is_told_to_stop_only_readiness_goes_on() -> None:
    assert terminating(Spec(Kind.LIVENESS, {}), State()).over
    assert terminating(Spec(Kind.STARTUP, {}), State(Phase.HELD)).phase is Phase.STOPPED
    readiness = Spec(Kind.READINESS, {})
    assert wants_more(readiness, terminating(readiness, State(Phase.PASSING)))


@given(
    st.sampled_from(Kind),
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(st.sampled_from(Outcome), max_size=40),
)
def test_a_verdict_always_has_its_threshold_of_equal_answers_behind_it(
    kind: Kind, passes: int, failures: int, outcomes: list[Outcome]
) -> None:
    of = Spec(kind, {}, success_threshold=passes, failure_threshold=failures)
    state = State()
    for number, outcome in enumerate(outcomes):
        after = answered(of, state, outcome, "")
        if after.phase is not state.phase:
            known = [o for o in outcomes[: number + 1] if o is not ODD]
            need = passes if outcome is OK else failures
            assert known[-need:] == [outcome] * need
        state = after


def test_the_diagram_is_drawn_from_the_table() -> None:
    drawn = diagram(Kind.LIVENESS)
    assert f"PASSING --> HELD: {Turn.FAILED.value}" in drawn
    assert drawn.count("-->") == 1 + sum(kind is Kind.LIVENESS for kind, _, _ in TRANSITIONS)
