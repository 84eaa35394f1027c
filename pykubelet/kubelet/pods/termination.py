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
    Release,
    RemoveSandbox,
    Snapshot,
    StopSandbox,
)
from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.runtime.model import Container, ContainerState

#: A container is never given less than this between SIGTERM and SIGKILL, unless 0 was asked for.
MINIMUM_GRACE_SECONDS = 2

#: Runtimes may still be starting what these name; stopping waits for the answer.
_STARTS = ("RunSandbox", "StartContainer:", "Prepare")


def stop(s: Snapshot, why: str, *, remove: bool) -> Decision:
    """The next steps towards the end. `remove`: nobody wants the pod any more."""
    starting = sorted(key for key in s.busy if key.startswith(_STARTS))
    live = [c for c in s.runtime.containers if c.state is not ContainerState.EXITED]
    if live:
        return _kill(s, live, why)
    if starting:
        return Decision(Phase.TERMINATING, f"{why}: waits for {starting[0]} to end")
    for step in (_stop_sandboxes, _remove_all if remove else _nothing):
        actions = step(s)
        if actions is not None:
            return doing(s, Phase.TERMINATING, f"{why}: {_what(actions)}", actions)
    if not s.released:
        words = f"{why}: unmounting volumes, removing the cgroup"
        return doing(s, Phase.TERMINATING, words, (Release(remove=remove),))
    return Decision(Phase.TERMINATED, why)


def _kill(s: Snapshot, live: list[Container], why: str) -> Decision:
    grace = _grace(s)
    since = s.now if s.terminating_since is None else s.terminating_since
    kinds = {c["name"]: kind for kind, c in spec.containers(s.pod)}
    sidecars = [c for c in live if kinds.get(c.name) is Kind.SIDECAR]
    others = [c for c in live if c not in sidecars]
    if others:
        wave = others
    else:
        order = [c["name"] for c in spec.init_containers(s.pod)]
        sidecars.sort(key=lambda c: order.index(c.name))
        wave = sidecars[-1:]
        spent = s.now - since
        grace = max(MINIMUM_GRACE_SECONDS, int(grace - spent)) if grace else 0
    actions = tuple(KillContainer(c.name, c.id, grace, "Killing") for c in wave)
    names = ", ".join(sorted(c.name for c in wave))
    return doing(s, Phase.TERMINATING, f"{why}: stopping {names}, {grace} s of grace", actions)


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
