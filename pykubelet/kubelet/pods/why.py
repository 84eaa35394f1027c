"""Why does this pod stand where it stands? The whole way from file to probe, as sentences. Pure.

`explain` looks at what the agent knows of one target (a pod, or a manifest that never became one)
and returns a `Chain`: every step in the order in which it has to be taken, each done, under way,
waiting or failed, and what happens next. `pykubelet why` prints it; the agent serves it on its
local socket; both speak of nothing but values, so the same function explains a file while no agent
runs. Nothing here decides anything: decisions are `lifecycle`'s, this only tells them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.clock import rfc3339
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.chain import Chain, State, Step
from pykubelet.kubelet.pods.snapshot import (
    Decision,
    Failure,
    Phase,
    Prepare,
    RunSandbox,
    Snapshot,
    start_key,
)
from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.runtime.model import Container, ContainerState

Json = dict[str, Any]

_IMAGE_TROUBLE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName",
     "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
)  # fmt: skip
_PROBES = (
    ("startupProbe", "startup"),
    ("livenessProbe", "liveness"),
    ("readinessProbe", "readiness"),
)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of the manifest file. Times are seconds since the epoch.

    `problems` are the refusal's sentences, each with its line; with `kept`, what the file said
    before it was spoilt is still in force. `settles_at` is set while the file is being written.
    """

    path: str
    exists: bool = True
    ignored: bool = False
    modified_at: float | None = None
    settles_at: float | None = None
    problems: tuple[str, ...] = ()
    kept: bool = False


def explain(
    target: str,
    file: FileFacts | None,
    snapshot: Snapshot | None = None,
    decision: Decision | None = None,
    status: Mapping[str, Any] | None = None,
) -> Chain:
    """The chain for `target`.

    `file` is None for a pod from an API server. `snapshot`, `decision` and `status` (v1.PodStatus)
    are the latest of the pod; without a snapshot the story ends at the file.
    """
    steps: list[Step] = []
    if file is not None:
        steps += _file_steps(file, snapshot)
    elif snapshot is not None:
        steps.append(Step("source", "done", "bound to this node by the API server"))
    if snapshot is None:
        return Chain(target, "", tuple(steps), *_next_for_file(file))
    teller = _Teller(snapshot, status or {})
    if decision is not None and decision.phase in (Phase.TERMINATING, Phase.TERMINATED):
        steps += teller.tell_the_end()
        done = decision.phase is Phase.TERMINATED
        steps.append(Step("stop", "done" if done else "now", decision.sentence))
    else:
        steps += teller.tell()
    return Chain(
        target,
        spec.full_name(snapshot.pod),
        tuple(steps),
        decision.sentence if decision else "",
        _until(decision, snapshot),
    )


def _until(decision: Decision | None, s: Snapshot) -> float | None:
    if decision is None or decision.look_at is None:
        return None
    return max(0.0, decision.look_at - s.now)


# -- the file -------------------------------------------------------------------------------------


def _file_steps(file: FileFacts, snapshot: Snapshot | None) -> Iterator[Step]:
    since = rfc3339(file.modified_at) if file.modified_at else ""
    if not file.exists:
        removed = snapshot is not None
        said = "was removed" if removed else "is not there"
        yield Step("file", "done" if removed else "failed", f"{file.path} {said}")
        return
    if file.ignored:
        yield Step(
            "file",
            "failed",
            f"{file.path} is ignored: its name is that of a hidden, backup or temporary file",
        )
        return
    if file.settles_at is not None:
        yield Step("file", "now", f"{file.path} is still being written", since)
        return
    yield Step("file", "done", f"{file.path} was read", since)
    if file.problems:
        kept = "; what it said before stays in force" if file.kept else ""
        yield Step(
            "manifest",
            "failed",
            f"refused: {file.problems[0]}{kept}",
            since,
            file.problems[1:],
        )
        return
    if snapshot is not None:
        name = spec.full_name(snapshot.pod)
        yield Step("manifest", "done", f"accepted as pod {name}", since)
    else:
        yield Step("manifest", "done", "accepted", since)


