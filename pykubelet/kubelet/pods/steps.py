"""What the containers of a pod with a ready sandbox need now. Pure; a part of `lifecycle`.

One look at all of them: kills and resizes as they are due, side by side; starts one at a time, in
the spec's order, so that a later container finds an earlier one started.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from pykubelet.kubelet.pods import restart, spec
from pykubelet.kubelet.pods.snapshot import (
    Action,
    Decision,
    Failure,
    KillContainer,
    Phase,
    RemoveContainer,
    ResizeContainer,
    Snapshot,
    StartContainer,
    health_of,
    kill_under_way,
    start_key,
)
from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.runtime.labels import CONTAINER_HASH, container_hash
from pykubelet.kubelet.runtime.model import Container, ContainerState, Sandbox

Json = dict[str, Any]


class Steps:
    """Collects what one turn has to do for the containers."""

    def __init__(self, s: Snapshot, sandbox: Sandbox) -> None:
        self.s = s
        self.sandbox = sandbox
        self.policy = spec.restart_policy(s.pod)
        self.actions: list[Action] = []
        self.looks: list[float] = []
        self.words: list[str] = []
        #: A start is under way or among the actions: no other one is begun.
        self.taken = False

    def decision(self) -> Decision:
        unready = self._init()
        if unready is None:
            for container in spec.regular_containers(self.s.pod):
                self._keep_running(Kind.REGULAR, container)
        else:
            self.words.insert(0, f"waits for init container {unready}")
        for container in spec.ephemeral_containers(self.s.pod):
            self._once(container)
        sentence = "; ".join(self.words) or "running"
        return Decision(Phase.SYNCING, sentence, tuple(self.actions), min(self.looks, default=None))

    def _init(self) -> str | None:
        """Bring the init containers along; the name of the one that holds up the rest, if any.

        Once a regular container has been created the pod is initialized for this sandbox and
        plain init containers never run again; sidecars are still kept running.
        """
        done = any(self._current(c) is not None for c in spec.regular_containers(self.s.pod))
        for container in spec.init_containers(self.s.pod):
            current = self._current(container)
            if spec.is_sidecar(container):
                self._keep_running(Kind.SIDECAR, container)
                running = current is not None and current.state is ContainerState.RUNNING
                started = running and health_of(self.s, container).started
                if not done and (not started or self._starting(container["name"])):
                    return container["name"]
            elif not done and not _succeeded(current):
                self._keep_running(Kind.INIT, container)
                return container["name"]
        return None

    def _current(self, container: Mapping[str, Any]) -> Container | None:
        """The newest attempt, if it belongs to the sandbox in use."""
        latest = self.s.runtime.latest(container["name"])
        return latest if latest and latest.sandbox_id == self.sandbox.id else None

    def _starting(self, name: str) -> bool:
        return start_key(name) in self.s.busy

    # -- one container ----------------------------------------------------------------------

    def _keep_running(self, kind: Kind, container: Json) -> None:
        """What this container needs now to be as its spec says."""
        name = container["name"]
        latest = self.s.runtime.latest(name)
        if self._starting(name):
            self.taken = True
            self.words.append(f"starting {name}")
        elif latest is None:
            self._start(container, 0)
        elif latest.state is ContainerState.RUNNING:
            self._check(kind, container, latest)
        elif latest.state is ContainerState.CREATED:
            self._remove(latest)
        elif latest.state is ContainerState.UNKNOWN:
            words = f"Container {name} is in an unknown state, will be restarted"
            self._kill(latest, words, replace=True)
        else:
            self._after_exit(kind, container, latest)

    def _once(self, container: Json) -> None:
        """An ephemeral container is started once, beside whatever else there is to do."""
        name = container["name"]
        latest = self.s.runtime.latest(name)
        if self._starting(name):
            self.words.append(f"starting {name}")
        elif latest is None:
            self._start(container, 0, beside=True)
        elif latest.state is ContainerState.CREATED:
            self._remove(latest)

    def _after_exit(self, kind: Kind, container: Json, ended: Container) -> None:
        name = container["name"]
        same_life = ended.sandbox_id == self.sandbox.id
        # In a new sandbox init containers run again, but not what had ended for good.
        again = restart.comes_back(self.policy, kind, container, ended, self.s.replaced)
        if not again and (same_life or kind is Kind.REGULAR):
            self.words.append(f"{name} has ended with {ended.exit_code}")
            return
        at = self.s.restart_at.get(name, 0.0)
        if same_life and at > self.s.now:
            self.looks.append(at)
            self.words.append(f"{name} ended with {ended.exit_code}, waits before it starts again")
            return
        self._start(container, ended.attempt + 1)

    def _start(self, container: Json, attempt: int, *, beside: bool = False) -> None:
        name = container["name"]
        failure = self.s.failures.get(start_key(name))
        if failure and failure.until > self.s.now:
            self._held_up(name, failure)
        elif self.taken and not beside:
            self.words.append(f"{name} starts next")
        else:
            floor = self.s.container_floors.get(name, 0)
            self.taken = True
            self._add(StartContainer(name, max(attempt, floor)), f"starting {name}")

    def _remove(self, created: Container) -> None:
        """An agent that died between create and start left it; it never ran."""
        self.taken = True
        words = f"removing {created.name}, which was created and never started"
        self._add(RemoveContainer(created.id), words)

    def _check(self, kind: Kind, container: Json, running: Container) -> None:
        """A running container is stopped where its probes or an edit of its spec ask for it."""
        name = container["name"]
        health = health_of(self.s, container)
        recorded = running.annotations.get(CONTAINER_HASH)
        resize = self.s.resize.get(name, frozenset())
        if recorded and recorded != container_hash(container):
            words = f"Container {name} definition changed, will be restarted"
            self._kill(running, words, replace=True)
        elif not health.live:
            comes_back = restart.policy(self.policy, kind, container) != "Never"
            words = f"Container {name} failed {health.failed_probe or 'liveness'} probe"
            words += ", will be restarted" if comes_back else ""
            self._kill(running, words, replace=comes_back, grace=health.grace)
        elif resize and _restarts_to_resize(container, resize):
            words = f"Container {name} resize requires restart, will be restarted"
            self._kill(running, words, replace=True)
        elif resize:
            self._add(ResizeContainer(name, running.id), f"resizing {name}")

    def _kill(
        self, running: Container, message: str, *, replace: bool, grace: int | None = None
    ) -> None:
        if kill_under_way(self.s, running.id):
            self.words.append(f"stopping {running.name}")
            return
        grace = spec.grace_seconds(self.s.pod) if grace is None else grace
        action = KillContainer(running.name, running.id, grace, message, replace=replace)
        self._add(action, message)

    def _add(self, action: Action, words: str) -> None:
        failure = self.s.failures.get(action.key)
        if failure and failure.until > self.s.now:
            self._held_up(words, failure)
            return
        self.words.append(words)
        if action.key not in self.s.busy:
            self.actions.append(action)

    def _held_up(self, name: str, failure: Failure) -> None:
        self.looks.append(failure.until)
        self.words.append(f"{name}: {failure.reason}: {failure.message}")


def _succeeded(container: Container | None) -> bool:
    return (
        container is not None
        and container.state is ContainerState.EXITED
        and container.exit_code == 0
    )


def _restarts_to_resize(container: Mapping[str, Any], changed: Set[str]) -> bool:
    return any(
        rule.get("restartPolicy") == "RestartContainer" and rule.get("resourceName") in changed
        for rule in container.get("resizePolicy") or ()
    )
