"""How a pod ends: in which order its parts go. Pure; called by `lifecycle`.

Regular containers are asked to stop side by side; when they are gone, sidecars follow in reverse
order of their start (KEP-753); then the sandbox gives its addresses back; then volumes and cgroup
go; and of a pod that nobody wants any more, the containers and files go too. A pod that has only
run to its end keeps its dead containers: their logs and exit codes are still of use.
"""

from __future__ import annotations

from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.due import doing
from pykubelet.kubelet.pods.snapshot import (
    Action,
    Decision,
    KillContainer,
    Phase,
    Prepare,
    Release,
    RemoveContainer,
    RemoveSandbox,
    RunSandbox,
    Snapshot,
    StartContainer,
    StopSandbox,
    start_key,
)
from pykubelet.kubelet.runtime.model import Container, ContainerState

#: A container is never given less than this between SIGTERM and SIGKILL, unless 0 was asked for.
MINIMUM_GRACE_SECONDS = 2


def stop(s: Snapshot, why: str, *, remove: bool) -> Decision:
    """The next steps towards the end. `remove`: nobody wants the pod any more."""
    live = [c for c in s.runtime.containers if c.state is not ContainerState.EXITED]
    if live:
        return _end_containers(s, live, why)
    late = _starts(s)
    if late:
        return Decision(Phase.TERMINATING, f"{why}: waits for {late[0]} to end")
    for step in (_stop_sandboxes, _remove_all if remove else _nothing):
        actions = step(s)
        if actions is not None:
            return doing(s, Phase.TERMINATING, f"{why}: {_what(actions)}", actions)
    if not (s.removed if remove else s.released):
        words = f"{why}: unmounting volumes, removing the cgroup"
        return doing(s, Phase.TERMINATING, words, (Release(remove=remove),))
    return Decision(Phase.TERMINATED, why)


def _starts(s: Snapshot) -> list[str]:
    """What is still being started: the runtime may yet come up with something to stop."""
    names = {Prepare: "the volumes' set-up", RunSandbox: "the sandbox's start"}
    starting = [u.action for u in s.busy.values()]
    return sorted(
        f"the start of {a.name}" if isinstance(a, StartContainer) else names[type(a)]
        for a in starting
        if isinstance(a, StartContainer | RunSandbox | Prepare)
    )


def _end_containers(s: Snapshot, live: list[Container], why: str) -> Decision:
    """Regular ones first, side by side; then sidecars one by one, the last started first."""
    order = [c["name"] for c in spec.init_containers(s.pod) if spec.is_sidecar(c)]
    sidecars = sorted((c for c in live if c.name in order), key=lambda c: order.index(c.name))
    others = [c for c in live if c.name not in order]
    late = [n for n in _starts(s) if not any(n.endswith(f" {name}") for name in order)]
    if not others and late:
        return Decision(Phase.TERMINATING, f"{why}: waits for {late[0]} to end")
    wave = others or sidecars[-1:]
    grace = _grace(s)
    if not others and grace:
        since = s.now if s.terminating_since is None else s.terminating_since
        grace = max(MINIMUM_GRACE_SECONDS, int(grace - (s.now - since)))
    names = ", ".join(sorted(c.name for c in wave))
    actions = tuple(action for c in wave if (action := _end(s, c, grace)))
    words = f"{why}: stopping {names}, {grace} s of grace"
    return doing(s, Phase.TERMINATING, words, actions)


def _end(s: Snapshot, container: Container, grace: int) -> Action | None:
    """One that never ran has nothing to stop, unless it is just about to run."""
    if container.state is not ContainerState.CREATED:
        return KillContainer(container.name, container.id, grace)
    return None if start_key(container.name) in s.busy else RemoveContainer(container.id)


def _grace(s: Snapshot) -> int:
    if s.grace is not None:
        return s.grace
    if s.verdict is not None and s.verdict.grace is not None:
        return s.verdict.grace
    return spec.grace_seconds(s.pod)


def _stop_sandboxes(s: Snapshot) -> tuple[Action, ...] | None:
    left = [b for b in s.runtime.sandboxes if b.ready or b.id not in s.stopped]
    return tuple(StopSandbox(b.id) for b in left) if left else None


def _remove_all(s: Snapshot) -> tuple[Action, ...] | None:
    boxes = s.runtime.sandboxes
    return tuple(RemoveSandbox(b.id) for b in boxes) if boxes else None


def _nothing(s: Snapshot) -> tuple[Action, ...] | None:
    return None


def _what(actions: tuple[Action, ...]) -> str:
    return {
        StopSandbox: "stopping the sandbox",
        RemoveSandbox: "removing the sandbox and its containers",
    }[type(actions[0])]
