"""Carries the lifecycle's actions out on the real world.

One method an action, each idempotent: whatever a crash left half done is found and finished, or
undone, by the same action taken again. Starting and stopping a container have a module each. Errors
are raised as StepFailed, or as an error of a neighbour's own that has a `reason`; `manager` shows
it and waits before the next try.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pykubelet.errors import Failed, NotFound, PykubeletError
from pykubelet.kubelet.cgroups.cpu import UNLIMITED
from pykubelet.kubelet.cgroups.limits import container_resources, pod_limits
from pykubelet.kubelet.events import NORMAL, WARNING
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.snapshot import (
    Action,
    KillContainer,
    Prepare,
    Release,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    RunSandbox,
    StartContainer,
    StopSandbox,
)
from pykubelet.kubelet.pods.start import Starter, given_resources
from pykubelet.kubelet.pods.stop import Stopper
from pykubelet.kubelet.pods.tools import NameTaken, StepFailed, Tools, Work
from pykubelet.kubelet.runtime.failures import NameReserved
from pykubelet.kubelet.runtime.model import Container, ContainerState, PodRuntime
from pykubelet.kubelet.serve.logs import LogOptions, open_log, read
from pykubelet.kubelet.volumes.model import Mounted

Json = dict[str, Any]


#: In CRI's words: what an in-place resize changes, and which resource that is a part of.
RESIZABLE = {"cpu_shares": "cpu", "cpu_quota": "cpu", "memory_limit_in_bytes": "memory"}
LIMITS = ("cpu_quota", "memory_limit_in_bytes")
#: Of a log that stands in for a termination message.
FALLBACK_LINES, FALLBACK_BYTES = 80, 2048


class Performer:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._stopper = Stopper(tools)
        self._starter = Starter(tools, self._stopper)

    def perform(self, action: Action, work: Work) -> Any:
        """Do it. What comes back is what the manager has to remember of it, if anything."""
        match action:
            case Prepare():
                return self._prepare(work)
            case RunSandbox():
                return self._run_sandbox(work, action)
            case StartContainer():
                return self._starter.start(work, action)
            case KillContainer():
                return self._stopper.kill(work, action)
            case StopSandbox():
                return self._tools.runtime.stop_sandbox(action.sandbox)
            case RemoveSandbox():
                return self._tools.runtime.remove_sandbox(action.sandbox)
            case RemoveContainer():
                return self._tools.runtime.remove_container(action.container)
            case ResizeContainer():
                return self._resize(work, action)
            case Release():
                return self._release(work, action)
        raise TypeError(action)

    def _prepare(self, work: Work) -> Mapping[str, Mounted]:
        tools, pod = self._tools, work.pod
        tools.cgroups.ensure_pod(pod, pod_limits(pod, tools.rules))
        tools.cgroups.update_qos(tools.active_pods())
        try:
            return tools.volumes.setup(pod)
        except PykubeletError as error:
            reason = getattr(error, "reason", "FailedMount")
            work.record(tools.recorder, WARNING, reason, str(error))
            raise StepFailed(reason, str(error)) from error

    def _run_sandbox(self, work: Work, action: RunSandbox) -> None:
        tools = self._tools
        try:
            config = tools.sandbox_config(
                work.pod,
                action.attempt,
                warn=lambda words: work.record(tools.recorder, WARNING, "DNSConfigForming", words),
            )
            tools.logs.make(work.pod)
            with tools.starts.taken():
                if work.interrupted.is_set():
                    return
                tools.runtime.run_sandbox(config, tools.runtime_handler(work.pod))
        except PykubeletError as error:
            message = f"Failed to create pod sandbox: {error}"
            work.record(tools.recorder, WARNING, "FailedCreatePodSandBox", message)
            kind = NameTaken if isinstance(error, NameReserved) else StepFailed
            raise kind("FailedCreatePodSandBox", message) from error

    def _release(self, work: Work, action: Release) -> None:
        """Everything that the pod held is given back; its logs only go with the pod."""
        tools, uid = self._tools, spec.uid(work.pod)
        tools.volumes.teardown(uid)
        tools.cgroups.remove_pod(uid)
        tools.cgroups.update_qos(tools.active_pods())
        if action.remove:
            tools.logs.remove(work.pod)
            tools.pulls.forget(uid)

    # -- resources --------------------------------------------------------------------------------

    def _resize(self, work: Work, action: ResizeContainer) -> Json:
        """New limits for the running container, and for its pod's group.

        The group is opened before and closed after, so that the container always fits into it.
        """
        tools, pod = self._tools, work.pod
        found = spec.container_named(pod, action.name)
        if found is None:
            raise NotFound(f"no container {action.name} in the pod's spec")
        wanted = container_resources(pod, found[1], tools.rules)
        limits = pod_limits(pod, tools.rules)
        tools.cgroups.update_pod(pod, replace(limits, cpu_quota=UNLIMITED, memory=UNLIMITED))
        # To a runtime, what is not said stays as it is: a limit that is gone has to be lifted.
        lifted = {key: UNLIMITED for key in LIMITS if not wanted.get(key)}
        tools.runtime.update_resources(action.container, {**wanted, **lifted})
        tools.cgroups.update_pod(pod, limits)
        tools.cgroups.update_qos(tools.active_pods())
        work.record(tools.recorder, NORMAL, "ResizeCompleted", f"Resized container {action.name}")
        return wanted

    def wanted_resizes(
        self, pod: Json, runtime: PodRuntime, done: Mapping[str, Json]
    ) -> dict[str, frozenset[str]]:
        """By container name: of which resources a running container should have otherwise.

        What we gave it last is what it has: by id in `done`, else as noted when it was created,
        else as the runtime says.
        """
        wanted = {}
        for _, container in spec.containers(pod):
            name = container["name"]
            running = runtime.latest(name)
            if running is None or running.state is not ContainerState.RUNNING:
                continue
            limits = container_resources(pod, container, self._tools.rules)
            given = done.get(running.id) or given_resources(running.annotations)
            force: Mapping[str, object] = given or running.resources or {}
            changed = frozenset(
                resource
                for key, resource in RESIZABLE.items()
                if force and (force.get(key) or 0) != (limits.get(key) or 0)
            )
            if changed:
                wanted[name] = changed
        return wanted

    def resources_in_force(self, pod: Json, runtime: PodRuntime) -> dict[str, Json]:
        """By container name, in the API's words: what the pod's spec says of what runs."""
        return {
            container["name"]: container.get("resources") or {}
            for _, container in spec.containers(pod)
            if runtime.latest(container["name"])
        }

    def termination_message(self, pod: Json, ended: Container) -> str:
        """The container's last words; the end of its log where its policy says so."""
        found = spec.container_named(pod, ended.name)
        message = self._tools.volumes.termination_message(spec.uid(pod), ended.name, ended.attempt)
        policy = found[1].get("terminationMessagePolicy") if found else ""
        if message or policy != "FallbackToLogsOnError" or ended.exit_code == 0:
            return message
        try:
            reader = open_log(Path(self._tools.logs.path(pod, ended.name, ended.attempt)))
        except Failed:
            return ""
        text = b"".join(read(reader, LogOptions(tail=FALLBACK_LINES)))
        return text[-FALLBACK_BYTES:].decode(errors="replace")
