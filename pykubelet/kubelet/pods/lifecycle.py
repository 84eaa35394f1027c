"""What to do next for one pod: the pure heart of the agent.

`decide` looks at one snapshot and returns the actions to take and the sentence that explains them.
It is called again after every action, event, probe result or edit, so it never plans further than
one step; whatever happened in between is simply the next snapshot. The pod as a whole is here, its
containers in `steps`, its end in `termination`; `manager` calls and `perform` acts.

The order of a start: volumes and cgroup, sandbox, init containers one by one (sidecars among them
stay and need only have started), then regular containers in the spec's order.
"""

from __future__ import annotations

from typing import Any

from pykubelet.kubelet.pods import restart, spec
from pykubelet.kubelet.pods.due import doing
from pykubelet.kubelet.pods.snapshot import (
    Action,
    Decision,
    KillContainer,
    Phase,
    Prepare,
    RunSandbox,
    Snapshot,
    StartContainer,
    StopSandbox,
    Verdict,
)
from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.pods.steps import Steps
from pykubelet.kubelet.pods.termination import stop
from pykubelet.kubelet.runtime.model import ContainerState, Sandbox

Json = dict[str, Any]


def decide(s: Snapshot) -> Decision:
    """The next step of this pod's life, and why."""
    if not s.wanted:
        return stop(s, "no longer wanted", remove=True)
    if s.verdict:
        return stop(s, f"{s.verdict.reason}: {s.verdict.message}", remove=False)
    phase = s.ended or outcome(s)
    if phase:
        return stop(s, f"ran to its end: {phase}", remove=False)
    if s.predecessor:
        return Decision(
            Phase.WAITING, f"waits until the pod of its name ({s.predecessor}) is gone from here"
        )
    return _start(s)


# -- is it over? ------------------------------------------------------------------------------


def outcome(s: Snapshot) -> str:
    """`Succeeded` or `Failed` once nothing will run any more by itself, else empty.

    One init container that failed for good decides alone; else all regular ones have to be at
    their end.
    """
    policy = spec.restart_policy(s.pod)
    failed, running = False, False
    for kind, container in spec.containers(s.pod):
        if kind not in (Kind.INIT, Kind.REGULAR):
            continue
        latest = s.runtime.latest(container["name"])
        ended = latest if latest and latest.state is ContainerState.EXITED else None
        if ended is None or restart.comes_back(policy, kind, container, ended, s.replaced):
            running |= kind is Kind.REGULAR
        elif kind is Kind.INIT and ended.exit_code:
            return "Failed"
        elif kind is Kind.REGULAR:
            failed |= ended.exit_code != 0
    if running:
        return ""
    return "Failed" if failed else "Succeeded"


def overdue(s: Snapshot) -> Verdict | None:
    """The verdict on a pod that has been active for longer than its activeDeadlineSeconds."""
    deadline = deadline_at(s)
    if deadline is None or s.now < deadline or s.verdict or s.ended:
        return None
    return Verdict(
        "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
    )


def deadline_at(s: Snapshot) -> float | None:
    """The monotonic instant at which the pod has to be over; a clock jump does not move it."""
    seconds = s.pod["spec"].get("activeDeadlineSeconds")
    return None if seconds is None or s.active_since is None else s.active_since + seconds


# -- starting and keeping it running ------------------------------------------------------------


def _start(s: Snapshot) -> Decision:
    if not s.prepared:
        return doing(s, Phase.SYNCING, "preparing volumes and cgroup", (Prepare(),))
    sandbox, surplus = _choose(s)
    if surplus:
        return doing(s, Phase.SYNCING, "stopping a sandbox that is of no use any more", surplus)
    if sandbox is None and _starting(s):
        return Decision(
            Phase.SYNCING, "waits for the start of a container in a lost sandbox to end"
        )
    if sandbox is None:
        attempt = max([b.attempt + 1 for b in s.runtime.sandboxes] + [s.sandbox_floor])
        return doing(s, Phase.SYNCING, "creating the sandbox", (RunSandbox(attempt),))
    return Steps(s, sandbox).decision()


def _starting(s: Snapshot) -> bool:
    return any(isinstance(u.action, StartContainer) for u in s.busy.values())


def _choose(s: Snapshot) -> tuple[Sandbox | None, tuple[Action, ...]]:
    """The sandbox to use, and what has to go before it: containers and sandboxes left behind.

    Two ready sandboxes can exist after a runtime answered too late; the newer one is kept. While
    a container is being started, none is stopped: it may be the one that the container is to be in.
    """
    starting = _starting(s)
    ready = [b for b in s.runtime.sandboxes if b.ready]
    keep = max(ready, key=lambda b: b.attempt, default=None)
    grace = spec.grace_seconds(s.pod)
    actions: list[Action] = []
    for box in s.runtime.sandboxes:
        if box is keep:
            continue
        inhabitants = [
            c
            for c in s.runtime.containers
            if c.sandbox_id == box.id and c.state is ContainerState.RUNNING
        ]
        if inhabitants:
            actions += [
                KillContainer(c.name, c.id, grace, f"Container {c.name} lost its sandbox")
                for c in inhabitants
            ]
        elif not starting and (box.ready or box.id not in s.stopped):
            actions.append(StopSandbox(box.id))
    return keep, tuple(actions)
