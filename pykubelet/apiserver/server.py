"""The API server put together: a request comes in, an answer goes out.

    bytes → authenticate → authorize → verb (decode, default, admit, validate, store) → bytes

`ApiServer.handle` is that line. What is served is told by the registry, what a verb does is in
`verbs`, what must be there from the start in `bootstrap`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pykubelet.apiserver import presenting, reviews, routes, status
from pykubelet.apiserver.admission.chain import Admission
from pykubelet.apiserver.admission.plugins import admission as default_admission
from pykubelet.apiserver.allocation.services import ServiceAllocation
from pykubelet.apiserver.authentication import impersonation
from pykubelet.apiserver.authentication.chain import Authentication
from pykubelet.apiserver.authorization.rbac import Attributes, Rbac
from pykubelet.apiserver.bootstrap import make_what_must_be
from pykubelet.apiserver.cache.caches import Caches
from pykubelet.apiserver.cache.collection import Collection
from pykubelet.apiserver.calls import Call, Parts
from pykubelet.apiserver.discovery import Discovery
from pykubelet.apiserver.extensions.publisher import Publisher
from pykubelet.apiserver.front.messages import Request, Response
from pykubelet.apiserver.metrics import Metrics
from pykubelet.apiserver.openapi.documents import Documents
from pykubelet.apiserver.relay import verbs as relay
from pykubelet.apiserver.resources.builtin import strategy_of
from pykubelet.apiserver.resources.registry import Registry, Resource, builtin
from pykubelet.apiserver.routes import Route
from pykubelet.apiserver.storage.contract import Store
from pykubelet.apiserver.users import User
from pykubelet.apiserver.verbs import (
    deleting,
    patching,
    reading,
    subresources,
    tokens,
    watching,
    writing,
)
from pykubelet.clock import Clock, SystemClock
from pykubelet.errors import Failed, TimedOut
from pykubelet.version import KUBERNETES_VERSION, VERSION

log = logging.getLogger(__name__)

Verb = Callable[[Call], Awaitable[Response]]
_VERBS: dict[tuple[str, str], Verb] = {
    ("get", ""): reading.get,
    ("list", ""): reading.listing,
    ("watch", ""): watching.watch,
    ("create", ""): writing.create,
    ("update", ""): writing.update,
    ("patch", ""): patching.patch,
    ("delete", ""): deleting.delete,
    ("deletecollection", ""): deleting.collection,
    ("get", "status"): reading.get,
    ("update", "status"): writing.update,
    ("patch", "status"): patching.patch,
    ("get", "approval"): reading.get,
    ("update", "approval"): writing.update,
    ("patch", "approval"): patching.patch,
    ("get", "resize"): reading.get,
    ("get", "ephemeralcontainers"): reading.get,
    ("update", "ephemeralcontainers"): subresources.put_ephemeral,
    ("patch", "ephemeralcontainers"): subresources.patch_ephemeral,
    ("create", "binding"): subresources.bind,
    ("create", "eviction"): subresources.evict,
    ("update", "finalize"): subresources.finalize,
    ("get", "scale"): subresources.get_scale,
    ("update", "scale"): subresources.put_scale,
    ("patch", "scale"): subresources.patch_scale,
    ("create", "token"): tokens.request,
    ("get", "log"): relay.log,
    ("get", "exec"): relay.stream,
    ("create", "exec"): relay.stream,
    ("get", "attach"): relay.stream,
    ("create", "attach"): relay.stream,
    ("get", "portforward"): relay.port_forward,
    ("create", "portforward"): relay.port_forward,
    **{(verb, "proxy"): relay.proxy for verb in ("get", "create", "update", "patch", "delete")},
}
_HEALTH = ("/healthz", "/livez", "/readyz")
_OPEN = (*_HEALTH, "/version")


class ApiServer:
    """Everything but the socket. `start` it, give `handle` to a front, `stop` it."""

    def __init__(
        self,
        store: Store,
        authentication: Authentication,
        clock: Clock | None = None,
        service_range: str = "10.96.0.0/12",
        admission: Admission | None = None,
    ) -> None:
        self.registry: Registry = builtin()
        self.caches = Caches(store)
        self._authentication = authentication
        self._discovery = Discovery(self.registry)
        self._openapi = Documents(self.registry)
        self._service_range = service_range
        for resource in self.registry:
            if resource.stored:
                self.caches.add(resource, strategy_of(resource).fields_of)
        self.rbac = Rbac(self._roles)
        self._allocation = ServiceAllocation(service_range)
        self.parts = Parts(
            store, self.caches, self.registry, strategy_of, clock or SystemClock(),
            (admission or default_admission()).with_last(self._allocation.plugin()),
            self.rbac.allows,
        )  # fmt: skip
        self._metrics = Metrics()
        self._publisher = Publisher(self.parts, self._changed)
        self._ready = False

    def _changed(self) -> None:
        """What is served has changed."""
        self._discovery.forget()
        self._openapi.forget()

    def look_up(self, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        """A core object as the cache has it."""
        resource = self.registry.find("", "v1", plural)
        assert resource is not None
        key = f"{namespace}/{name}" if resource.namespaced else name
        found = self.caches.of(resource).get(key)
        return found.tree() if found is not None else None

    async def start(self) -> None:
        """Read the store, make what must be there, be ready."""
        await self.caches.start()
        await make_what_must_be(self.parts, self._service_range)
        self._allocation.start(self.parts)
        await self._publisher.start()
        self._ready = True

    async def stop(self) -> None:
        self._ready = False
        await self._allocation.stop()
        await self._publisher.stop()
        await self.caches.stop()

    async def handle(self, request: Request) -> Response:
        route = routes.parse(request.method, request.path, request.query)
        resource = None
        if route.is_resource:
            resource = self.registry.find(route.group, route.version, route.resource)
        started = time.monotonic()
        self._metrics.begin(route)
        code = 499  # what remains if the client goes away meanwhile
        try:
            response = await self._answer(request, route, resource)
            code = response.status
        finally:
            self._metrics.end(route, resource, code, time.monotonic() - started)
        return response

    async def _answer(self, request: Request, route: Route, resource: Resource | None) -> Response:
        try:
            return await self._handle(request, route, resource)
        except status.Refusal as refusal:
            return refusal.response()
        except TimedOut as error:
            return status.Refusal(504, "Timeout", str(error)).response()
        except Failed as error:
            log.warning("%s %s: %s", request.method, request.path, error)
            return status.unavailable(str(error)).response()

    async def _handle(self, request: Request, route: Route, resource: Resource | None) -> Response:
        user = self._authentication.user_of(request)
        if user is None:
            raise status.unauthorized()
        if "impersonate-user" in request.headers:
            user = impersonation.assumed(user, request, self.rbac)
        self._authorize(user, route, resource)
        if not route.is_resource:
            return self._other(request)
        if resource is None:
            raise status.no_such_resource()
        return await self._verb(route, resource)(Call(self.parts, request, route, resource, user))

    def _verb(self, route: Route, resource: Resource) -> Verb:
        if route.subresource:
            below = resource.subresource(route.subresource)
            if below is None:
                raise status.no_such_resource()
            verb = _VERBS.get((route.verb, route.subresource))
            if route.verb not in below.verbs or verb is None:
                raise status.not_allowed()
            return verb
        if route.verb not in resource.verbs:
            raise status.not_allowed()
        if resource.namespaced and not route.namespace and route.verb not in ("list", "watch"):
            raise status.not_allowed()
        if not resource.stored:
            return reviews.verb_of(resource, route, self.rbac, self._authentication)
        return _VERBS[route.verb, ""]

    def _authorize(self, user: User, route: Route, resource: Resource | None) -> None:
        if route.path in _OPEN or route.path.startswith(_HEALTH):
            return
        wanted = (
            Attributes(route.verb, route.group, route.resource, route.subresource,
                       route.namespace, route.name)
            if route.is_resource
            else Attributes(route.verb, path=route.path)
        )  # fmt: skip
        if self.rbac.allows(user, wanted):
            return
        raise reviews.refused(user, wanted, resource)

    def _other(self, request: Request) -> Response:
        """Everything that isn't a resource."""
        if request.method not in ("GET", "HEAD"):
            raise status.not_allowed()
        path = request.path.rstrip("/")
        found = self._discovery.answer(request) or self._openapi.answer(request)
        if found is not None:
            return found
        if path.startswith(_HEALTH):
            return self._health(path)
        signer = self.parts.tokens
        if signer is not None:
            if path == "/.well-known/openid-configuration":
                return Response(body=presenting.plain(signer.discovery()))
            if path == "/openid/v1/jwks":
                kind = "application/jwk-set+json"
                return Response(body=presenting.plain(signer.key_set()), content_type=kind)
        match path:
            case "/version":
                return Response(body=presenting.plain(version()))
            case "/metrics":
                text = self._metrics.render(self.registry, self.caches)
                return Response(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")
            case "":
                paths = ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2",
                         "/openapi/v3", "/readyz", "/version"]  # fmt: skip
                return Response(body=presenting.plain({"paths": paths}))
        if path.startswith(("/api/", "/apis/")):
            raise status.no_such_resource()
        return Response(404, b"404 page not found\n", "text/plain; charset=utf-8")

    def _health(self, path: str) -> Response:
        text = "text/plain; charset=utf-8"
        if path.startswith("/readyz") and not self._ready:
            return Response(500, b"[-]poststarthook failed: not ready yet\nreadyz check failed\n",
                            text)  # fmt: skip
        return Response(200, b"ok", text)

    def _roles(self, plural: str) -> Collection:
        resource = self.registry.find("rbac.authorization.k8s.io", "v1", plural)
        assert resource is not None
        return self.caches.of(resource)


def version() -> dict[str, Any]:
    """What /version says."""
    import platform

    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"{KUBERNETES_VERSION}+pykubelet.{VERSION}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation(),
        "platform": f"linux/{'amd64' if platform.machine() == 'x86_64' else platform.machine()}",
    }
