"""What to do next for one pod: the pure heart of the agent.

`decide` looks at one snapshot and returns the actions to take and the sentence that explains them.
It is called again after every action, event, probe result or edit, so it never plans further than
one step; whatever happened in between is simply the next snapshot. Starting is here, ending in
`termination`; `manager` calls both and `perform` acts.

The order of a start: volumes and cgroup, sandbox, init containers one by one (sidecars among them
stay and need only have started), then regular containers in the spec's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykubelet.kubelet.pods import restart, spec
from pykubelet.kubelet.pods.due import doing
from pykubelet.kubelet.pods.snapshot import (
    HEALTHY,
    Action,
    Decision,
    Failure,
    KillContainer,
    Phase,
    Prepare,
    RemoveContainer,
    ResizeContainer,
    RunSandbox,
    Snapshot,
    StartContainer,
    StopSandbox,
    Verdict,
    kill_key,
    start_key,
)
from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.pods.termination import stop
from pykubelet.kubelet.runtime.labels import CONTAINER_HASH, container_hash
from pykubelet.kubelet.runtime.model import Container, ContainerState, Sandbox

Json = dict[str, Any]


def decide(s: Snapshot) -> Decision:
    """The next step of this pod's life, and why."""
    if not s.wanted:
        return stop(s, "no longer wanted", remove=True)
    if s.verdict:
        return stop(s, f"{s.verdict.reason}: {s.verdict.message}", remove=False)
    if s.predecessor:
        return Decision(
            Phase.WAITING, f"waits until the pod that it replaces ({s.predecessor}) has stopped"
        )
    phase = outcome(s)
    if phase:
        return stop(s, f"ran to its end: {phase}", remove=False)
    return _start(s)


# -- is it over? ------------------------------------------------------------------------------


def outcome(s: Snapshot) -> str | None:
    """`Succeeded` or `Failed` once nothing will run any more by itself, else None."""
    policy = spec.restart_policy(s.pod)
    codes: list[int] = []
    for kind, container in spec.containers(s.pod):
        latest = s.runtime.latest(container["name"])
        ended = latest is not None and latest.state is ContainerState.EXITED
        if kind is Kind.INIT:
            if (
                ended
                and latest
                and latest.exit_code
                and not _again(policy, kind, container, latest)
            ):
                return "Failed"
        elif kind is Kind.REGULAR:
            if not ended or latest is None or _again(policy, kind, container, latest):
                return None
            codes.append(latest.exit_code)
    return "Failed" if any(codes) else "Succeeded"


def overdue(s: Snapshot) -> Verdict | None:
    """The verdict on a pod that has been active for longer than its activeDeadlineSeconds."""
    deadline = deadline_at(s)
    if deadline is None or s.now < deadline:
        return None
    return Verdict(
        "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
    )


def deadline_at(s: Snapshot) -> float | None:
    """The monotonic instant at which the pod has to be over; a clock jump does not move it."""
    seconds = s.pod["spec"].get("activeDeadlineSeconds")
    return None if seconds is None or s.active_since is None else s.active_since + seconds


def _again(policy: str, kind: Kind, container: Json, ended: Container) -> bool:
    return restart.restarts(policy, kind, container, ended.exit_code)


# -- starting and keeping it running ------------------------------------------------------------


def _start(s: Snapshot) -> Decision:
    if not s.prepared:
        return doing(s, Phase.SYNCING, "preparing volumes and cgroup", (Prepare(),))
    sandbox, surplus = _choose(s)
    if surplus:
        return doing(s, Phase.SYNCING, "stopping a sandbox that is of no use any more", surplus)
    if sandbox is None:
        attempt = max([b.attempt + 1 for b in s.runtime.sandboxes] + [s.attempt_floor])
        return doing(s, Phase.SYNCING, "creating the sandbox", (RunSandbox(attempt),))
    return _run_containers(s, sandbox)


def _choose(s: Snapshot) -> tuple[Sandbox | None, tuple[Action, ...]]:
    """The sandbox to use, and what has to go before it: containers and sandboxes left behind.

    Two ready sandboxes can exist after a runtime answered too late; the newer one is kept.
    """
    ready = [b for b in s.runtime.sandboxes if b.ready]
    keep = max(ready, key=lambda b: b.attempt, default=None)
    actions: list[Action] = []
    for box in s.runtime.sandboxes:
        if box is keep:
            continue
        inhabitants = [
            c
            for c in s.runtime.containers
            if c.sandbox_id == box.id and c.state is ContainerState.RUNNING
        ]
        grace = spec.grace_seconds(s.pod)
        if inhabitants:
            actions += [
                KillContainer(c.name, c.id, grace, "Killing", "its sandbox is gone")
                for c in inhabitants
            ]
        elif box.ready or box.id not in s.stopped:
            actions.append(StopSandbox(box.id))
    return keep, tuple(actions)


def _run_containers(s: Snapshot, sandbox: Sandbox) -> Decision:
    """Kills and restarts first, then the next start that is due."""
    steps = _Steps(s, sandbox)
    unready_init = steps.init()
    if unready_init is None:
        steps.regular()
    steps.ephemeral()
    return steps.decision(unready_init)


