"""A node agent on a throw-away machine: `pykubelet run` as a process, its folders, its answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.machine import Machine, stop
from tests.support.waiting import until

Json = dict[str, Any]

NODE = "node-1"
REPOSITORY = Path(__file__).resolve().parents[2]


class AgentProcess:
    """Starts at once; everything below the machine's home. `flags` come after ours.

    `arguments` is the whole command line and `environment` what is added to ours, both for the next
    `start`; `process` is the running process.
    """

    def __init__(self, machine: Machine, *flags: str, start: bool = True) -> None:
        self.machine = machine
        self.manifests = machine.home / "manifests"
        self.root = machine.home / "kubelet"
        self.logs = machine.home / "log" / "pods"
        self.socket = machine.run_dir / "agent.sock"
        self.manifests.mkdir(exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        self.arguments = [
            *(sys.executable, "-m", "pykubelet.cli.main", "run"),
            *("--root-dir", str(self.root)),
            *("--pod-manifest-path", str(self.manifests)),
            *("--container-runtime-endpoint", machine.endpoint),
            *("--pod-logs-dir", str(self.logs)),
            *("--cgroup-root", machine.cgroup_root),
            *("--agent-socket", str(self.socket)),
            *("--cni-socket", str(machine.run_dir / "cni.sock")),
            *("--hostname-override", NODE),
            *("--node-ip", "127.0.0.1"),
            *("--address", "127.0.0.1"),
            *("--resolv-conf", ""),
            *flags,
        ]
        self.environment = {"PYTHONPATH": str(REPOSITORY)}
        self.process: subprocess.Popen[bytes] | None = None
        if start:
            self.start()

    def start(self, wait: bool = True) -> None:
        self.process = self.machine.start(*self.arguments, log="agent", env=self.environment)
        if wait:
            until(lambda: self.get("status"), "the agent answers", timeout=20)

    def stop(self) -> None:
        assert self.process
        stop(self.process)

    def kill(self) -> None:
        """kill -9, as a crash would."""
        assert self.process
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def reload(self) -> None:
        """SIGHUP: have it read its configuration again."""
        assert self.process
        os.kill(self.process.pid, signal.SIGHUP)

    def log(self) -> str:
        """All that agents of this machine have logged."""
        return (self.machine.home / "agent.log").read_text(errors="replace")

    # -- manifests ------------------------------------------------------------------------------

    def drop(self, name: str, *objects: Json | str) -> Path:
        """Write a manifest as a careful person does: beside it, then moved into place."""
        texts = [o if isinstance(o, str) else json.dumps(o) for o in objects]
        part = self.manifests / f".{name}.part"
        part.write_text("\n---\n".join(texts))
        part.rename(self.manifests / name)
        return self.manifests / name

    def remove(self, name: str) -> None:
        (self.manifests / name).unlink()

    # -- what the agent says --------------------------------------------------------------------

    def get(self, *parts: str, **query: Any) -> Any:
        from pykubelet.cli.agent import Agent

        return Agent(self.socket).get(*parts, **query)

    def pods(self) -> list[Json]:
        return list(self.get("pods")["items"])

    def pod(self, name: str) -> Json | None:
        """The pod of the manifest that names it `name`, with status, or None."""
        full = f"{name}-{NODE}"
        return next((p for p in self.pods() if p["metadata"]["name"] == full), None)

    def phase(self, name: str) -> str:
        pod = self.pod(name)
        return pod["status"].get("phase", "") if pod else ""

    def wait_for_phase(self, name: str, phase: str, timeout: float = 30) -> Json:
        try:
            until(lambda: self.phase(name) == phase, f"{name} is {phase}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story(name)}") from None
        pod = self.pod(name)
        assert pod
        return pod

    def wait_ready(self, *names: str, timeout: float = 30) -> None:
        for name in names:
            try:
                until(lambda name=name: is_ready(self.pod(name)), f"{name} is ready", timeout)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.story(name)}") from None

    def wait_gone(self, *names: str, timeout: float = 40) -> None:
        """Gone from the agent and from the runtime."""

        def held(name: str) -> str:
            return self.machine.ctr(
                "containers", "list", "-q", f'labels."io.kubernetes.pod.name"=={name}-{NODE}'
            ).strip()

        def gone() -> bool:
            return all(self.pod(name) is None and not held(name) for name in names)

        until(gone, f"{names} are gone", timeout)

    def status(self, name: str, container: str = "") -> Json:
        """The ContainerStatus of a pod's container, its first where none is named."""
        pod = self.pod(name)
        assert pod, f"no pod {name}"
        lists = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
        statuses = [s for kind in lists for s in pod["status"].get(kind) or ()]
        return next(s for s in statuses if container in ("", s["name"]))

    def sentence(self, name: str) -> str:
        """The one sentence that says what the agent is doing about a pod."""
        full = f"{name}-{NODE}"
        pods = self.get("status")["pods"]
        return next((str(p["sentence"]) for p in pods if p["name"] == full), "")

    def why(self, target: str) -> Json:
        return dict(self.get("why", target=target))

    def logs_of(self, name: str, container: str = "main", attempt: int | None = None) -> str:
        """What a container has printed, from its log file, without the CRI prefixes."""
        pod = self.pod(name)
        assert pod, f"no pod {name}"
        meta = pod["metadata"]
        folder = self.logs / f"{meta['namespace']}_{meta['name']}_{meta['uid']}" / container
        files = sorted(folder.glob("*.log"), key=lambda f: int(f.stem))
        chosen = [f for f in files if attempt is None or f.stem == str(attempt)]
        if not chosen:
            return ""
        lines = chosen[-1].read_text(errors="replace").splitlines()
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    def exec(self, name: str, *command: str, container: str = "main") -> str:
        """Run a command in a container; what it prints."""
        id = self.status(name, container)["containerID"].partition("://")[2]
        exec_id = f"t{os.urandom(4).hex()}"
        return self.machine.ctr("tasks", "exec", "--exec-id", exec_id, id, *command)

    def story(self, name: str) -> str:
        """Everything that helps to see why a test failed."""
        log = (self.machine.home / "agent.log").read_text(errors="replace")
        try:
            why = json.dumps(self.why(name), indent=1)
        except Exception as error:  # noqa: BLE001 - the story goes on without it
            why = repr(error)
        return f"why: {why}\nagent log:\n{log[-6000:]}"


def is_ready(pod: Json | None) -> bool:
    conditions = (pod or {}).get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def pod(name: str, *containers: Json, **spec: Any) -> Json:
    """A v1.Pod manifest. Without containers it has one that sleeps and stops quickly."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 3,
            "containers": list(containers) or [container()],
            **spec,
        },
    }


#: Sleeps for ever, and ends at once on SIGTERM, which a plain `sleep` as process 1 ignores.
SLEEP = "trap 'exit 0' TERM; while true; do sleep 1000 & wait $!; done"


def container(name: str = "main", script: str = SLEEP, **more: Any) -> Json:
    """A busybox container that runs a shell script."""
    from tests.support.images import BUSYBOX

    return {"name": name, "image": BUSYBOX, "command": ["sh", "-c", script], **more}
