"""What the handlers need of the agent, in protocols small enough to fake in a test or a tool.

The agent implements `Backend`; nothing in this room knows how. Every method may raise the family
in `pykubelet.errors`, which the server turns into a status: Invalid 400, NotFound 404, TimedOut
504, Unavailable 503, any other Failed 500. Methods are called from many threads at once and should
answer from memory where they can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pykubelet.kubelet.runtime.model import ExecResult

Json = dict[str, Any]

MetricsKind = Literal["main", "cadvisor", "resource", "probes"]


@dataclass(frozen=True, slots=True)
class ContainerRef:
    """A container as a path names it. `uid`, where given, must be the pod's, else NotFound.

    For a static pod `uid` may be either its own or that of its mirror.
    """

    namespace: str
    pod: str
    container: str = ""
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class Streams:
    """Which streams an exec or attach wants. With a terminal, stderr comes inside stdout."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


@dataclass(frozen=True, slots=True)
class LogSource:
    """A container's log file and a way to ask whether anything will still be written to it."""

    path: Path
    running: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of /healthz: a check's name, whether it passed, and why not."""

    name: str
    ok: bool
    message: str = ""


class Pods(Protocol):
    def pods(self) -> Sequence[Json]:
        """v1.Pod, with status, of every pod that this agent was told to run."""

    def running_pods(self) -> Sequence[Json]:
        """v1.Pod (metadata and spec.containers only) of what the runtime really runs."""


class Containers(Protocol):
    def find_log(self, ref: ContainerRef, previous: bool) -> LogSource:
        """The log of the newest attempt at this container, or with `previous` of the one before.

        NotFound: no such pod or container. Invalid: nothing has been logged yet (the message says
        what the container waits for) or there was no attempt before.
        """

    def exec_sync(self, ref: ContainerRef, command: Sequence[str]) -> ExecResult:
        """Run a command to its end."""


class Streaming(Protocol):
    """Each asks the runtime (CRI Exec, Attach, PortForward) where to connect: a URL."""

    def exec_url(self, ref: ContainerRef, command: Sequence[str], streams: Streams) -> str: ...

    def attach_url(self, ref: ContainerRef, streams: Streams) -> str: ...

    def port_forward_url(self, ref: ContainerRef, ports: Sequence[int]) -> str: ...


class Figures(Protocol):
    def summary(self, only_cpu_and_memory: bool) -> Json:
        """stats/v1alpha1.Summary."""

    def metrics(self, kind: MetricsKind) -> str:
        """Prometheus text format, version 0.0.4."""


class Explaining(Protocol):
    """For the local socket only."""

    def why(self, target: str) -> Json:
        """`pods.why.Chain.to_json()` for a pod (`name`, `namespace/name`) or a manifest's path."""

    def status(self) -> Json:
        """`serve.glance.glance(...)`: the node and its pods in a few fields each."""


class Self(Protocol):
    def configz(self) -> Json:
        """The KubeletConfiguration in force; the handler wraps it in `kubeletconfig`."""

    def node(self) -> Json:
        """v1.Node as this agent reports it."""

    def healthy(self) -> Sequence[Check]:
        """The agent's own checks, `syncloop` among them. `ping` and `log` are the handler's."""


class Backend(Pods, Containers, Streaming, Figures, Explaining, Self, Protocol):
    """All of them: what the agent hands to `api.Api`."""
