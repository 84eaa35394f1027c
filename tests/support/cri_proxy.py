"""A runtime that misbehaves on demand: a gRPC proxy before a real one.

Every call goes through unchanged, bytes for bytes, unless the test has set a trap for its method:
something to do before or after it, an answer that never comes, an error instead. The agent is given
the proxy's socket and knows nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

#: Calls that change something, in the order in which a pod's life makes them.
STARTING = ("RunPodSandbox", "CreateContainer", "StartContainer")
STOPPING = ("StopContainer", "StopPodSandbox", "RemovePodSandbox")

_STREAMS = ("GetContainerEvents", "Subscribe")


def _same(data: bytes) -> bytes:
    return data


class CriProxy(grpc.GenericRpcHandler):
    """Between `socket`, where it listens, and `behind`, the runtime's own socket.

    `before` and `after` map a method's name to what is called with the request's bytes; `calls`
    counts by method; `hangs` says by method and request whether the answer never comes.
    """

    def __init__(self, socket: Path, behind: Path) -> None:
        self.socket = socket
        self.before: dict[str, Callable[[bytes], None]] = {}
        self.after: dict[str, Callable[[bytes], None]] = {}
        self.hangs: Callable[[str, bytes], bool] = lambda method, request: False
        self.fails: Callable[[str, bytes], str] = lambda method, request: ""
        self.calls: dict[str, int] = {}
        self._released = threading.Event()
        self._channel = grpc.insecure_channel(f"unix:{behind}")
        self._server = grpc.server(ThreadPoolExecutor(64))
        self._server.add_generic_rpc_handlers((self,))
        self._server.add_insecure_port(f"unix:{socket}")
        self._server.start()

    def release(self) -> None:
        """Let whatever hangs go on."""
        self._released.set()
        self.hangs = lambda method, request: False

    def close(self) -> None:
        self.release()
        self._server.stop(None).wait()
        self._channel.close()

    def service(self, handler_call_details: Any) -> Any:
        path: str = handler_call_details.method
        name = path.rpartition("/")[2]
        if name in _STREAMS:
            stream = self._channel.unary_stream(path, _same, _same)
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: self._streamed(stream, request, context), _same, _same
            )
        unary = self._channel.unary_unary(path, _same, _same)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._one(name, unary, request, context), _same, _same
        )

    def _one(self, name: str, unary: Any, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.calls[name] = self.calls.get(name, 0) + 1
        self._trap(self.before, name, request)
        if self.hangs(name, request):
            self._released.wait(300)
        words = self.fails(name, request)
        if words:
            context.abort(grpc.StatusCode.UNKNOWN, words)
        try:
            answer: bytes = unary(request)
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        self._trap(self.after, name, request)
        return answer

    def _streamed(
        self, stream: Any, request: bytes, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        call = stream(request)
        context.add_callback(call.cancel)
        try:
            yield from call
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    def _trap(self, traps: dict[str, Callable[[bytes], None]], name: str, request: bytes) -> None:
        trap = traps.pop(name, None)
        if trap:
            trap(request)
