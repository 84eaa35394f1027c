"""The supervisor with real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykubelet.bootstrap.supervisor import control, logs
from pykubelet.errors import Unavailable
from tests.support.machine import stop
from tests.support.waiting import until

# Says ready, then lives on; a line in its log for each start.
DAEMON = """
    import os, signal, socket, sys, time
    print("started", flush=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.sendto(b"READY=1\\nSTATUS=two pods", os.environ["NOTIFY_SOCKET"])
    while True:
        time.sleep(0.2)
        if not os.path.exists(sys.argv[1]):
            try:
                notify.sendto(b"WATCHDOG=1", os.environ["NOTIFY_SOCKET"])
            except OSError:
                pass  # no supervisor at this moment
"""
SUPERVISOR = """
    import logging, sys
    from pathlib import Path
    from pykubelet.bootstrap.supervisor.daemon import Daemon
    from pykubelet.bootstrap.supervisor.machine import Limits
    from pykubelet.bootstrap.supervisor.services import Service
    logging.basicConfig(level=logging.INFO)
    home = Path(sys.argv[1])
    daemon = Service(
        "daemon", (sys.executable, str(home / "daemon.py"), str(home / "silent")),
        after="server", limits=Limits(start=10, stop=2, watchdog=1.5),
    )
    server = Service(
        "server", (sys.executable, str(home / "server.py"), str(home / "server.sock")),
        home / "server.sock", limits=Limits(start=10, stop=2),
    )
    Daemon((server, daemon), home, home).run()
"""
SERVER = """
    import pathlib, socket, sys
    path = pathlib.Path(sys.argv[1])
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    while True:
        server.accept()[0].close()
"""


class Host:
    def __init__(self, home: Path) -> None:
        self.home = home
        for name, text in (("daemon", DAEMON), ("server", SERVER), ("supervisor", SUPERVISOR)):
            (home / f"{name}.py").write_text(textwrap.dedent(text))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "supervisor.log").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(self.home / "supervisor.py"), str(self.home)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=Path.cwd(),
                env={**os.environ, "PYTHONPATH": os.getcwd()},
            )  # fmt: skip
        control.wait_until_up(self.home, timeout=20)

    def services(self) -> dict[str, Any]:
        found: dict[str, Any] = control.ask("status", run_dir=self.home)["services"]
        return found

    def pid(self, name: str) -> int:
        return int(self.services()[name]["pid"])

    def starts(self) -> int:
        return (self.home / "daemon.log").read_text().count("started")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    try:
        host.start()
        yield host
    finally:
        try:
            pids = [s["pid"] for s in host.services().values() if s["pid"]]
            control.stop(host.home, timeout=10)
        except Unavailable:
            pids = []
        if host.process:
            stop(host.process)
        until(lambda: not any(map(is_alive, pids)), f"{pids} are gone")


def is_alive(pid: int) -> bool:
    """A zombie isn't: whoever inherits orphans here may be slow to reap them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_starts_in_order_and_tells_what_the_daemon_says(host: Host) -> None:
    status = until(lambda: host.services()["daemon"]["status"] and host.services(), "status told")
    assert {name: s["phase"] for name, s in status.items()} == {
        "server": "running",
        "daemon": "running",
    }
    assert status["daemon"]["status"] == "two pods"
    log = (host.home / "supervisor.log").read_text()
    assert log.index("server: ready") < log.index("daemon: starting")


def test_a_killed_daemon_comes_back(host: Host) -> None:
    before = host.pid("daemon")
    os.kill(before, signal.SIGKILL)
    until(lambda: host.services()["daemon"]["restarts"] == 1, "it is started again")
    control.wait_until_up(host.home, timeout=10)
    assert host.pid("daemon") != before
    assert (
        "daemon: ended by SIGKILL; starting it again in 0.5 s"
        in (host.home / "supervisor.log").read_text()
    )


def test_a_silent_daemon_is_ended_and_started_again(host: Host) -> None:
    (host.home / "silent").touch()
    until(lambda: host.starts() >= 2, "a second start", timeout=10)
    assert "daemon: silent for 1.5 s" in (host.home / "supervisor.log").read_text()
    (host.home / "silent").unlink()


def test_a_restart_is_asked_for_by_name(host: Host) -> None:
    before = host.pid("daemon"), host.pid("server")
    control.ask("restart", "daemon", run_dir=host.home)
    control.wait_until_up(host.home, timeout=10)
    after = host.pid("daemon"), host.pid("server")
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_what_was_stopped_by_name_stays_stopped_until_it_is_asked_for(host: Host) -> None:
    control.ask("stop", "daemon", run_dir=host.home)
    control.wait_for("daemon", "stopped", host.home)
    os.kill(host.pid("server"), signal.SIGKILL)
    until(lambda: host.services()["server"]["restarts"] == 1, "the server is started again")
    control.wait_for("server", "running", host.home)
    assert host.services()["daemon"]["phase"] == "stopped"
    control.ask("restart", "daemon", run_dir=host.home)
    control.wait_until_up(host.home, timeout=10)


def test_a_supervisor_that_was_killed_finds_its_daemons_again(host: Host) -> None:
    before = host.pid("daemon"), host.pid("server")
    assert host.process
    host.process.kill()
    host.process.wait()
    host.start()
    assert (host.pid("daemon"), host.pid("server")) == before
    # … and goes on watching them.
    os.kill(before[0], signal.SIGKILL)
    until(lambda: host.starts() == 2, "the adopted daemon is started again")


def test_a_second_supervisor_is_refused(host: Host) -> None:
    second = subprocess.run(
        [sys.executable, str(host.home / "supervisor.py"), str(host.home)],
        capture_output=True, text=True, timeout=20, check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert second.returncode != 0
    assert "a supervisor is running already" in second.stderr
    assert host.services()["daemon"]["phase"] == "running"


def test_sigterm_stops_the_daemons_last_one_first_and_leaves_no_file(host: Host) -> None:
    assert host.process
    host.process.terminate()
    host.process.wait(timeout=10)
    log = (host.home / "supervisor.log").read_text()
    assert log.index("daemon: stopped") < log.index("server: stopping")
    left = {p.name for p in host.home.iterdir()}
    assert not {n for n in left if n.endswith((".notify", ".json", "supervisor.sock"))}
    with pytest.raises(Unavailable):
        host.services()


def test_somebody_elses_server_is_used_and_left_alone(tmp_path: Path) -> None:
    host = Host(tmp_path)
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(tmp_path / "server.sock"))
        foreign.listen()
        try:
            host.start()
            assert host.services()["server"] | {"seconds": 0, "log": ""} == {
                "phase": "foreign", "pid": 0, "seconds": 0, "restarts": 0, "status": "", "log": "",
            }  # fmt: skip
        finally:
            control.stop(host.home, timeout=10)
            if host.process:
                stop(host.process)
    assert (tmp_path / "server.sock").exists()


def test_a_log_that_has_grown_is_turned_over(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    file = logs.open_for_append(path)
    try:
        for number in range(5):
            os.write(file, f"{number}".encode() * 100)
            assert logs.turn_over(path, largest=50, kept=2)
        os.write(file, b"small")
        assert not logs.turn_over(path, largest=50, kept=2)
    finally:
        os.close(file)
    assert path.read_text() == "small"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "daemon.log", "daemon.log.1", "daemon.log.2",
    ]  # fmt: skip
    assert (tmp_path / "daemon.log.1").read_text() == "4" * 100
