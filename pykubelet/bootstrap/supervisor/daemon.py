"""The supervisor itself: one thread, one selector, no polling.

Events (a process ended, a datagram of sd_notify(3), a control connection, a deadline) go into
`machine`, whose actions are carried out here. Processes are watched by pidfd, so a supervisor that
was killed takes up the daemons of its predecessor: they are found through the state file.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykubelet.bootstrap.install.paths import LOGS, RUN
from pykubelet.bootstrap.supervisor import logs, machine
from pykubelet.bootstrap.supervisor.machine import Act, Phase, State, Turn
from pykubelet.bootstrap.supervisor.processes import (
    answers,
    how_it_ended,
    shield_from_oom,
    start_time,
)
from pykubelet.bootstrap.supervisor.services import Service
from pykubelet.errors import Failed

log = logging.getLogger(__name__)

_LOOK_AT_LOGS = 60.0  # seconds
_PROBE = 0.1  # while a socket isn't answering yet; only during a start
_WATCH_FOREIGN = 10.0
Json = dict[str, Any]


@dataclass
class _Run:
    """One service as it is running: its state, its process and its open files."""

    service: Service
    state: State = field(default_factory=State)
    pid: int = 0
    pidfd: int = -1
    child: subprocess.Popen[bytes] | None = None
    notify: socket.socket | None = None
    held: bool = False  # stopped by a control word; only another one starts it again


class Daemon:
    """Owns `run_dir` (control socket, notify sockets, state) and `log_dir`."""

    def __init__(
        self, services: tuple[Service, ...], run_dir: Path = RUN, log_dir: Path = LOGS
    ) -> None:
        self._runs = {service.name: _Run(service) for service in services}
        self._run_dir = run_dir
        self._log_dir = log_dir
        self._selector = selectors.DefaultSelector()
        self._timers: dict[str, float] = {}
        self._ending = False
        self._wakeup: tuple[socket.socket, socket.socket] | None = None
        self._control: socket.socket | None = None

    # -- the loop ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Supervise until SIGTERM, SIGINT or the control word `stop`. Raises Failed if another
        supervisor is at work."""
        self._run_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._listen()
        try:
            self._catch_signals()
            self._adopt()
            self._timers["logs"] = time.monotonic() + _LOOK_AT_LOGS
            self._start_what_can_start()
            while not self._done():
                for key, _ in self._selector.select(self._patience()):
                    key.data()
                self._tick()
        finally:
            self._close()

    def _done(self) -> bool:
        gone = (Phase.STOPPED, Phase.FOREIGN)
        return self._ending and all(run.state.phase in gone for run in self._runs.values())

    def _patience(self) -> float:
        deadlines = [r.state.deadline for r in self._runs.values() if r.state.deadline is not None]
        return max(0.0, min([*deadlines, *self._timers.values()]) - time.monotonic())

    def _tick(self) -> None:
        now = time.monotonic()
        for run in self._runs.values():
            self._take(run, machine.passed(run.state, now, run.service.limits))
            if self._timers.get(run.service.name, now + 1) <= now:
                self._probe(run)
        if self._timers["logs"] <= now:
            self._timers["logs"] = now + _LOOK_AT_LOGS
            for name in self._runs:
                logs.turn_over(self._log_dir / f"{name}.log")

    # -- acting ------------------------------------------------------------------------------------

    def _take(self, run: _Run, turn: Turn) -> None:
        """Make a turn's state the present one and do what it says."""
        changed = turn.state.phase is not run.state.phase
        run.state = turn.state
        if turn.say:
            log.info("%s: %s", run.service.name, turn.say)
        if turn.act is Act.SPAWN:
            self._spawn(run)
        elif turn.act is not None:
            self._signal(run, turn.act)
        if changed:
            self._write_state()
            if turn.state.phase in (Phase.RUNNING, Phase.FOREIGN):
                self._start_what_can_start()
            elif turn.state.phase is Phase.STOPPED:
                self._stop_what_can_stop()

    def _start_what_can_start(self) -> None:
        if self._ending:
            return
        for run in self._runs.values():
            after = self._runs.get(run.service.after)
            if after and after.state.phase not in (Phase.RUNNING, Phase.FOREIGN):
                continue
            if run.state.phase is not Phase.STOPPED or run.state.wanted or run.held:
                continue
            now = time.monotonic()
            if answers(run.service.socket):
                self._take(run, machine.foreign(run.state, now))
                self._timers[run.service.name] = now + _WATCH_FOREIGN
            else:
                self._take(run, machine.start(run.state, now, run.service.limits))

    def _stop_what_can_stop(self) -> None:
        """In the end: those first that come after others."""
        if not self._ending:
            return
        for run in self._runs.values():
            users = [r for r in self._runs.values() if r.service.after == run.service.name]
            if all(user.state.phase is Phase.STOPPED for user in users):
                self._take(run, machine.stop(run.state, time.monotonic(), run.service.limits))

    def _spawn(self, run: _Run) -> None:
        service = run.service
        env = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
        if service.socket is None:
            env["NOTIFY_SOCKET"] = str(self._notify_path(service.name))
            if service.limits.watchdog:
                env["WATCHDOG_USEC"] = str(int(service.limits.watchdog * 1_000_000))
            self._open_notify(run)
        out = logs.open_for_append(self._log_dir / f"{service.name}.log")
        try:
            run.child = subprocess.Popen(
                service.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd="/",
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            how = f"can't be started: {error}"
            self._take(run, machine.exited(run.state, time.monotonic(), service.limits, how))
            return
        finally:
            os.close(out)
        self._watch(run, run.child.pid)
        shield_from_oom(run.pid)
        if service.socket is not None:
            self._timers[service.name] = time.monotonic() + _PROBE

    def _watch(self, run: _Run, pid: int) -> None:
        run.pid, run.pidfd = pid, os.pidfd_open(pid)
        self._selector.register(run.pidfd, selectors.EVENT_READ, lambda: self._on_exit(run))

    def _signal(self, run: _Run, act: Act) -> None:
        try:
            signal.pidfd_send_signal(run.pidfd, getattr(signal, act.value))
        except ProcessLookupError:
            pass  # it has just ended; the selector will say so

    # -- events ------------------------------------------------------------------------------------

    def _on_exit(self, run: _Run) -> None:
        self._selector.unregister(run.pidfd)
        os.close(run.pidfd)
        how = "ended"
        if run.child is not None:
            how = how_it_ended(run.child.wait())
        run.pid, run.pidfd, run.child = 0, -1, None
        self._timers.pop(run.service.name, None)
        self._take(run, machine.exited(run.state, time.monotonic(), run.service.limits, how))

    def _on_notify(self, run: _Run) -> None:
        assert run.notify
        now, limits = time.monotonic(), run.service.limits
        for line in run.notify.recv(4096).decode(errors="replace").splitlines():
            key, _, value = line.partition("=")
            if (key, value) == ("READY", "1"):
                self._take(run, machine.ready(run.state, now, limits))
            elif (key, value) == ("WATCHDOG", "1"):
                self._take(run, machine.alive(run.state, now, limits))
            elif key == "EXTEND_TIMEOUT_USEC" and value.isdigit():
                self._take(run, machine.extended(run.state, now, int(value) / 1e6))
            elif key == "STATUS":
                self._take(run, machine.told(run.state, value))

    def _probe(self, run: _Run) -> None:
        """Of a service with a socket: does it answer (yet, or still)?"""
        now, name = time.monotonic(), run.service.name
        answering = answers(run.service.socket)
        if run.state.phase is Phase.STARTING and answering:
            self._timers.pop(name)
            self._take(run, machine.ready(run.state, now, run.service.limits))
        elif run.state.phase is Phase.STARTING:
            self._timers[name] = now + _PROBE
        elif run.state.phase is Phase.FOREIGN and not self._ending:
            self._timers[name] = now + _WATCH_FOREIGN
            if not answering:
                self._timers.pop(name)
                self._take(run, machine.start(run.state, now, run.service.limits))
        else:
            self._timers.pop(name)

    # -- control -----------------------------------------------------------------------------------

    def _listen(self) -> None:
        path = self._run_dir / "supervisor.sock"
        if answers(path):
            raise Failed(f"a supervisor is running already ({path})")
        path.unlink(missing_ok=True)
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._control.bind(str(path))
        path.chmod(0o600)
        self._control.listen()
        self._selector.register(self._control, selectors.EVENT_READ, self._on_control)

    def _on_control(self) -> None:
        assert self._control
        connection, _ = self._control.accept()
        with connection:
            connection.settimeout(1.0)
            try:
                words = connection.recv(256).decode().split()
                connection.sendall(json.dumps(self._obey(words)).encode())
            except OSError:
                pass  # whoever asked has gone away

    def _obey(self, words: list[str]) -> Json:
        match words:
            case ["status"]:
                pass
            case ["stop"]:
                self._end()
            case ["stop", name] if name in self._runs:
                run = self._runs[name]
                run.held = True
                self._take(run, machine.stop(run.state, time.monotonic(), run.service.limits))
            case ["restart", name] if name in self._runs:
                run = self._runs[name]
                run.held = False
                now, limits = time.monotonic(), run.service.limits
                self._take(run, machine.stop(run.state, now, limits))
                self._take(run, machine.start(run.state, now, limits))
            case []:
                pass
            case _:
                return {"error": f"unknown words: {' '.join(words)}"}
        return self._tell()

    def _tell(self) -> Json:
        now = time.monotonic()
        return {
            "pid": os.getpid(),
            "services": {
                name: {
                    "phase": run.state.phase.value,
                    "pid": run.pid,
                    "seconds": round(now - run.state.since, 1),
                    "restarts": run.state.restarts,
                    "status": run.state.status,
                    "log": str(self._log_dir / f"{name}.log"),
                }
                for name, run in self._runs.items()
            },
        }

    def _end(self) -> None:
        if not self._ending:
            self._ending = True
            log.info("stopping; the pods stay")
            self._stop_what_can_stop()

    # -- life and afterlife ------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        self._wakeup = socket.socketpair()
        for end in self._wakeup:
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup[1].fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the shell that started us went home
        receiving = self._wakeup[0]

        def on_signal() -> None:
            receiving.recv(64)
            self._end()

        self._selector.register(receiving, selectors.EVENT_READ, on_signal)

    def _notify_path(self, name: str) -> Path:
        return self._run_dir / f"{name}.notify"

    def _open_notify(self, run: _Run) -> None:
        if run.notify is not None:
            return
        path = self._notify_path(run.service.name)
        path.unlink(missing_ok=True)
        run.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        run.notify.bind(str(path))
        on_notify: Callable[[], None] = lambda: self._on_notify(run)  # noqa: E731
        self._selector.register(run.notify, selectors.EVENT_READ, on_notify)

    def _write_state(self) -> None:
        pids = {n: [r.pid, start_time(r.pid)] for n, r in self._runs.items() if r.pid}
        part = self._run_dir / "supervisor.json.part"
        part.write_text(json.dumps({"supervisor": os.getpid(), "pids": pids}))
        part.replace(self._run_dir / "supervisor.json")

    def _adopt(self) -> None:
        """Take up the daemons of a supervisor that was killed."""
        try:
            found = json.loads((self._run_dir / "supervisor.json").read_text())["pids"]
        except (OSError, ValueError, KeyError):
            return
        for name, (pid, started) in found.items():
            run = self._runs.get(name)
            if run is None or start_time(pid) != started or started == 0:
                continue
            now = time.monotonic()
            self._watch(run, pid)
            if run.service.socket is None:
                self._open_notify(run)
            deadline = now + run.service.limits.watchdog if run.service.limits.watchdog else None
            # Not by `_take`, which would start those that come after it: they may be here as well.
            run.state = State(Phase.RUNNING, now, deadline, wanted=True)
            log.info("%s: found running (pid %d)", name, pid)
        self._write_state()

    def _close(self) -> None:
        signal.set_wakeup_fd(-1)
        for sock in (
            self._control,
            *(self._wakeup or ()),
            *(r.notify for r in self._runs.values()),
        ):
            if sock is not None:
                sock.close()
        self._selector.close()
        if self._control is not None and self._ending:
            for path in ("supervisor.sock", "supervisor.json"):
                (self._run_dir / path).unlink(missing_ok=True)
            for name in self._runs:
                self._notify_path(name).unlink(missing_ok=True)
