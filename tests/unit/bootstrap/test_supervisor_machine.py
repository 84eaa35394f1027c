"""What the supervisor does with one daemon, by values: no process, no clock."""

from __future__ import annotations

from pykubelet.bootstrap.supervisor import machine
from pykubelet.bootstrap.supervisor.machine import Act, Limits, Phase, State

LIMITS = Limits(start=90, stop=30, watchdog=60)


def running(since: float = 0.0) -> State:
    starting = machine.start(State(), since, LIMITS).state
    return machine.ready(starting, since, LIMITS).state


def test_it_is_spawned_and_runs_once_it_says_ready() -> None:
    turn = machine.start(State(), 10, LIMITS)
    assert (turn.act, turn.state.phase, turn.state.deadline) == (Act.SPAWN, Phase.STARTING, 100)
    turn = machine.ready(turn.state, 12.5, LIMITS)
    assert (turn.act, turn.state.phase, turn.say) == (None, Phase.RUNNING, "ready after 2.5 s")


def test_pauses_between_crashes_double_up_to_half_a_minute() -> None:
    state, now, pauses = running(), 1.0, []
    for _ in range(9):
        turn = machine.exited(state, now, LIMITS, "ended with code 1")
        assert turn.state.phase is Phase.WAITING
        assert turn.state.deadline is not None
        pauses.append(turn.state.deadline - now)
        now = turn.state.deadline
        turn = machine.passed(turn.state, now, LIMITS)
        assert turn.act is Act.SPAWN
        state = machine.ready(turn.state, now, LIMITS).state
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert state.restarts == 9


def test_a_crash_after_a_sound_run_counts_as_the_first() -> None:
    state = State(Phase.RUNNING, since=0, failures=7, wanted=True)
    assert machine.exited(state, 61, LIMITS, "ended").state.failures == 1
    assert machine.exited(state, 59, LIMITS, "ended").state.failures == 8


def test_a_silent_daemon_is_aborted_and_then_killed_and_started_again() -> None:
    state = running()
    state = machine.alive(state, 50, LIMITS).state
    assert machine.passed(state, 109, LIMITS).act is None
    turn = machine.passed(state, 110, LIMITS)
    assert (turn.act, turn.say) == (Act.ABORT, "silent for 60 s; ending it")
    turn = machine.passed(turn.state, 140, LIMITS)
    assert turn.act is Act.KILL
    turn = machine.exited(turn.state, 141, LIMITS, "ended by SIGKILL")
    assert (turn.state.phase, turn.state.failures) == (Phase.WAITING, 1)


def test_one_that_never_gets_ready_is_ended_and_tried_again() -> None:
    state = machine.start(State(), 0, LIMITS).state
    turn = machine.passed(state, 90, LIMITS)
    assert (turn.act, turn.say) == (Act.TERMINATE, "not ready after 90 s; ending it")
    assert machine.exited(turn.state, 91, LIMITS, "ended").state.phase is Phase.WAITING


def test_one_that_asks_for_patience_gets_it_while_it_starts() -> None:
    state = machine.start(State(), 0, LIMITS).state
    state = machine.extended(state, 80, 60).state
    assert machine.passed(state, 139, LIMITS).act is None
    assert machine.passed(state, 140, LIMITS).act is Act.TERMINATE
    assert machine.extended(state, 80, 1).state == state  # never less than it had
    assert machine.extended(running(), 0, 1000).state == running()


def test_stopping_is_final_and_a_restart_is_immediate() -> None:
    stopping = machine.stop(running(), 5, LIMITS)
    assert (stopping.act, stopping.state.phase) == (Act.TERMINATE, Phase.STOPPING)
    assert machine.exited(stopping.state, 6, LIMITS, "ended").state.phase is Phase.STOPPED
    again = machine.start(stopping.state, 5, LIMITS)
    assert again.act is None  # the old one has to be gone first
    assert machine.exited(again.state, 6, LIMITS, "ended").act is Act.SPAWN


def test_a_stop_during_a_pause_cancels_the_next_start() -> None:
    waiting = machine.exited(running(), 1, LIMITS, "ended").state
    turn = machine.stop(waiting, 1.1, LIMITS)
    assert (turn.act, turn.state.phase, turn.state.deadline) == (None, Phase.STOPPED, None)


def test_somebody_elses_daemon_is_left_alone() -> None:
    turn = machine.foreign(State(), 0)
    assert (turn.act, turn.state.phase) == (None, Phase.FOREIGN)
    assert machine.stop(turn.state, 1, LIMITS).act is None
    assert machine.start(turn.state, 1, LIMITS).act is Act.SPAWN  # once it has gone away
