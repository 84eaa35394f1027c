"""The container runtime behind its CRI v1 socket: every call that the agent makes of it.

Configurations go in as nested dicts in CRI's own field names (`sandboxes` and `containers` make
them), answers come out as the values of `model`. Works with any CRI v1 runtime; containerd 1.6 to
2.x is what it is tried against. Neighbours: `relist` (what is there), `events` (what has changed),
`calls` (gRPC and its errors).

Every call raises Unavailable where nobody answers the socket and TimedOut past its deadline, when
it is unknown whether the runtime did it or still will.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pykubelet.errors import Failed, NotFound, TimedOut
from pykubelet.kubelet.runtime import answers, labels
from pykubelet.kubelet.runtime.calls import Channel, Tally
from pykubelet.kubelet.runtime.failures import Unsupported
from pykubelet.kubelet.runtime.model import (
    ContainerUsage,
    Event,
    ExecResult,
    Filesystem,
    Image,
    PodRuntime,
    RuntimeStatus,
    RuntimeVersion,
)
from pykubelet.kubelet.runtime.relist import Relist
from pykubelet.objects.wire import messages

# How long the runtime may take for its own part of a call that has a time limit in its request.
_MARGIN = 10.0
# A pull is bounded by progress, which the runtime watches, not by its length.
_PULL = 24 * 3600.0


class Runtime:
    """Thread-safe; one per agent. `timeout` in seconds bounds every call but pulls and stops.
    `image_endpoint`: where images are asked for, if not where containers are."""

    def __init__(self, endpoint: str, timeout: float = 120.0, image_endpoint: str = "") -> None:
        self.endpoint = endpoint
        self._timeout = timeout
        self._channel = Channel(endpoint)
        self._table = messages.load(__package__, "cri.schema")
        self._runtime = self._channel.service(self._table.methods("RuntimeService"), timeout)
        apart = image_endpoint and image_endpoint != endpoint
        self._image_channel = Channel(image_endpoint) if apart else self._channel
        self._images = self._image_channel.service(self._table.methods("ImageService"), timeout)
        self._relist = Relist(self._runtime)

    def close(self) -> None:
        self._channel.close()
        if self._image_channel is not self._channel:
            self._image_channel.close()

    def tallies(self) -> dict[str, Tally]:
        """How often each call was made, by its name in CRI."""
        return {**self._runtime.tallies, **self._images.tallies}

    # -- the runtime itself ---------------------------------------------------------------------

    def version(self) -> RuntimeVersion:
        answer = self._runtime.call("Version", version="0.1.0")
        return RuntimeVersion(
            answer.runtime_name, answer.runtime_version, answer.runtime_api_version
        )

    def status(self) -> RuntimeStatus:
        return answers.runtime_status(self._runtime.call("Status"))

    def cgroup_driver(self) -> str | None:
        """`systemd` or `cgroupfs`; None where the runtime can't be asked (before CRI of 2023)."""
        try:
            answer = self._runtime.call("RuntimeConfig")
        except Unsupported:
            return None
        names = {number: name for name, number in self._table.enum("CgroupDriver").items()}
        return names.get(answer.linux.cgroup_driver, "").lower() or None

    def update_pod_cidr(self, cidr: str) -> None:
        """Tell the runtime the node's pod range, for runtimes that write CNI configuration."""
        config = {"network_config": {"pod_cidr": cidr}}
        self._runtime.call("UpdateRuntimeConfig", runtime_config=config)

    # -- what is there --------------------------------------------------------------------------

    def pods(self, uid: str | None = None) -> dict[str, PodRuntime]:
        """All pods by UID, or the one: cheap to repeat, see `relist`."""
        return self._relist.pods(uid)

    def usage(self, uid: str | None = None) -> tuple[ContainerUsage, ...]:
        """Figures of all running containers, or of one pod's."""
        selector = {"label_selector": {labels.POD_UID: uid}} if uid is not None else {}
        answer = self._runtime.call("ListContainerStats", filter=selector)
        # A container that does not run is listed too, without figures.
        return tuple(answers.usage(each) for each in answer.stats if each.HasField("cpu"))

    def watch(self, on_event: Callable[[Event], None], stop: threading.Event) -> None:
        """Call `on_event` for every change until `stop` is set. Blocks; see `events.watch`.

        Raises Unsupported where the runtime has no events: then only looking again helps.
        """
        from pykubelet.kubelet.runtime import events

        events.watch(self._channel, self._runtime, self._relist, on_event, stop)

    # -- sandboxes ------------------------------------------------------------------------------

    def run_sandbox(self, config: Mapping[str, Any], handler: str = "") -> str:
        """Make and start a pod's sandbox with its network; the new id.

        Raises NameReserved where an earlier call for the same attempt has not ended.
        """
        answer = self._runtime.call("RunPodSandbox", config=config, runtime_handler=handler)
        uid = config.get("metadata", {}).get("uid", "")
        self._relist.remember(answer.pod_sandbox_id, uid, is_sandbox=True)
        return answer.pod_sandbox_id

    def stop_sandbox(self, id: str) -> None:
        """Stop all in it and give its network back. Done already, or gone, is success."""
        self._gone_is_fine("StopPodSandbox", pod_sandbox_id=id)

    def remove_sandbox(self, id: str) -> None:
        """Remove it with its containers, running or not. Gone is success."""
        self._gone_is_fine("RemovePodSandbox", pod_sandbox_id=id)

    # -- containers -----------------------------------------------------------------------------

    def create_container(
        self, sandbox_id: str, config: Mapping[str, Any], sandbox_config: Mapping[str, Any]
    ) -> str:
        """The new id. `sandbox_config` is what the sandbox was made with."""
        answer = self._runtime.call(
            "CreateContainer",
            pod_sandbox_id=sandbox_id,
            config=config,
            sandbox_config=sandbox_config,
        )
        uid = config.get("labels", {}).get(labels.POD_UID, "")
        self._relist.remember(answer.container_id, uid, is_sandbox=False)
        return answer.container_id

    def start_container(self, id: str) -> None:
        self._runtime.call("StartContainer", container_id=id)

    def stop_container(self, id: str, grace: float) -> None:
        """Its stop signal, then SIGKILL after `grace` seconds. Stopped or gone is success."""
        seconds = max(0, math.ceil(grace))
        self._gone_is_fine(
            "StopContainer", self._timeout + seconds, container_id=id, timeout=seconds
        )

    def remove_container(self, id: str) -> None:
        """Remove a stopped container; most runtimes kill a running one first. Gone is success."""
        self._gone_is_fine("RemoveContainer", container_id=id)

    def update_resources(self, id: str, linux: Mapping[str, Any]) -> None:
        """Change limits of a running container; `linux` in LinuxContainerResources' words."""
        self._runtime.call("UpdateContainerResources", container_id=id, linux=linux)
        self._relist.forget(id)

    def reopen_log(self, id: str) -> None:
        """After its log file was renamed: go on in a new one under the old name."""
        self._runtime.call("ReopenContainerLog", container_id=id)

    def exec_sync(self, id: str, command: Iterable[str], timeout: float) -> ExecResult:
        """Run a command to its end inside a container; output is cut by the runtime at 16 MiB.

        `timeout` in seconds, rounded up to whole ones (CRI knows no others); 0 is without limit.
        Raises TimedOut when it did not end in time, by then the runtime has killed it.
        """
        seconds = max(0, math.ceil(timeout))
        deadline = seconds + _MARGIN if seconds else _PULL
        try:
            answer = self._runtime.call(
                "ExecSync", deadline, container_id=id, cmd=list(command), timeout=seconds
            )
        except Failed as error:
            # Answered as DeadlineExceeded by some, as Unknown with these words by containerd 1.x.
            if isinstance(error, TimedOut) or re.search("timeout .* exceeded", str(error)):
                raise TimedOut(f"command did not end within {seconds} s") from error
            raise
        return ExecResult(answer.exit_code, answer.stdout, answer.stderr)

    # -- streaming: the runtime's own server does the work, we get where it listens --------------

    def exec_url(
        self,
        id: str,
        command: Iterable[str],
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
    ) -> str:
        answer = self._runtime.call(
            "Exec",
            container_id=id,
            cmd=list(command),
            tty=tty,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr and not tty,
        )
        return answer.url

    def attach_url(
        self,
        id: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
    ) -> str:
        answer = self._runtime.call(
            "Attach",
            container_id=id,
            tty=tty,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr and not tty,
        )
        return answer.url

    def port_forward_url(self, sandbox_id: str, ports: Iterable[int] = ()) -> str:
        answer = self._runtime.call("PortForward", pod_sandbox_id=sandbox_id, port=list(ports))
        return answer.url

    # -- images ---------------------------------------------------------------------------------

    def images(self) -> tuple[Image, ...]:
        return tuple(answers.image(each) for each in self._images.call("ListImages").images)

    def image(self, ref: str) -> Image | None:
        """The image that `ref` (a name, digest or id) stands for on this node, if any."""
        answer = self._images.call("ImageStatus", image={"image": ref})
        return answers.image(answer.image) if answer.HasField("image") else None

    def pull(
        self,
        ref: str,
        auth: Mapping[str, str] | None = None,
        sandbox_config: Mapping[str, Any] | None = None,
    ) -> str:
        """Fetch an image; the reference to use for it from now on.

        `auth`: CRI's AuthConfig (username, password, auth, identity_token, registry_token).
        """
        answer = self._images.call(
            "PullImage", _PULL, image={"image": ref}, auth=auth, sandbox_config=sandbox_config
        )
        return answer.image_ref

    def remove_image(self, ref: str) -> None:
        """Remove the image that `ref` stands for, with all its other names. Gone is success.

        An image in use is removed all the same: know what runs first.
        """
        try:
            self._images.call("RemoveImage", image={"image": ref})
        except NotFound:
            pass  # what was asked for

    def image_filesystems(self) -> tuple[Filesystem, ...]:
        """Where images are kept, and how much they take."""
        answer = self._images.call("ImageFsInfo")
        return tuple(answers.filesystem(each) for each in answer.image_filesystems)

    def container_filesystems(self) -> tuple[Filesystem, ...]:
        """Where writable layers are kept; empty where the runtime does not tell them apart."""
        answer = self._images.call("ImageFsInfo")
        return tuple(answers.filesystem(each) for each in answer.container_filesystems)

    def _gone_is_fine(self, name: str, timeout: float | None = None, /, **fields: Any) -> None:
        try:
            self._runtime.call(name, timeout, **fields)
        except NotFound:
            pass  # what was asked for
