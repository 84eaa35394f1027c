"""Node ports: one record with a bit for each port of the range, as upstream keeps it
(`/registry/ranges/servicenodeports`, a RangeAllocation).

Every change is an update of that record at the revision that was read, so two servers can't give
the same port away.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterable

import orjson

from pykubelet.apiserver.storage.contract import Conflict, Exists, Store
from pykubelet.errors import Failed, Invalid

KEY = "/registry/ranges/servicenodeports"
_TRIES = 20


class NodePorts:
    """The ports `low` to `high`, both included."""

    def __init__(self, low: int = 30000, high: int = 32767) -> None:
        self.low, self.high = low, high
        size = high - low + 1
        self._offset = min(max(16, size // 32), 128) if size > 32 else 0

    def __contains__(self, port: int) -> bool:
        return self.low <= port <= self.high

    async def reserve(self, store: Store, port: int) -> None:
        """Reserve a given port. Invalid, with the reason, if it can't be had."""
        if port not in self:
            raise Invalid(
                "provided port is not in the valid range. The range of valid ports is "
                f"{self.low}-{self.high}"
            )

        def change(bits: int) -> int:
            bit = 1 << (port - self.low)
            if bits & bit:
                raise Invalid("provided port is already allocated")
            return bits | bit

        await self._change(store, change)

    async def choose(self, store: Store) -> int:
        """Reserve any free port, from the upper part of the range first. Invalid if none is."""
        chosen = 0

        def change(bits: int) -> int:
            nonlocal chosen
            chosen = self.free(bits)
            return bits | 1 << (chosen - self.low)

        await self._change(store, change)
        return chosen

    def free(self, bits: int) -> int:
        """A port whose bit isn't set, by chance. Invalid if there is none."""
        size = self.high - self.low + 1
        for first, end in ((self._offset, size), (0, self._offset)):
            free = [at for at in range(first, end) if not bits >> at & 1]
            if free:
                return self.low + random.choice(free)
        raise Invalid("range is full")

    async def release(self, store: Store, ports: Iterable[int]) -> None:
        mask = sum({1 << (port - self.low) for port in ports if port in self})
        if mask:
            await self._change(store, lambda bits: bits & ~mask)

    async def reserved(self, store: Store) -> set[int]:
        """All ports that are reserved."""
        bits = (await self._read(store))[0]
        return {self.low + at for at in range(self.high - self.low + 1) if bits >> at & 1}

    async def keep(self, store: Store, ports: Iterable[int]) -> None:
        """Set the bits of these too, whoever has them."""
        mask = sum({1 << (port - self.low) for port in ports if port in self})
        if mask:
            await self._change(store, lambda bits: bits | mask)

    async def _change(self, store: Store, change: Callable[[int], int]) -> None:
        for _ in range(_TRIES):
            bits, revision = await self._read(store)
            after = change(bits)
            if after == bits:
                return
            try:
                if revision:
                    await store.update(KEY, self._written(after), revision)
                else:
                    await store.create(KEY, self._written(after))
            except (Conflict, Exists):
                continue
            return
        raise Failed("too many others change the node ports at once")

    async def _read(self, store: Store) -> tuple[int, int]:
        record = await store.get(KEY)
        if record is None:
            return 0, 0
        data = orjson.loads(record.value).get("data") or ""
        # Upstream writes a big integer: the first byte is the highest.
        return int.from_bytes(base64.b64decode(data), "big"), record.revision

    def _written(self, bits: int) -> bytes:
        data = bits.to_bytes((bits.bit_length() + 7) // 8, "big")
        return orjson.dumps({
            "kind": "RangeAllocation", "apiVersion": "v1", "metadata": {},
            "range": f"{self.low}-{self.high}", "data": base64.b64encode(data).decode(),
        })  # fmt: skip
