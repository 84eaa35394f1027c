"""gRPC, as far as we need it: one channel, calls by name, errors as our own.

The only module here that imports grpc. A `Service` is made from the service lines of a schema table
(`pykubelet.objects.wire.messages`) and called with plain keyword arguments.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# Both have to be said before the library is loaded. It prints to stderr whatever it retries, and
# its fork handlers stop the world at each subprocess that we start.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
from grpc import experimental

from pykubelet.errors import Failed, Invalid, NotFound, PykubeletError, TimedOut, Unavailable
from pykubelet.kubelet.runtime.failures import NameReserved, Unsupported
from pykubelet.objects.wire.messages import Message, Method

_OPTIONS = [
    # As upstream: a node with many pods lists more than gRPC's 4 MiB.
    ("grpc.max_receive_message_length", 16 << 20),
    # The default waits a second and more after a restart of the runtime.
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # A stream is read by the thread that wants it, without a second one to fill a queue.
    (experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
]
_RESERVED = re.compile(r'name "(?P<name>[^"]+)" is reserved for "(?P<holder>[^"]+)"')


class Channel:
    """One connection to `endpoint`: `unix:///path`, a bare absolute path, or gRPC's own syntax.

    Made at once, connected at the first call, and again after it broke.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = f"unix://{endpoint}" if endpoint.startswith("/") else endpoint
        self._channel = grpc.insecure_channel(self.endpoint, options=_OPTIONS)

    def service(self, methods: Mapping[str, Method], timeout: float) -> Service:
        return Service(self._channel, methods, timeout, self.endpoint)

    def close(self) -> None:
        self._channel.close()


@dataclass(slots=True)
class Tally:
    """How often a call was made, how often it failed, and the seconds that all of them took."""

    calls: int = 0
    errors: int = 0
    seconds: float = 0.0


class Service:
    """The calls of one gRPC service."""

    def __init__(
        self, channel: Any, methods: Mapping[str, Method], timeout: float, endpoint: str
    ) -> None:
        self._channel = channel
        self._methods = methods
        self._timeout = timeout
        self._endpoint = endpoint
        self._stubs: dict[str, Any] = {}
        #: By call. Counted without a lock: a lost count now and then is none the worse.
        self.tallies: dict[str, Tally] = {}

    def call(self, name: str, timeout: float | None = None, /, **fields: Any) -> Message:
        """One request, one answer. `fields` are the request's, nested messages as dicts.

        Raises NotFound, TimedOut (after `timeout` seconds), Unavailable, Invalid, NameReserved,
        Unsupported or Failed.
        """
        stub = self._stub(name)
        request = self._request(name, fields)
        deadline = self._timeout if timeout is None else timeout
        tally = self.tallies.setdefault(name, Tally())
        tally.calls += 1
        began = time.monotonic()
        try:
            return stub(request, timeout=deadline)
        except grpc.RpcError as error:
            tally.errors += 1
            raise failure(name, error, self._endpoint, deadline) from error
        finally:
            tally.seconds += time.monotonic() - began

    @contextmanager
    def stream(self, name: str, /, **fields: Any) -> Iterator[Stream]:
        """One request, answers until either side ends it."""
        stream = Stream(name, self._stub(name)(self._request(name, fields)), self._endpoint)
        try:
            yield stream
        finally:
            stream.cancel()

    def _request(self, name: str, fields: dict[str, Any]) -> Message:
        try:
            return self._methods[name].request(**fields)
        except (ValueError, TypeError) as error:
            raise Invalid(f"{name} can't be asked like that: {error}") from error

    def _stub(self, name: str) -> Any:
        if name not in self._stubs:
            method = self._methods[name]
            make = self._channel.unary_stream if method.response_streams else None
            self._stubs[name] = (make or self._channel.unary_unary)(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        return self._stubs[name]


class Stream:
    """Answers as they come. `cancel` may be called by any thread and ends the iteration."""

    def __init__(self, name: str, call: Any, endpoint: str) -> None:
        self._name = name
        self._call = call
        self._endpoint = endpoint

    def __iter__(self) -> Iterator[Message]:
        try:
            yield from self._call
        except grpc.RpcError as error:
            if self._call.cancelled():
                return
            raise failure(self._name, error, self._endpoint) from error

    def cancel(self) -> None:
        self._call.cancel()


def failure(name: str, error: Any, endpoint: str, deadline: float = 0.0) -> PykubeletError:
    """gRPC's status as one of our errors. `name` is the call that was made."""
    code, details = error.code(), error.details() or ""
    message = f"{name}: {details or code.name}"
    reserved = _RESERVED.search(details)
    if reserved:
        return NameReserved(message, reserved["name"], reserved["holder"])
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return Invalid(message)
    kind = _BY_CODE.get(code, Failed)
    if kind is TimedOut and deadline:
        message = f"{name}: no answer from {endpoint} within {deadline:g} s"
    elif kind is Unavailable:
        # gRPC tells of every layer; the system's own words come last.
        message = f"{name}: nobody answers at {endpoint}: {details.rpartition('error: ')[2]}"
    return kind(message)


_BY_CODE: dict[Any, type[Failed]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    # Both ends keep the deadline; where the peer's runs out first, it resets the stream. We never
    # cancel a call ourselves while somebody waits for its answer.
    grpc.StatusCode.CANCELLED: TimedOut,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
}