def _next_for_file(file: FileFacts | None) -> tuple[str, None]:
    if file is None:
        return "Nothing: no such pod is known here.", None
    if not file.exists:
        return "It is read as soon as it appears.", None
    if file.ignored:
        return "Nothing, until it gets a name that counts, such as NAME.yaml.", None
    if file.settles_at is not None:
        return "It is read when it has not changed for a second.", None
    if file.problems:
        return "It is read again as soon as it is changed.", None
    return "", None


# -- the pod -----------------------------------------------------------------------------------


class _Teller:
    """Walks a pod's steps in order. After the first that isn't done, the later ones wait for it."""

    def __init__(self, snapshot: Snapshot, status: Mapping[str, Any]) -> None:
        self._s = snapshot
        self._status = status

    def tell(self) -> Iterator[Step]:
        """From admission to the last probe."""
        yield self._admission()
        yield self._volumes()
        yield self._sandbox()
        for kind, container in spec.containers(self._s.pod):
            yield from self._container_steps(kind, container)

    def tell_the_end(self) -> Iterator[Step]:
        """Of a pod that has to stop or has stopped: how each container ended, or that it still
        runs. What it took to start them is of no interest any more."""
        yield self._admission()
        for kind, container in spec.containers(self._s.pod):
            name = container["name"]
            latest = self._s.runtime.latest(name)
            if latest is None or latest.state is ContainerState.CREATED:
                continue
            if latest.state is ContainerState.EXITED:
                yield self._ended(kind, name, latest, again=False)
            else:
                yield Step(_title(kind, name), "now", "still running", _stamp(latest.started_at))

    def _admission(self) -> Step:
        s = self._s
        if s.verdict:
            return Step("admission", "failed", f"{s.verdict.reason}: {s.verdict.message}")
        if s.predecessor:
            return Step(
                "admission",
                "waiting",
                f"the pod of the same name that it replaces ({s.predecessor}) has not stopped yet",
            )
        return Step("admission", "done", "this node takes it", s.start_time)

    def _volumes(self) -> Step:
        name = "volumes and cgroup"
        if self._s.prepared:
            return Step(name, "done", "made")
        return self._undone(name, Prepare().key, "being made", "to be made when it is admitted")

    def _sandbox(self) -> Step:
        name = "sandbox and network"
        sandbox = self._s.runtime.sandbox
        if sandbox is not None and sandbox.ready:
            addresses = ", ".join(sandbox.ips)
            where = f"address {addresses}" if addresses else "on the host's network"
            return Step(name, "done", f"ready, {where}", _stamp(sandbox.created_at))
        return self._undone(name, RunSandbox(0).key, "being created", "waits for the volumes")

    def _undone(self, name: str, key: str, doing: str, waiting: str) -> Step:
        failure = self._s.failures.get(key)
        if key in self._s.busy:
            return Step(name, "now", doing, self._begun(key))
        if failure:
            return Step(name, "failed", self._trouble(failure))
        return Step(name, "waiting", waiting)

    def _trouble(self, failure: Failure) -> str:
        left = failure.until - self._s.now
        again = f"; tried again in {_span(left)}" if left > 0 else "; tried again now"
        return f"{failure.reason}: {failure.message}{again}"

    def _begun(self, key: str) -> str:
        """When an action that is under way was begun: the monotonic clock's word as wall time."""
        return rfc3339(self._s.wall - (self._s.now - self._s.busy[key].since))

    # -- one container --------------------------------------------------------------------------

    def _container_steps(self, kind: Kind, container: Json) -> Iterator[Step]:
        name = container["name"]
        latest = self._s.runtime.latest(name)
        yield self._image(container, latest)
        yield self._container(kind, name, latest)
        if latest is not None and latest.state is ContainerState.RUNNING:
            yield from self._probes(container)
        else:
            for field, _ in _PROBES:
                if container.get(field):
                    yield Step(f"probes of {name}", "waiting", "begin when the container runs")
                    return

    def _image(self, container: Json, latest: Container | None) -> Step:
        name = f"image of {container['name']}"
        image = container.get("image", "")
        key = start_key(container["name"])
        failure = self._s.failures.get(key)
        if failure and failure.reason in _IMAGE_TROUBLE:
            return Step(name, "failed", self._trouble(failure))
        if latest is not None or (failure and key not in self._s.busy):
            return Step(name, "done", f"{image} is here")
        if key in self._s.busy:
            doing = f"{image} is looked up, and pulled if it must be"
            return Step(name, "now", doing, self._begun(key))
        return Step(name, "waiting", f"{image} is looked up when its turn comes")

    def _container(self, kind: Kind, name: str, latest: Container | None) -> Step:
        s, title = self._s, _title(kind, name)
        key = start_key(name)
        failure = s.failures.get(key)
        if failure and key not in s.busy:
            if failure.reason in _IMAGE_TROUBLE:
                return Step(title, "waiting", "waits for its image")
            return Step(title, "failed", self._trouble(failure))
        if latest is None or latest.state is ContainerState.CREATED:
            if key in s.busy:
                return Step(title, "now", "being started", self._begun(key))
            return Step(title, "waiting", "its turn has not come yet")
        if latest.state is ContainerState.RUNNING:
            said = f"running{_times(latest)}"
            if kind is Kind.INIT:
                return Step(title, "now", f"{said}; the next waits for its end",
                            _stamp(latest.started_at))  # fmt: skip
            return Step(title, "done", said, _stamp(latest.started_at))
        if latest.state is ContainerState.UNKNOWN:
            return Step(title, "now", "the runtime doesn't know how it is")
        return self._ended(kind, name, latest, again=True)

    def _ended(self, kind: Kind, name: str, ended: Container, again: bool) -> Step:
        s, title = self._s, _title(kind, name)
        how = f"exited with code {ended.exit_code}"
        if ended.reason and ended.reason not in ("Completed", "Error"):
            how += f" ({ended.reason})"
        how += _times(ended)
        since, details = _stamp(ended.finished_at), self._last_words(name, ended)
        left = s.restart_at.get(name, 0.0) - s.now
        if again and start_key(name) in s.busy:
            return Step(title, "now", f"{how}; being started again", since, details)
        if again and left > 0:
            how += f"; started again in {_span(left)}"
            return Step(title, "failed", how, since, details)
        good = ended.exit_code == 0 and (kind is not Kind.SIDECAR or not again)
        state: State = "done" if good or kind is Kind.EPHEMERAL else "failed"
        return Step(title, state, how, since, details)

    def _last_words(self, name: str, ended: Container) -> tuple[str, ...]:
        """The termination message, which only the status knows, or what the runtime says."""
        for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
            for status in self._status.get(kind) or ():
                if status["name"] == name:
                    for state in (status.get("state") or {}, status.get("lastState") or {}):
                        said = (state.get("terminated") or {}).get("message", "").strip()
                        if said:
                            return (said,)
        return (ended.message.strip(),) if ended.message.strip() else ()

    def _probes(self, container: Json) -> Iterator[Step]:
        wanted = [label for field, label in _PROBES if container.get(field)]
        if not wanted:
            return
        title = f"probes of {container['name']}"
        health = self._s.health.get(container["name"])
        said = f": {health.message}" if health and health.message else ""
        since = self._not_ready_since()
        if health is None:
            yield Step(title, "now", f"{_list(wanted)}: not asked yet")
        elif not health.live:
            yield Step(title, "failed", f"{health.failed_probe} fails{said}", since)
        elif not health.started:
            yield Step(title, "now", f"startup has not succeeded yet{said}", since)
        elif not health.ready:
            yield Step(title, "failed", f"readiness fails{said}", since)
        else:
            yield Step(title, "done", f"{_list(wanted)}: all is well")

    def _not_ready_since(self) -> str:
        for condition in self._status.get("conditions") or ():
            if condition["type"] == "ContainersReady" and condition["status"] != "True":
                return condition.get("lastTransitionTime") or ""
        return ""


def _stamp(nanoseconds: int) -> str:
    return rfc3339(nanoseconds / 1e9) if nanoseconds else ""


def _span(seconds: float) -> str:
    whole = max(1, round(seconds))
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _title(kind: Kind, name: str) -> str:
    label = {Kind.INIT: "init container", Kind.SIDECAR: "sidecar",
             Kind.EPHEMERAL: "ephemeral container"}.get(kind, "container")  # fmt: skip
    return f"{label} {name}"


def _times(container: Container) -> str:
    if not container.attempt:
        return ""
    return (
        ", restarted once" if container.attempt == 1 else f", restarted {container.attempt} times"
    )
