"""Any CRI runtime: one that has CRI's own events, one that has none. A real gRPC server of a few
lines, made from the same table as the client, stands for runtimes that are not on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from pykubelet.errors import Invalid, NotFound, TimedOut, Unavailable
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.failures import NameReserved, Unsupported
from pykubelet.objects.wire.messages import load
from tests.component.runtime.test_events import Watch

CRI = load("pykubelet.kubelet.runtime", "cri.schema")
Handlers = dict[str, Callable[..., Any]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Handlers], Runtime]]:
    """Starts a runtime that knows these calls, and Version; gives the client to it."""
    ends: list[Callable[[], object]] = []

    def start(handlers: Handlers) -> Runtime:
        server = grpc.server(ThreadPoolExecutor(4))
        methods = {**CRI.methods("ImageService"), **CRI.methods("RuntimeService")}
        for service in ("RuntimeService", "ImageService"):
            made = {}
            for name, handle in {"Version": version, **handlers}.items():
                method = methods[name]
                make = (
                    grpc.unary_stream_rpc_method_handler
                    if method.response_streams
                    else grpc.unary_unary_rpc_method_handler
                )
                made[name] = make(
                    handle, method.request.FromString, method.response.SerializeToString
                )
            generic = grpc.method_handlers_generic_handler(f"runtime.v1.{service}", made)
            server.add_generic_rpc_handlers((generic,))
        socket = f"unix://{tmp_path}/cri.sock"
        server.add_insecure_port(socket)
        server.start()
        runtime = Runtime(socket, timeout=5)
        ends.extend((lambda: server.stop(0).wait(5), runtime.close))
        return runtime

    yield start
    for end in reversed(ends):
        end()


def version(request: Any, context: Any) -> Any:
    return CRI["VersionResponse"](
        version="0.1.0", runtime_name="other", runtime_version="9", runtime_api_version="v1"
    )


def failing(code: grpc.StatusCode, details: str) -> Callable[..., Any]:
    def handle(request: Any, context: Any) -> Any:
        context.abort(code, details)

    return handle


def event(uid: str, at: int) -> Any:
    return CRI["ContainerEventResponse"](
        container_id="c", created_at=at, pod_sandbox_status={"metadata": {"uid": uid}}
    )


def test_a_path_alone_is_an_endpoint_too(serve: Callable[[Handlers], Runtime]) -> None:
    runtime = serve({})
    bare = Runtime(runtime.endpoint.removeprefix("unix://"))
    assert bare.version().name == "other"
    bare.close()


def test_without_any_events_the_watch_says_so_and_ends(
    serve: Callable[[Handlers], Runtime],
) -> None:
    with pytest.raises(Unsupported):
        serve({}).watch(lambda event: None, threading.Event())


def test_cris_own_events_are_used_and_an_old_backlog_is_not(
    serve: Callable[[Handlers], Runtime],
) -> None:
    go = threading.Event()

    def events(request: Any, context: Any) -> Iterator[Any]:
        hour = 3600 * 10**9
        yield from (event(f"old{n}", time.time_ns() - hour) for n in range(3))
        go.wait(10)
        yield event("new", time.time_ns())
        go.clear()
        go.wait(10)

    watch = Watch(serve({"GetContainerEvents": events}))
    watch.hint("")
    go.set()
    watch.hint("new")
    watch.stop.set()
    watch.thread.join(5)
    assert not watch.thread.is_alive()
    go.set()
    assert watch.drain(0.1) == []


def test_a_stream_that_breaks_is_opened_again(serve: Callable[[Handlers], Runtime]) -> None:
    opened: list[int] = []

    def events(request: Any, context: Any) -> Iterator[Any]:
        opened.append(1)
        yield event(f"pod{len(opened)}", time.time_ns())
        context.abort(grpc.StatusCode.INTERNAL, "broken")

    watch = Watch(serve({"GetContainerEvents": events}))
    for uid in ("", "pod1", "", "pod2"):
        watch.hint(uid)
    watch.stop.set()
    watch.thread.join(5)
    assert not watch.thread.is_alive()


@pytest.mark.parametrize(
    ("code", "details", "error"),
    [
        (grpc.StatusCode.NOT_FOUND, "gone", NotFound),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "slow", TimedOut),
        (grpc.StatusCode.UNAVAILABLE, "closing", Unavailable),
        (grpc.StatusCode.INVALID_ARGUMENT, "wrong", Invalid),
        (grpc.StatusCode.UNIMPLEMENTED, "what?", Unsupported),
        (grpc.StatusCode.UNKNOWN, 'name "a_b" is reserved for "x1"', NameReserved),
    ],
)
def test_each_answer_has_its_error_and_names_the_call(
    serve: Callable[[Handlers], Runtime],
    code: grpc.StatusCode,
    details: str,
    error: type[Exception],
) -> None:
    runtime = serve({"RunPodSandbox": failing(code, details)})
    with pytest.raises(error) as caught:
        runtime.run_sandbox({"metadata": {"name": "x"}})
    assert str(caught.value).startswith("RunPodSandbox: ")
    assert details in str(caught.value) or error is TimedOut


def test_a_runtime_that_hangs_is_given_up_at_the_deadline(
    serve: Callable[[Handlers], Runtime],
) -> None:
    """Complaint 25: one hanging call ends with TimedOut, others go on meanwhile."""
    go = threading.Event()

    def hang(request: Any, context: Any) -> Any:
        go.wait(10)
        return CRI["RunPodSandboxResponse"](pod_sandbox_id="late")

    patient = serve({"RunPodSandbox": hang})
    hasty = Runtime(patient.endpoint, timeout=0.3)
    with pytest.raises(TimedOut, match=r"no answer from unix:.*cri.sock within 0.3 s"):
        hasty.run_sandbox({"metadata": {"name": "x"}})
    assert hasty.version().name == "other"
    go.set()
    hasty.close()


def test_the_cgroup_driver_is_the_runtimes_word(serve: Callable[[Handlers], Runtime]) -> None:
    """Complaint 21: asked, not guessed."""

    def config(request: Any, context: Any) -> Any:
        return CRI["RuntimeConfigResponse"](linux={"cgroup_driver": "CGROUPFS"})

    assert serve({"RuntimeConfig": config}).cgroup_driver() == "cgroupfs"


def test_a_status_that_is_not_well_says_why(serve: Callable[[Handlers], Runtime]) -> None:
    def status(request: Any, context: Any) -> Any:
        conditions = [
            {"type": "RuntimeReady", "status": True},
            {"type": "NetworkReady", "reason": "NoCNI", "message": "cni plugin not initialized"},
        ]
        handler = {"name": "runc", "features": {"user_namespaces": True}}
        return CRI["StatusResponse"](
            status={"conditions": conditions},
            runtime_handlers=[handler],
            features={"supplemental_groups_policy": True},
        )

    seen = serve({"Status": status}).status()
    assert (seen.ready, seen.network_ready) == (True, False)
    assert seen.message == "NetworkReady: cni plugin not initialized"
    assert seen.handlers["runc"].user_namespaces
    assert seen.supplemental_groups_policy