class _Steps:
    """Collects what one turn has to do for the containers of a pod with a ready sandbox."""

    def __init__(self, s: Snapshot, sandbox: Sandbox) -> None:
        self.s = s
        self.sandbox = sandbox
        self.policy = spec.restart_policy(s.pod)
        self.actions: list[Action] = []
        self.looks: list[float] = []
        self.words: list[str] = []

    def init(self) -> str | None:
        """Bring the init containers along; the name of the one that holds up the rest, if any.

        Once a regular container has been created the pod is initialized for this sandbox and
        plain init containers never run again; sidecars are still kept running.
        """
        done = any(
            self._current(container) is not None
            for container in spec.regular_containers(self.s.pod)
        )
        for container in spec.init_containers(self.s.pod):
            name = container["name"]
            if spec.is_sidecar(container):
                self._keep_running(Kind.SIDECAR, container)
                current = self._current(container)
                health = self.s.health.get(name, HEALTHY)
                running = current is not None and current.state is ContainerState.RUNNING
                if not done and not (running and health.started and not self._starting(name)):
                    return name
            elif not done and not self._init_succeeded(container):
                self._keep_running(Kind.INIT, container)
                return name
        return None

    def regular(self) -> None:
        for container in spec.regular_containers(self.s.pod):
            if self._keep_running(Kind.REGULAR, container):
                break  # one start at a time, in the spec's order

    def ephemeral(self) -> None:
        for container in spec.ephemeral_containers(self.s.pod):
            if self.s.runtime.latest(container["name"]) is None:
                self._start(container, 0)

    def decision(self, waits_for: str | None) -> Decision:
        if waits_for:
            self.words.insert(0, f"waits for init container {waits_for}")
        sentence = "; ".join(self.words) or "running"
        return Decision(Phase.SYNCING, sentence, tuple(self.actions), min(self.looks, default=None))

    # -- one container ----------------------------------------------------------------------

    def _current(self, container: Mapping[str, Any]) -> Container | None:
        """The newest attempt, if it belongs to the sandbox in use."""
        latest = self.s.runtime.latest(container["name"])
        return latest if latest and latest.sandbox_id == self.sandbox.id else None

    def _init_succeeded(self, container: Json) -> bool:
        current = self._current(container)
        return (
            current is not None
            and current.state is ContainerState.EXITED
            and current.exit_code == 0
        )

    def _starting(self, name: str) -> bool:
        return start_key(name) in self.s.busy

    def _keep_running(self, kind: Kind, container: Json) -> bool:
        """What this container needs now. True while a start is due or under way."""
        name = container["name"]
        latest = self.s.runtime.latest(name)
        if self._starting(name):
            self.words.append(f"starting {name}")
            return True
        if latest is None:
            return self._start(container, 0)
        if latest.state is ContainerState.RUNNING:
            self._check(kind, container, latest)
            return False
        if latest.state in (ContainerState.CREATED, ContainerState.UNKNOWN):
            # An agent that died between create and start left it; it never ran.
            self._add(RemoveContainer(latest.id), f"removing {name}, which was created only")
            return True
        return self._after_exit(kind, container, latest)

    def _after_exit(self, kind: Kind, container: Json, ended: Container) -> bool:
        name = container["name"]
        same_life = ended.sandbox_id == self.sandbox.id
        # In a new sandbox init containers run again, but not what had ended for good.
        for_good = not _again(self.policy, kind, container, ended)
        if for_good and (same_life or kind is Kind.REGULAR):
            self.words.append(f"{name} has ended with {ended.exit_code}")
            return False
        at = self.s.restart_at.get(name, 0.0)
        if same_life and at > self.s.now:
            self.looks.append(at)
            self.words.append(f"{name} ended with {ended.exit_code}, waits before it starts again")
            return False
        return self._start(container, ended.attempt + 1)

    def _start(self, container: Json, attempt: int) -> bool:
        name = container["name"]
        if self._starting(name):
            return True
        failure = self.s.failures.get(start_key(name))
        if failure and failure.until > self.s.now:
            self._held_up(name, failure)
            return False
        self.actions.append(StartContainer(name, attempt))
        self.words.append(f"starting {name}")
        return True

    def _held_up(self, name: str, failure: Failure) -> None:
        self.looks.append(failure.until)
        self.words.append(f"{name}: {failure.reason}: {failure.message}")

    def _check(self, kind: Kind, container: Json, running: Container) -> None:
        """A running container is stopped where its probes or an edit of its spec ask for it."""
        name = container["name"]
        if kill_key(running.id) in self.s.busy or f"{kill_key(running.id)}:now" in self.s.busy:
            self.words.append(f"stopping {name}")
            return
        health = self.s.health.get(name, HEALTHY)
        recorded = running.annotations.get(CONTAINER_HASH)
        if recorded and recorded != container_hash(container):
            self._kill(container, running, "Killing", f"Container {name} definition changed")
        elif not health.live:
            probe = health.failed_probe or "liveness"
            self._kill(
                container,
                running,
                "Unhealthy",
                f"Container {name} failed {probe} probe, will be restarted",
                health.grace,
            )
        elif name in self.s.resize and kind is not Kind.EPHEMERAL:
            if _restart_to_resize(container):
                self._kill(
                    container, running, "Killing", f"Container {name} resize requires restart"
                )
            else:
                self._add(ResizeContainer(name, running.id), f"resizing {name}")

    def _kill(
        self,
        container: Json,
        running: Container,
        reason: str,
        message: str,
        own_grace: int | None = None,
    ) -> None:
        grace = spec.grace_seconds(self.s.pod) if own_grace is None else own_grace
        self._add(KillContainer(container["name"], running.id, grace, reason, message), message)

    def _add(self, action: Action, words: str) -> None:
        failure = self.s.failures.get(action.key)
        if failure and failure.until > self.s.now:
            self._held_up(words, failure)
        elif action.key not in self.s.busy:
            self.actions.append(action)
            self.words.append(words)


def _restart_to_resize(container: Mapping[str, Any]) -> bool:
    return any(
        rule.get("restartPolicy") == "RestartContainer"
        for rule in container.get("resizePolicy") or ()
    )
