"""exec probes: a command in the container, well if it exits with 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pykubelet.errors import Failed, TimedOut
from pykubelet.kubelet.probes.state import Outcome
from pykubelet.kubelet.probes.targets import Target

OUTPUT_LIMIT = 10 * 1024


class ExecResult(Protocol):
    @property
    def exit_code(self) -> int: ...
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...


Exec = Callable[[str, Sequence[str], float], ExecResult]
"""Container id, command, timeout in seconds. Raises TimedOut, or Failed if it could not be run."""


def probe(
    action: dict[str, Any], target: Target, timeout: float, execute: Exec
) -> tuple[Outcome, str]:
    command = list(action.get("command") or ())
    try:
        result = execute(target.container_id, command, timeout)
    except TimedOut:
        return Outcome.FAILURE, f"command timed out: {' '.join(command)!r} after {timeout:g}s"
    except Failed as error:
        return Outcome.UNKNOWN, str(error)
    if result.exit_code == 0:
        return Outcome.SUCCESS, ""
    return Outcome.FAILURE, output(result) or f"exit code {result.exit_code}"


def output(result: ExecResult) -> str:
    """What the command wrote, as text of bounded length."""
    both = result.stdout[:OUTPUT_LIMIT] + result.stderr[:OUTPUT_LIMIT]
    return both[:OUTPUT_LIMIT].decode(errors="replace").strip()
