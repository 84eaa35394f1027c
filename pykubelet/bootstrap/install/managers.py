"""Who keeps the daemons running: systemd, or where it isn't PID 1, our own supervisor.

To both, stopping the agent or the runtime leaves the pods running.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from pykubelet.bootstrap.install import paths
from pykubelet.bootstrap.install.checks import under_systemd
from pykubelet.bootstrap.install.commands import output
from pykubelet.bootstrap.install.record import Record
from pykubelet.bootstrap.supervisor import control
from pykubelet.bootstrap.supervisor.processes import answers
from pykubelet.errors import Failed, Invalid, PykubeletError, Unavailable

UNIT = "pykubelet.service"
SUPERVISOR = "pykubelet-supervisor"


class Manager(Protocol):
    """`hints`: commands that a person will want to know."""

    name: str
    hints: tuple[str, ...]

    def pids(self) -> frozenset[int]:
        """The agent's process, if it is running already."""

    def start_runtime(self, *, changed: bool) -> None:
        """Have containerd running; `changed`: with a new configuration."""

    def start_agent(self, record: Record, source: Path) -> None:
        """Have the agent running, with the code that has just been installed."""

    def stop_agent(self) -> None:
        """Stop it for good."""

    def stop_runtime(self) -> None:
        """Stop containerd, if nobody but us started it."""

    def start_former_runtime(self) -> None:
        """Have containerd as it was before us, with its former configuration."""


def manager() -> Manager:
    return Systemd() if under_systemd() else Supervised()


class Systemd:
    name = "systemd"
    hints: tuple[str, ...] = ("systemctl status pykubelet", "journalctl -u pykubelet")

    def pids(self) -> frozenset[int]:
        shown = output("systemctl", "show", "--property=MainPID", "--value", UNIT, check=False)
        return frozenset(int(word) for word in shown.split() if word.isdigit())

    def start_runtime(self, *, changed: bool) -> None:
        self._systemctl("enable", "--quiet", "containerd.service")
        self._systemctl("restart" if changed else "start", "containerd.service")

    def start_agent(self, record: Record, source: Path) -> None:
        # A unit that somebody has edited stays; drop-ins are the better place for that.
        record.place(paths.UNITS / UNIT, (source / "systemd" / UNIT).read_bytes())
        self._systemctl("daemon-reload")
        self._systemctl("enable", "--quiet", UNIT)
        self._systemctl("restart", UNIT)

    def stop_agent(self) -> None:
        output("systemctl", "disable", "--now", "--quiet", UNIT, check=False)

    def stop_runtime(self) -> None:
        """It is the distribution's, and runs by itself."""

    def start_former_runtime(self) -> None:
        output("systemctl", "daemon-reload", check=False)
        if shutil.which("containerd"):
            self._systemctl("restart", "containerd.service")

    def _systemctl(self, *words: str) -> None:
        try:
            output("systemctl", *words)
        except Failed as error:
            journal = ("journalctl", "--unit", words[-1], "--lines", "20", "--output", "cat")
            raise Failed(f"{error}\n{output(*journal, check=False).rstrip()}") from error


class Supervised:
    name = "pykubelet's own supervisor"
    hints: tuple[str, ...] = ("pykubelet-supervisor status", f"tail {paths.LOGS}/pykubelet.log")

    def pids(self) -> frozenset[int]:
        try:
            services = control.ask("status")["services"]
        except PykubeletError:
            return frozenset()
        return frozenset({services["pykubelet"]["pid"]} - {0})

    def start_runtime(self, *, changed: bool) -> None:
        """The supervisor starts both daemons. One that runs is replaced: it may be an older one."""
        foreign = _foreign_containerd()
        if changed and foreign:
            raise Invalid(
                "containerd has a new configuration, but it isn't ours to restart",
                remedy="restart it, then run this again",
            )
        control.stop()
        control.start()

    def start_agent(self, record: Record, source: Path) -> None:
        """It is running since `start_runtime`."""
        record.link(paths.COMMANDS / SUPERVISOR, paths.PREFIX / "bin" / SUPERVISOR)

    def stop_agent(self) -> None:
        try:
            control.ask("stop", "pykubelet")
            control.wait_for("pykubelet", "stopped")
        except Unavailable:
            pass  # no supervisor: nothing runs

    def stop_runtime(self) -> None:
        control.stop()

    def start_former_runtime(self) -> None:
        """Nobody but the supervisor would have started it."""


def _foreign_containerd() -> bool:
    """Whether a containerd answers that our supervisor hasn't started."""
    try:
        phase = control.ask("status")["services"]["containerd"]["phase"]
    except Unavailable:
        return answers(paths.CONTAINERD_SOCKET)
    return bool(phase == "foreign")
