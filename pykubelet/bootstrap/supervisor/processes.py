"""Small questions about processes and sockets, asked of the kernel."""

from __future__ import annotations

import signal
import socket
from pathlib import Path


def answers(path: Path | None) -> bool:
    """Whether somebody listens on a unix socket."""
    if path is None:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(path)) == 0


def start_time(pid: int) -> int:
    """When a process started, in ticks since boot; 0 if it is gone. With the pid it is unique."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def shield_from_oom(pid: int) -> None:
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text("-999")
    except OSError:
        pass  # without CAP_SYS_RESOURCE it can't be had; everything works without


def how_it_ended(code: int) -> str:
    """`code` is subprocess's: negative for a signal."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"
