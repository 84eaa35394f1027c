"""How to start the supervisor and talk to it: `python -m pykubelet.bootstrap.supervisor WORD`."""

from __future__ import annotations

import argparse
import json
import logging
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pykubelet.bootstrap.install.paths import AGENT_ARGUMENTS, LOGS, RUN
from pykubelet.bootstrap.supervisor import logs
from pykubelet.bootstrap.supervisor.daemon import Daemon
from pykubelet.bootstrap.supervisor.services import node
from pykubelet.errors import Failed, PykubeletError, TimedOut, Unavailable

Json = dict[str, Any]
_UP = ("running", "foreign")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="pykubelet-supervisor",
        description="Runs containerd and the node agent where systemd is not PID 1.",
    )
    parser.add_argument("--run-dir", type=Path, default=RUN, metavar="DIR")
    parser.add_argument("--log-dir", type=Path, default=LOGS, metavar="DIR")
    words = parser.add_subparsers(dest="word", required=True, metavar="WORD")
    for word, summary in (("start", "start in the background; returns when all is ready"),
                          ("run", "stay in the foreground")):  # fmt: skip
        command = words.add_parser(word, help=summary)
        command.add_argument(
            "agent_arguments",
            nargs="*",
            default=AGENT_ARGUMENTS,
            help=f"arguments of `pykubelet run` (default: {' '.join(AGENT_ARGUMENTS)})",
        )
    words.add_parser("status", help="what is running (exit code 3: no supervisor)")
    words.add_parser("stop", help="stop the daemons; the pods stay")
    restart = words.add_parser("restart", help="restart one daemon; the pods stay")
    restart.add_argument("service", nargs="?", default="pykubelet")
    args = parser.parse_args(argv)
    try:
        return _obey(args)
    except Unavailable as error:
        print(f"pykubelet-supervisor: {error}", file=sys.stderr)
        return 3
    except PykubeletError as error:
        print(f"pykubelet-supervisor: {error}", file=sys.stderr)
        return 1


def _obey(args: argparse.Namespace) -> int:
    match args.word:
        case "run":
            _run(args)
        case "start":
            start(tuple(args.agent_arguments), args.run_dir, args.log_dir)
        case "status":
            show(ask("status", run_dir=args.run_dir))
        case "stop":
            stop(args.run_dir)
        case "restart":
            ask("restart", args.service, run_dir=args.run_dir)
            show(wait_until_up(args.run_dir))
    return 0


def _run(args: argparse.Namespace) -> None:
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", force=True
    )
    # Each pod costs the runtime some open files; the usual soft limit of 1024 is soon reached.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Daemon(node(tuple(args.agent_arguments)), args.run_dir, args.log_dir).run()


def start(agent_arguments: tuple[str, ...] = (), run_dir: Path = RUN, log_dir: Path = LOGS) -> None:
    """Start the supervisor in the background, unless it runs, and wait until all is ready."""
    try:
        ask("status", run_dir=run_dir)
    except Unavailable:
        out = logs.open_for_append(log_dir / "supervisor.log")
        subprocess.Popen(
            [sys.executable, "-m", "pykubelet.bootstrap.supervisor", "--run-dir", str(run_dir),
             "--log-dir", str(log_dir), "run", "--", *agent_arguments],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", start_new_session=True,
        )  # fmt: skip
    wait_until_up(run_dir)


def stop(run_dir: Path = RUN, timeout: float = 90.0) -> None:
    """Stop the daemons and the supervisor, if one runs; returns when it is gone."""
    try:
        ask("stop", run_dir=run_dir)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            time.sleep(0.1)
            ask("status", run_dir=run_dir)
    except Unavailable:
        return
    raise TimedOut(f"the supervisor is still there after {timeout:.0f} s")


def ask(*words: str, run_dir: Path = RUN) -> Json:
    """Say `words` to the running supervisor; its answer. Raises Unavailable where none runs."""
    path = run_dir / "supervisor.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10.0)
        try:
            connection.connect(str(path))
            connection.sendall(" ".join(words).encode())
            connection.shutdown(socket.SHUT_WR)
            data = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError as error:
            raise Unavailable(f"no supervisor is running ({path}: {error})") from error
    if not data:
        raise Unavailable("the supervisor is just ending")
    answer: Json = json.loads(data)
    if "error" in answer:
        raise Failed(str(answer["error"]))
    return answer


def wait_until_up(run_dir: Path = RUN, timeout: float = 120.0) -> Json:
    """The status once every daemon runs. Raises TimedOut naming the ones that don't."""
    return _wait(_UP, (), run_dir, timeout)


def wait_for(service: str, phase: str, run_dir: Path = RUN, timeout: float = 60.0) -> Json:
    """The status once one service is in a phase. Raises TimedOut."""
    return _wait((phase,), (service,), run_dir, timeout)


def _wait(phases: tuple[str, ...], names: tuple[str, ...], run_dir: Path, timeout: float) -> Json:
    """`names` empty: all of them."""
    deadline = time.monotonic() + timeout
    late = {"the supervisor": str(LOGS / "supervisor.log")}
    while time.monotonic() < deadline:
        time.sleep(0.1)
        try:
            status = ask("status", run_dir=run_dir)
        except Unavailable:
            continue
        services = status["services"]
        late = {
            name: services[name]["log"]
            for name in names or services
            if services[name]["phase"] not in phases
        }
        if not late:
            return status
    name, path = next(iter(late.items()))
    raise TimedOut(
        f"{name} is not {phases[0]} after {timeout:.0f} s; {path}: {_last_line(Path(path))}"
    )


def _last_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip().splitlines()[-1]
    except (OSError, IndexError):
        return "it has said nothing"


def show(status: Json) -> None:
    for name, service in status["services"].items():
        pid = f"pid {service['pid']}" if service["pid"] else ""
        line = f"{name:<11} {service['phase']:<9} {pid:<12} for {service['seconds']:.0f} s"
        if service["restarts"]:
            line += f", restarted {service['restarts']} times"
        print(f"{line}  {service['status']}".rstrip())
