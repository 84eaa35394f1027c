"""How a write passes admission: plugins one after the other, those that change it first.

A plugin is a name and up to two steps: `mutate` may change the object before it is validated,
`check` sees what will be stored and may only refuse. Both get an `Asked`. Which plugins there are,
and in which order, is told by `plugins`. Source: "Admission Control in Kubernetes".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pykubelet.apiserver import status
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.resources.registry import Resource
from pykubelet.apiserver.users import User

Json = dict[str, Any]

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


@dataclass(frozen=True, slots=True)
class Asked:
    """A write that wants to be let in. `new` is what will be stored (for DELETE what is there), in
    canonical form and with its defaults; only `mutate` steps may change it."""

    call: Call
    operation: str
    new: Json
    old: Json | None = None

    @property
    def resource(self) -> str:
        """`pods`, `deployments.apps`."""
        return self.call.resource.qualified

    @property
    def subresource(self) -> str:
        return self.call.route.subresource

    @property
    def namespace(self) -> str:
        return self.call.route.namespace

    @property
    def name(self) -> str:
        meta = self.new.get("metadata") or {}
        return self.call.route.name or meta.get("name") or meta.get("generateName") or ""

    @property
    def user(self) -> User:
        return self.call.user

    def is_of(self, resource: str, *operations: str) -> bool:
        """Whether it is one of these operations on objects of a resource themselves."""
        return self.resource == resource and self.operation in operations and not self.subresource

    def objects(self, resource: str, namespace: str = "") -> Iterator[Json]:
        """The objects of another resource, as they are stored now."""
        kind = self._kind(resource)
        return (item.tree() for item in self.call.parts.caches.of(kind).items(namespace))

    def object(self, resource: str, name: str, namespace: str = "") -> Json | None:
        key = f"{namespace}/{name}" if namespace else name
        item = self.call.parts.caches.of(self._kind(resource)).get(key)
        return item.tree() if item else None

    def _kind(self, resource: str) -> Resource:
        plural, _, group = resource.partition(".")
        found = self.call.parts.registry.find(group, "v1", plural)
        assert found is not None, resource
        return found

    def forbidden(self, why: str) -> status.Refusal:
        """403, in the words that all plugins use."""
        return status.forbidden(self.call.resource, self.name, why)

    def warn(self, text: str) -> None:
        if text not in self.call.warnings:
            self.call.warnings.append(text)


Step = Callable[[Asked], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin under upstream's name."""

    name: str
    mutate: Step | None = None
    check: Step | None = None


class Admission:
    """The plugins that are switched on, in order."""

    def __init__(self, plugins: Iterable[Plugin] = ()) -> None:
        self.plugins = tuple(plugins)
        self._mutating = tuple(p.mutate for p in self.plugins if p.mutate is not None)
        self._checking = tuple(p.check for p in self.plugins if p.check is not None)

    def with_last(self, plugin: Plugin) -> Admission:
        """The same with one more after all others."""
        return Admission((*self.plugins, plugin))

    async def mutate(self, asked: Asked) -> None:
        """Let every plugin change the object. Raises Refusal."""
        for step in self._mutating:
            await step(asked)

    async def check(self, asked: Asked) -> None:
        """Let every plugin refuse what will be stored. Raises Refusal."""
        for step in self._checking:
            await step(asked)
