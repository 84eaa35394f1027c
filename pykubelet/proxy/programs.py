"""Runs the packet filter's own programs: text in, text out, errors mapped at this rim."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from pykubelet.errors import Failed, TimedOut

_TIMEOUT = 60.0
_SAID = 400

_recent: tuple[int, ...] = ()
_REMEMBERED = 256


def is_own(process: int) -> bool:
    """Whether it was one of the latest that ran here: how own changes to the rules are known."""
    return process in _recent


def run(command: Sequence[str], text: str = "") -> str:
    """What it printed. Raises Failed with what it complained of, TimedOut after a minute."""
    global _recent
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from error
    _recent = (*_recent[1 - _REMEMBERED :], process.pid)
    try:
        printed, complaint = process.communicate(text.encode(), _TIMEOUT)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise TimedOut(f"{command[0]} did not end in {_TIMEOUT:g} s") from error
    if process.returncode:
        said = complaint.decode(errors="replace").strip()
        raise Failed(f"{' '.join(command)}: exit {process.returncode}: {said[:_SAID]}")
    return printed.decode(errors="replace")
