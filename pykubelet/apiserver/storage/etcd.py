"""etcd, version 3, as the store: for several API servers on one set of data.

Every write is one transaction that compares the key's last revision. Reads are linearizable. The
watch asks for progress, so that a server knows it has seen everything up to a revision even when
the writes in between were not under its prefix. Source: etcd's API reference.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from pykubelet.apiserver.storage.contract import (
    Batch,
    Compacted,
    Conflict,
    Event,
    Exists,
    Page,
    Record,
)
from pykubelet.errors import Failed, TimedOut, Unavailable
from pykubelet.objects.wire import messages

log = logging.getLogger(__name__)

_TIMEOUT = 10.0
_LARGEST = 64 * 1024 * 1024
_LEASES_SHARED_FOR = 60.0
_AGAIN = (grpc.StatusCode.UNAVAILABLE,)


@dataclass(frozen=True, slots=True)
class Tls:
    """How to talk to etcd over TLS."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class EtcdStore:
    """See `contract.Store`. `endpoints` are URLs; when one fails the next is used."""

    def __init__(self, endpoints: Sequence[str], tls: Tls | None = None) -> None:
        self._endpoints = list(endpoints)
        self._tls = tls
        self._table = messages.load(__package__, "etcd.schema")
        self._channel: Any = None
        self._calls: dict[str, Any] = {}
        self._leases: dict[float, tuple[int, float]] = {}
        self._streams: set[_Stream] = set()

    # -- writing ---------------------------------------------------------------------------------

    async def create(self, key: str, value: bytes, ttl: float = 0) -> Record:
        done = await self._write(key, 0, await self._put(key, value, ttl), look=False)
        if not done.succeeded:
            raise Exists(f"{key} exists")
        return Record(key, value, done.header.revision, done.header.revision)

    async def update(self, key: str, value: bytes, expected: int, ttl: float = 0) -> Record:
        done = await self._write(key, expected, await self._put(key, value, ttl))
        if not done.succeeded:
            raise Conflict(key, _found(done))
        created = 0
        return Record(key, value, done.header.revision, created)

    async def delete(self, key: str, expected: int) -> Event:
        operation = {"request_delete_range": {"key": key.encode(), "prev_kv": True}}
        done = await self._write(key, expected, operation)
        if not done.succeeded or expected == 0:
            raise Conflict(key, _found(done) if not done.succeeded else None)
        (before,) = done.responses[0].response_delete_range.prev_kvs
        return Event(_record(before), done.header.revision, deleted=True)

    async def compact(self, revision: int) -> None:
        try:
            await self._call("KV/Compact", "CompactionRequest", revision=revision)
        except Compacted:
            pass  # another server was quicker

    async def _write(
        self, key: str, expected: int, operation: dict[str, Any], look: bool = True
    ) -> Any:
        """One transaction: do it if the key is at that revision (0: isn't there), else look."""
        compare = {"result": "EQUAL", "target": "MOD", "key": key.encode(),
                   "mod_revision": expected}  # fmt: skip
        failure = [{"request_range": {"key": key.encode()}}] if look else []
        return await self._call(
            "KV/Txn", "TxnRequest", compare=[compare], success=[operation], failure=failure
        )

    async def _put(self, key: str, value: bytes, ttl: float) -> dict[str, Any]:
        put: dict[str, Any] = {"key": key.encode(), "value": value}
        if ttl:
            put["lease"] = await self._lease(ttl)
        return {"request_put": put}

    async def _lease(self, ttl: float) -> int:
        """A lease for what is to live so long; shared by what is written within a minute."""
        known = self._leases.get(ttl)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        seconds = math.ceil(ttl + _LEASES_SHARED_FOR)
        granted = await self._call("Lease/LeaseGrant", "LeaseGrantRequest", TTL=seconds)
        self._leases[ttl] = granted.ID, time.monotonic() + _LEASES_SHARED_FOR
        return int(granted.ID)

    # -- reading ---------------------------------------------------------------------------------

    async def get(self, key: str, at: int = 0) -> Record | None:
        found = await self._call("KV/Range", "RangeRequest", at, key=key.encode(), revision=at)
        return _record(found.kvs[0]) if found.kvs else None

    async def page(self, prefix: str, limit: int = 0, after: str = "", at: int = 0) -> Page:
        found = await self._call(
            "KV/Range", "RangeRequest", at,
            key=(f"{after}\0" if after else prefix).encode(), range_end=_end(prefix),
            limit=limit, revision=at,
        )  # fmt: skip
        records = [_record(kv) for kv in found.kvs]
        revision = at or found.header.revision
        if not found.more:
            return Page(records, revision)
        return Page(records, revision, records[-1].key, found.count - len(records))

    async def count(self, prefix: str) -> int:
        found = await self._call(
            "KV/Range", "RangeRequest", key=prefix.encode(), range_end=_end(prefix),
            count_only=True,
        )  # fmt: skip
        return int(found.count)

    async def revision(self) -> int:
        found = await self._call("KV/Range", "RangeRequest", key=b"/", count_only=True)
        revision = int(found.header.revision)
        for stream in self._streams:
            stream.ask_progress(revision)
        return revision

    # -- watching --------------------------------------------------------------------------------

    async def watch(self, prefix: str, after: int) -> AsyncIterator[Batch]:
        stream = _Stream(after)
        self._streams.add(stream)
        request = self._table["WatchRequest"]
        create = request(
            create_request={
                "key": prefix.encode(), "range_end": _end(prefix), "start_revision": after + 1,
                "progress_notify": True, "prev_kv": True, "fragment": True,
            }
        )  # fmt: skip
        progress = request(progress_request={})

        async def requests() -> AsyncIterator[Any]:
            yield create
            while True:
                await stream.wanted()
                yield progress

        call = self._call_of("Watch/Watch")(requests())
        pending: list[Event] = []
        try:
            async for answer in call:
                if answer.canceled:
                    if answer.compact_revision:
                        raise Compacted(after, int(answer.compact_revision))
                    raise Unavailable(f"etcd ended the watch: {answer.cancel_reason}")
                pending += map(_event, answer.events)
                revision = int(answer.header.revision)
                if answer.fragment or answer.created:
                    continue
                if pending:
                    batch, pending = Batch(pending, pending[-1].revision), []
                    stream.reached = batch.revision
                    yield batch
                elif revision > stream.reached:
                    stream.reached = revision
                    yield Batch((), revision)
            raise Unavailable("etcd ended the watch")
        except grpc.aio.AioRpcError as error:
            raise await self._trouble(error, after) from None
        finally:
            self._streams.discard(stream)
            call.cancel()

    # -- calls -----------------------------------------------------------------------------------

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _call(self, method: str, request: str, at: int = 0, **fields: Any) -> Any:
        message = self._table[request](**fields)
        for attempt in range(len(self._endpoints)):
            try:
                return await self._call_of(method)(message, timeout=_TIMEOUT)
            except grpc.aio.AioRpcError as error:
                trouble = await self._trouble(error, at)
                idempotent = method == "KV/Range"
                last = attempt == len(self._endpoints) - 1
                if error.code() not in _AGAIN or not idempotent or last:
                    raise trouble from None
        raise Unavailable("no etcd endpoint is given")

    def _call_of(self, name: str) -> Any:
        """The call of a method, over the connection there is or a new one."""
        if self._channel is None:
            self._channel = self._connect(self._endpoints[0])
            self._calls = {}
        if name not in self._calls:
            service, _, short = name.partition("/")
            method = self._table.methods(service)[short]
            make = self._channel.stream_stream if method.request_streams else (
                self._channel.unary_unary
            )  # fmt: skip
            self._calls[name] = make(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        return self._calls[name]

    def _connect(self, endpoint: str) -> Any:
        scheme, _, address = endpoint.rpartition("://")
        options = [
            ("grpc.max_receive_message_length", _LARGEST),
            ("grpc.max_send_message_length", _LARGEST),
            ("grpc.keepalive_time_ms", 30_000),
        ]
        if scheme != "https":
            return grpc.aio.insecure_channel(address, options)
        tls = self._tls or Tls()
        credentials = grpc.ssl_channel_credentials(
            *(path.read_bytes() if path else None
              for path in (tls.authority, tls.key, tls.certificate))
        )  # fmt: skip
        return grpc.aio.secure_channel(address, credentials, options)

    async def _trouble(self, error: grpc.aio.AioRpcError, at: int) -> Failed:
        """A gRPC error as one of ours. After a lost connection the next endpoint is used."""
        details = error.details() or ""
        code = error.code()
        if "compacted" in details:
            return Compacted(at, at)
        if code == grpc.StatusCode.UNAVAILABLE:
            self._endpoints.append(self._endpoints.pop(0))
            channel, self._channel = self._channel, None
            if channel is not None:
                await channel.close()
            return Unavailable(f"etcd can't be reached: {details}")
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimedOut(f"etcd didn't answer within {_TIMEOUT:g} s")
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
            return Unavailable(
                f"etcd refuses to write ({details}): compact and defragment it, then disarm its "
                "alarm"
            )
        return Unavailable(f"etcd: {details or code.name}")


class _Stream:
    """How far one watch has come, and how far somebody wants it to be."""

    def __init__(self, reached: int) -> None:
        self.reached = reached
        self._asked = asyncio.Event()

    def ask_progress(self, revision: int) -> None:
        if revision > self.reached:
            self._asked.set()

    async def wanted(self) -> None:
        await self._asked.wait()
        self._asked.clear()


def _end(prefix: str) -> bytes:
    """The first key after all that start with a prefix."""
    raw = bytearray(prefix.encode())
    raw[-1] += 1
    return bytes(raw)


def _record(kv: Any) -> Record:
    return Record(kv.key.decode(), bytes(kv.value), int(kv.mod_revision), int(kv.create_revision))


def _event(event: Any) -> Event:
    if event.type:
        return Event(_record(event.prev_kv), int(event.kv.mod_revision), deleted=True)
    return Event(_record(event.kv), int(event.kv.mod_revision))


def _found(done: Any) -> Record | None:
    """What a transaction that was refused has seen instead."""
    kvs = done.responses[0].response_range.kvs if done.responses else ()
    return _record(kvs[0]) if kvs else None
