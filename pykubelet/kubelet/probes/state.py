"""What a probe's answers mean: the state machine of one probe of one container. Pure.

A probe waits for its first verdict, then passes or fails. `successThreshold` or `failureThreshold`
equal answers in a row make a verdict; answers that could not be had (UNKNOWN: the runtime or this
node failed, not the container) count for nothing. A failed startup or liveness probe is held until
its container has been replaced; a passed startup probe has done its work. The table below is the
whole machine; `diagram` draws it. Source: the Probe type of the core v1 API reference.

`schedule` keeps one State for each probe, and tells when the next answer is due.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

Json = dict[str, Any]


class Kind(Enum):
    STARTUP = "startup"
    LIVENESS = "liveness"
    READINESS = "readiness"


class Outcome(Enum):
    """One answer; the values are those of the `result` label of prober_probe_total."""

    SUCCESS = "successful"
    FAILURE = "failed"
    UNKNOWN = "unknown"


class Phase(Enum):
    WAITING = "waiting for the first verdict"
    PASSING = "passing"
    FAILING = "failing"
    HELD = "failed, on hold until the container is replaced"
    STOPPED = "stopped, because the pod is terminating"


class Turn(Enum):
    """What moves a probe to another phase."""

    PASSED = "successThreshold answers in a row"
    FAILED = "failureThreshold failures in a row"
    TERMINATING = "the pod is told to stop"


_S, _L, _R = Kind.STARTUP, Kind.LIVENESS, Kind.READINESS

TRANSITIONS: dict[tuple[Kind, Phase, Turn], Phase] = {
    (_S, Phase.WAITING, Turn.PASSED): Phase.PASSING,
    (_S, Phase.WAITING, Turn.FAILED): Phase.HELD,
    (_S, Phase.WAITING, Turn.TERMINATING): Phase.STOPPED,
    (_L, Phase.WAITING, Turn.PASSED): Phase.PASSING,
    (_L, Phase.WAITING, Turn.FAILED): Phase.HELD,
    (_L, Phase.WAITING, Turn.TERMINATING): Phase.STOPPED,
    (_L, Phase.PASSING, Turn.FAILED): Phase.HELD,
    (_L, Phase.PASSING, Turn.TERMINATING): Phase.STOPPED,
    (_L, Phase.HELD, Turn.TERMINATING): Phase.STOPPED,
    (_S, Phase.HELD, Turn.TERMINATING): Phase.STOPPED,
    (_R, Phase.WAITING, Turn.PASSED): Phase.PASSING,
    (_R, Phase.WAITING, Turn.FAILED): Phase.FAILING,
    (_R, Phase.PASSING, Turn.FAILED): Phase.FAILING,
    (_R, Phase.FAILING, Turn.PASSED): Phase.PASSING,
}
"""Where a turn is not listed, the phase stays. A new container starts at WAITING."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A probe as its container asks for it, defaults filled in. Times are seconds.

    `grace` is the probe's own terminationGracePeriodSeconds, None for the pod's. `handler` is the
    probe object itself: exactly one of exec, httpGet, tcpSocket, grpc is in it.
    """

    kind: Kind
    handler: Json
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    grace: int | None = None


def spec(kind: Kind, probe: Json) -> Spec:
    """A container's startupProbe, livenessProbe or readinessProbe. 0 means the default, as in the
    API."""
    return Spec(
        kind=kind,
        handler=probe,
        initial_delay=float(probe.get("initialDelaySeconds") or 0),
        period=float(probe.get("periodSeconds") or 10),
        timeout=float(probe.get("timeoutSeconds") or 1),
        success_threshold=probe.get("successThreshold") or 1,
        failure_threshold=probe.get("failureThreshold") or 3,
        grace=probe.get("terminationGracePeriodSeconds"),
    )


def specs(container: Json) -> dict[Kind, Spec]:
    """All the probes of a container."""
    return {
        kind: spec(kind, container[f"{kind.value}Probe"])
        for kind in Kind
        if container.get(f"{kind.value}Probe")
    }


@dataclass(frozen=True, slots=True)
class State:
    """`run` is how many times in a row `last` was the answer. `message` is the sentence of the
    latest answer that was no success, empty after a success."""

    phase: Phase = Phase.WAITING
    last: Outcome | None = None
    run: int = 0
    message: str = ""

    @property
    def over(self) -> bool:
        """No more answers are wanted from this probe."""
        return self.phase in (Phase.HELD, Phase.STOPPED)


def wants_more(spec: Spec, state: State) -> bool:
    """Whether the probe should run again. A startup probe that passed has done its work."""
    return not state.over and not (spec.kind is Kind.STARTUP and state.phase is Phase.PASSING)


def answered(spec: Spec, state: State, outcome: Outcome, output: str) -> State:
    """The state after one answer; `output` is what the handler said."""
    if state.over:
        return state
    if outcome is Outcome.UNKNOWN:
        return replace(state, message=sentence(spec.kind, outcome, output))
    run = state.run + 1 if outcome is state.last else 1
    passed = outcome is Outcome.SUCCESS
    phase = state.phase
    if run >= (spec.success_threshold if passed else spec.failure_threshold):
        turn = Turn.PASSED if passed else Turn.FAILED
        phase = TRANSITIONS.get((spec.kind, phase, turn), phase)
    return State(phase, outcome, run, "" if passed else sentence(spec.kind, outcome, output))


def terminating(spec: Spec, state: State) -> State:
    """The state once the pod is told to stop: readiness goes on, the others are over."""
    phase = TRANSITIONS.get((spec.kind, state.phase, Turn.TERMINATING), state.phase)
    return replace(state, phase=phase)


def sentence(kind: Kind, outcome: Outcome, output: str) -> str:
    """`Readiness probe failed: ...`, as upstream's Unhealthy events say it."""
    how = "errored" if outcome is Outcome.UNKNOWN else "failed"
    return f"{kind.value.capitalize()} probe {how}: {output}".rstrip(": ")


def diagram(kind: Kind) -> str:
    """One kind's machine as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.WAITING.name}: the container has started"]
    for (of, phase, turn), to in TRANSITIONS.items():
        if of is kind:
            lines.append(f"    {phase.name} --> {to.name}: {turn.value}")
    return "\n".join(lines) + "\n"
