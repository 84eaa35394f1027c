"""One request to a resource, and the parts of the server that its verb needs.

A `Call` is made once for each request and handed down; the verbs in `verbs` are functions of it.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pykubelet.apiserver import status
from pykubelet.apiserver.authorization.rbac import Attributes
from pykubelet.apiserver.cache.caches import Caches
from pykubelet.apiserver.cache.items import encode
from pykubelet.apiserver.front.messages import Request
from pykubelet.apiserver.relay.tls import Relay
from pykubelet.apiserver.resources import conversions
from pykubelet.apiserver.resources.registry import Registry, Resource
from pykubelet.apiserver.resources.strategies import Strategy
from pykubelet.apiserver.routes import Route
from pykubelet.apiserver.storage.contract import Store
from pykubelet.apiserver.users import User
from pykubelet.clock import Clock, rfc3339
from pykubelet.objects.patches.field_sets import AnyShape, Shape

if TYPE_CHECKING:
    from pykubelet.apiserver.admission.chain import Admission
    from pykubelet.apiserver.authentication.service_accounts import ServiceAccountTokens

Json = dict[str, Any]

_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LARGEST = 1536 * 1024  # what etcd takes, so that what fits here fits there
_GENERATED_PREFIX = 58  # 63 less five random characters


@dataclass(slots=True)
class Parts:
    """What the server is made of, as far as verbs need it."""

    store: Store
    caches: Caches
    registry: Registry
    strategy_of: Callable[[Resource], Strategy]
    clock: Clock
    admission: Admission
    allows: Callable[[User, Attributes], str]
    """Why somebody may do something, in a few words; nothing if they may not."""
    relay: Relay | None = None
    """The way to kubelets, pods and services; None where there is none."""
    tokens: ServiceAccountTokens | None = None
    """Signs for service accounts."""


@dataclass(slots=True)
class Call:
    """A request that has been routed, authenticated and authorized."""

    parts: Parts
    request: Request
    route: Route
    resource: Resource
    user: User
    warnings: list[str] = field(default_factory=list)
    undo: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What was reserved for the object on its way, and is to be given back if it isn't stored."""
    owners: list[Json] | None = None
    """The managedFields that an apply has settled; None: to be found by comparing."""

    @property
    def strategy(self) -> Strategy:
        return self.parts.strategy_of(self.resource)

    @property
    def key(self) -> str:
        """The object's key in its collection."""
        if self.resource.namespaced:
            return f"{self.route.namespace}/{self.route.name}"
        return self.route.name

    @property
    def store_key(self) -> str:
        return f"{self.resource.prefix()}{self.key}"

    @property
    def dry_run(self) -> bool:
        values = [v for one in self.request.query_all("dryRun") for v in one.split(",") if v]
        if not values:
            return False
        if values != ["All"]:
            raise status.bad_request(
                f'dryRun: Unsupported value: {values}: supported values: "All"'
            )
        return True

    @property
    def manager(self) -> str:
        """Who the fields belong to that this request sets."""
        given = self.request.query.get("fieldManager")
        if given:
            return given[:128]
        agent = self.request.headers.get("user-agent", "unknown").partition("/")[0]
        return "".join(c for c in agent if c.isprintable())[:128] or "unknown"

    @property
    def strategy_ttl(self) -> float:
        """Seconds that an object of this resource lives; 0: until it is deleted."""
        return self.strategy.ttl

    def now(self) -> str:
        return rfc3339(self.parts.clock.wall())

    @property
    def shape(self) -> AnyShape:
        """How ownership of fields is told in the resource's objects."""
        custom = self.resource.custom
        return custom.shape if custom is not None else Shape(self.resource.type_name)

    def encoded(self, obj: Json) -> bytes:
        """An object of the resource as the store keeps it."""
        resource = self.resource
        if resource.stored_as:
            obj = conversions.to_store(resource.stored_as, resource.group_version, obj)
        value = encode(obj)
        if len(value) > _LARGEST:
            raise status.too_large(_LARGEST)
        return value

    def option(self, name: str) -> str:
        return self.request.query.get(name, "")


def new_uid() -> str:
    return str(uuid.uuid4())


def generated_name(prefix: str) -> str:
    """What `generateName` makes: the prefix and five characters that spell nothing rude."""
    suffix = "".join(random.choices(_NAME_ALPHABET, k=5))
    return prefix[:_GENERATED_PREFIX] + suffix


def integer(value: str, name: str) -> int:
    """A whole, not negative number from a parameter; 0 where it is not given."""
    if not value:
        return 0
    try:
        number = int(value)
    except ValueError:
        number = -1
    if number < 0:
        raise status.bad_request(f'{name}: Invalid value: "{value}": must be a number')
    return number


def names_of(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)
