"""What to do with one supervised daemon: its states and what moves it between them. Pure.

    stopped ──start──▶ starting ──ready──▶ running
       ▲                  │ exit, timeout     │ exit, silence
       │                  ▼                   ▼
    stopping ◀──stop── waiting ◀─────────────┘      (waiting ──time──▶ starting)

`foreign` stands aside: somebody else's daemon answers where ours would, so ours isn't started.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

# The first restart comes at once: most crashes are single ones. Then the pauses double.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# A daemon that has run this long is sound: its next crash counts as its first.
SOUND_AFTER = 60.0


class Phase(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    WAITING = "waiting"
    FOREIGN = "foreign"


class Act(Enum):
    SPAWN = "spawn"
    TERMINATE = "SIGTERM"
    ABORT = "SIGABRT"  # leaves a trace of where it hung
    KILL = "SIGKILL"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. `watchdog` 0: the daemon isn't expected to say that it lives."""

    start: float = 90.0
    stop: float = 30.0
    watchdog: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """`deadline` is when something happens by itself: a timeout, or the end of a pause."""

    phase: Phase = Phase.STOPPED
    since: float = 0.0
    deadline: float | None = None
    failures: int = 0
    restarts: int = 0
    wanted: bool = False
    status: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """The next state, what to do now, and the sentence for the log (empty: nothing worth one)."""

    state: State
    act: Act | None = None
    say: str = ""


def start(state: State, now: float, limits: Limits) -> Turn:
    """It shall run."""
    if state.phase in (Phase.STARTING, Phase.RUNNING):
        return Turn(replace(state, wanted=True))
    if state.phase is Phase.STOPPING:
        return Turn(replace(state, wanted=True, failures=0))  # starts when the old one is gone
    return _spawn(replace(state, wanted=True, failures=0), now, limits, "starting")


def stop(state: State, now: float, limits: Limits) -> Turn:
    """It shall not run (any more)."""
    state = replace(state, wanted=False)
    if state.phase in (Phase.STARTING, Phase.RUNNING):
        stopping = replace(state, phase=Phase.STOPPING, since=now, deadline=now + limits.stop)
        return Turn(stopping, Act.TERMINATE, "stopping")
    if state.phase is Phase.STOPPING:
        return Turn(state)
    return Turn(State(Phase.STOPPED, now, restarts=state.restarts))


def foreign(state: State, now: float) -> Turn:
    """Somebody else's answers already; ours stays out of its way."""
    if state.phase is Phase.FOREIGN:
        return Turn(state)
    return Turn(State(Phase.FOREIGN, now, wanted=True), None, "one is running already; leaving it")


def ready(state: State, now: float, limits: Limits) -> Turn:
    if state.phase is not Phase.STARTING:
        return Turn(state)
    running = replace(state, phase=Phase.RUNNING, since=now, deadline=_silence(now, limits))
    return Turn(running, None, f"ready after {now - state.since:.1f} s")


def alive(state: State, now: float, limits: Limits) -> Turn:
    """It said so (WATCHDOG=1)."""
    if state.phase is not Phase.RUNNING:
        return Turn(state)
    return Turn(replace(state, deadline=_silence(now, limits)))


def extended(state: State, now: float, seconds: float) -> Turn:
    """It asks for patience with its start or its end (EXTEND_TIMEOUT_USEC=…)."""
    if state.phase not in (Phase.STARTING, Phase.STOPPING) or state.deadline is None:
        return Turn(state)
    return Turn(replace(state, deadline=max(state.deadline, now + seconds)))


def told(state: State, status: str) -> Turn:
    """Its own words about itself (STATUS=…)."""
    return Turn(replace(state, status=status))


def exited(state: State, now: float, limits: Limits, how: str) -> Turn:
    """The process is gone; `how` tells in words with which code or by which signal."""
    if not state.wanted:
        return Turn(State(Phase.STOPPED, now, restarts=state.restarts), None, f"stopped ({how})")
    if state.phase is Phase.STOPPING and state.failures == 0:
        return _spawn(state, now, limits, "restarting")
    sound = state.phase is Phase.RUNNING and now - state.since >= SOUND_AFTER
    # What we had to end ourselves was counted when we gave it up.
    failures = 1 if sound else state.failures + (state.phase is not Phase.STOPPING)
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 16))
    waiting = replace(
        state, phase=Phase.WAITING, since=now, deadline=now + pause, failures=failures, status=""
    )
    return Turn(waiting, None, f"{how}; starting it again in {pause:g} s")


def passed(state: State, now: float, limits: Limits) -> Turn:
    """Time has passed: has a deadline come?"""
    if state.deadline is None or now < state.deadline:
        return Turn(state)
    grace = now + limits.stop
    match state.phase:
        case Phase.WAITING:
            again = replace(state, restarts=state.restarts + 1)
            return _spawn(again, now, limits, f"starting again (failure {state.failures})")
        case Phase.STARTING:
            slow = replace(state, phase=Phase.STOPPING, deadline=grace, failures=state.failures + 1)
            return Turn(slow, Act.TERMINATE, f"not ready after {limits.start:g} s; ending it")
        case Phase.RUNNING:
            hung = replace(state, phase=Phase.STOPPING, deadline=grace, failures=state.failures + 1)
            return Turn(hung, Act.ABORT, f"silent for {limits.watchdog:g} s; ending it")
        case Phase.STOPPING:
            return Turn(replace(state, deadline=grace), Act.KILL, "did not end in time; killing it")
    return Turn(replace(state, deadline=None))


def _spawn(state: State, now: float, limits: Limits, say: str) -> Turn:
    starting = replace(
        state, phase=Phase.STARTING, since=now, deadline=now + limits.start, status=""
    )
    return Turn(starting, Act.SPAWN, say)


def _silence(now: float, limits: Limits) -> float | None:
    return now + limits.watchdog if limits.watchdog else None
