"""The host's shutdown, as systemd-logind tells of it: delayed, and announced.

One child process does both: `systemd-inhibit` holds a delay lock for as long as the `busctl` below
it listens for PrepareForShutdown; ending the child gives the lock back. logind delays no longer
than its InhibitDelayMaxSec; where that is too short, a drop-in under /run raises it until the next
boot. Sources: org.freedesktop.login1(5), systemd-inhibit(1), logind.conf(5), KEP-2000.
"""

from __future__ import annotations

import json
import logging
import math
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pykubelet.errors import Failed

log = logging.getLogger(__name__)

_LOGIN = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_SIGNAL = "type='signal',interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'"
_DROP_IN = Path("/run/systemd/logind.conf.d/99-pykubelet.conf")


def listening(who: str) -> list[str]:
    """The command that holds the lock and prints the signals, one JSON object a line."""
    return [
        *("systemd-inhibit", "--what=shutdown", "--mode=delay", f"--who={who}"),
        "--why=pods are given the time to end",
        *("busctl", "monitor", "--json=short", f"--match={_SIGNAL}"),
    ]


def announcements(lines: Iterable[str]) -> Iterator[bool]:
    """What was announced, signal by signal: True before a shutdown, False where it was cancelled.

    `busctl` also prints what it says itself to the bus; that is passed over.
    """
    for line in lines:
        try:
            said = json.loads(line)
            if said["type"] == "signal" and said["member"] == "PrepareForShutdown":
                yield bool(said["payload"]["data"][0])
        except (ValueError, KeyError, TypeError, IndexError):
            continue


class Inhibitor:
    """Holds the host's shutdown back until `release`; iterate to hear of it.

    Raises Failed where there is no logind to ask.
    """

    def __init__(self, who: str, seconds: float) -> None:
        self._who = who
        self._process: subprocess.Popen[str] | None = None
        allow(seconds)

    def hold(self) -> Iterator[bool]:
        """Take the lock; the announcements until `release`."""
        try:
            self._process = subprocess.Popen(
                listening(self._who), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise Failed(f"systemd-inhibit can't be run: {error.strerror}") from error
        assert self._process.stdout
        yield from announcements(self._process.stdout)

    def release(self) -> None:
        """Let the host go down, if it wants to. May be called from any thread."""
        process = self._process
        if process and process.poll() is None:
            process.terminate()  # systemd-inhibit ends with what it runs, and its lock with both
            process.wait(5)


def preparing() -> bool:
    """Whether the host is going down right now. Raises Failed where logind can't be asked."""
    return bool(_property("PreparingForShutdown"))


def allow(seconds: float) -> None:
    """See to it that logind lets a shutdown be delayed for so long. Raises Failed."""
    if _delay_allowed() >= seconds:
        return
    text = f"[Login]\nInhibitDelayMaxSec={math.ceil(seconds)}\n"
    try:
        _DROP_IN.parent.mkdir(parents=True, exist_ok=True)
        _DROP_IN.write_text(text)
    except OSError as error:
        raise Failed(f"logind's InhibitDelayMaxSec can't be raised: {error}") from error
    _run("systemctl", "kill", "--signal=HUP", "systemd-logind.service")
    log.info("a shutdown may now be delayed for %.0f s, for pods to end", seconds)


def _delay_allowed() -> float:
    return int(_property("InhibitDelayMaxUSec")) / 1e6


def _property(name: str) -> Any:
    said = _run("busctl", "--json=short", "get-property", *_LOGIN, name)
    try:
        return json.loads(said)["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise Failed(f"logind did not tell its {name}: {said.strip()}") from error


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{command[0]}: {error}") from error
    if done.returncode:
        raise Failed(f"{command[0]} {command[1]}: {done.stderr.strip()}")
    return done.stdout
