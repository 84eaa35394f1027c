"""The two daemons of a node, as the supervisor runs them. The systemd units say the same."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from pykubelet.bootstrap.install.paths import CONTAINERD_SOCKET
from pykubelet.bootstrap.supervisor.machine import Limits


@dataclass(frozen=True, slots=True)
class Service:
    """`socket`: it is ready when that accepts connections, and somebody else's may answer there;
    without one it is ready when it says so through NOTIFY_SOCKET (sd_notify(3)). It starts after
    the service named `after` is ready."""

    name: str
    command: tuple[str, ...]
    socket: Path | None = None
    after: str = ""
    limits: Limits = field(default_factory=Limits)


def node(agent_arguments: tuple[str, ...]) -> tuple[Service, ...]:
    """containerd, unless one answers already, and the agent of this installation."""
    agent = (str(Path(sys.executable).with_name("pykubelet")), "run", *agent_arguments)
    return (
        # No NOTIFY_SOCKET for containerd: its containers would inherit it.
        Service("containerd", ("containerd",), CONTAINERD_SOCKET),
        Service("pykubelet", agent, after="containerd", limits=Limits(watchdog=60.0)),
    )
