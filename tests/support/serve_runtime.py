"""The agent's API in front of a real runtime, as a program, so that it can run where the runtime's
streaming server listens: `python -m tests.support.serve_runtime ENDPOINT SOCKET`.

Pods are what the runtime has; their specs are made up from that.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pykubelet.errors import NotFound
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import ContainerState, ExecResult
from pykubelet.kubelet.serve.api import ApiOptions
from pykubelet.kubelet.serve.backend import ContainerRef, LogSource, Streams
from tests.support.serving import Serving, Values

Json = dict[str, Any]


class InRuntime(Values):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self._runtime = runtime

    def pods(self) -> Sequence[Json]:
        return [
            {
                "metadata": {"name": p.name, "namespace": p.namespace, "uid": uid},
                "spec": {"containers": [{"name": c.name} for c in reversed(p.containers)]},
                "status": {"phase": "Running"},
            }
            for uid, p in self._runtime.pods().items()
        ]

    def _pod(self, ref: ContainerRef) -> Any:
        for pod in self._runtime.pods().values():
            if (pod.namespace, pod.name) == (ref.namespace, ref.pod):
                return pod
        raise NotFound(f'pod "{ref.pod}" does not exist')

    def _id(self, ref: ContainerRef) -> str:
        container = self._pod(ref).latest(ref.container)
        if container is None or container.state is not ContainerState.RUNNING:
            raise NotFound(f'container "{ref.container}" is not running')
        return str(container.id)

    def find_log(self, ref: ContainerRef, previous: bool) -> LogSource:
        container = self._pod(ref).latest(ref.container)

        def running() -> bool:
            now = self._pod(ref).latest(ref.container)
            return now is not None and now.state is ContainerState.RUNNING

        return LogSource(Path(container.log_path), running)

    def exec_sync(self, ref: ContainerRef, command: Sequence[str]) -> ExecResult:
        return self._runtime.exec_sync(self._id(ref), command, 10)

    def exec_url(self, ref: ContainerRef, command: Sequence[str], streams: Streams) -> str:
        return self._runtime.exec_url(self._id(ref), command, **_wanted(streams))

    def attach_url(self, ref: ContainerRef, streams: Streams) -> str:
        return self._runtime.attach_url(self._id(ref), **_wanted(streams))

    def port_forward_url(self, ref: ContainerRef, ports: Sequence[int]) -> str:
        return self._runtime.port_forward_url(self._pod(ref).sandbox.id, ports)


def _wanted(streams: Streams) -> dict[str, bool]:
    return {n: getattr(streams, n) for n in ("stdin", "stdout", "stderr", "tty")}


def main() -> None:
    endpoint, path = sys.argv[1:]
    runtime = Runtime(endpoint)
    with Serving(InRuntime(runtime), ApiOptions(streaming_idle_seconds=60)) as serving:
        serving.unix(Path(path))
        serving.start()
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    runtime.close()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
