"""What stands behind a listener: first who asks and whether they may, then the handler.

`api` puts the same handlers behind several fronts; `server` calls them. Here a failure becomes a
status, so that handlers need not think of it, and a bug becomes a plain 500 with its story in the
log.
"""

from __future__ import annotations

import logging

from pykubelet.errors import Failed, Invalid, NotFound, PykubeletError, TimedOut, Unavailable
from pykubelet.kubelet.serve.auth import (
    Authenticator,
    Authorizer,
    Identity,
    attributes_of,
    bearer_token,
)
from pykubelet.kubelet.serve.connection import ClientGone, Connection
from pykubelet.kubelet.serve.exchange import Exchange
from pykubelet.kubelet.serve.http1 import Request
from pykubelet.kubelet.serve.routes import Routes

log = logging.getLogger(__name__)


class Open:
    """A front that knows its callers already: by where the socket is, or because all are equal."""

    def __init__(self, routes: Routes, identity: Identity | None) -> None:
        self._routes = routes
        self._identity = identity

    def serve(self, connection: Connection, request: Request) -> Exchange:
        return _answer(self._routes, connection, request, self._identity)


class Secure:
    """The front of 10250: 401 for nobody, 403 for somebody who may not."""

    def __init__(
        self, routes: Routes, authenticator: Authenticator, authorizer: Authorizer
    ) -> None:
        self._routes = routes
        self._authenticator = authenticator
        self._authorizer = authorizer

    def serve(self, connection: Connection, request: Request) -> Exchange:
        exchange = Exchange(connection, request, {}, None)
        try:
            identity = self._authenticator.authenticate(
                connection.certificate, bearer_token(request)
            )
            if identity is None:
                exchange.known = False
                exchange.text(401, "Unauthorized")
                return exchange
            asked = attributes_of(request, identity)
            if not self._authorizer.authorize(asked):
                exchange.text(
                    403,
                    f"Forbidden (user={identity.name}, verb={asked.verb}, resource=nodes, "
                    f"subresource(s)=[{' '.join(asked.subresources)}])\n",
                )
                return exchange
        except PykubeletError as error:
            log.warning("authentication or authorization can't be decided: %s", error)
            exchange.error(500, "Internal error: who may do this can't be decided right now")
            return exchange
        return _answer(self._routes, connection, request, identity)


def _answer(
    routes: Routes, connection: Connection, request: Request, identity: Identity | None
) -> Exchange:
    match = routes.match(request.method, request.segments)
    exchange = Exchange(connection, request, match.params if match else {}, identity)
    try:
        if match is None:
            exchange.known = False
            exchange.error(404, "404 page not found")
        elif match.handler is None:
            allowed = ", ".join(sorted(set(match.methods)))
            exchange.error(
                405, f"{request.method} is not answered here: {allowed} is", Allow=allowed
            )
        else:
            match.handler(exchange)
    except PykubeletError as error:
        if exchange.answered:
            exchange.keep_alive = False
        else:
            exchange.error(status_of(error), str(error))
    except ClientGone:
        raise
    except Exception:
        log.exception("%s %s failed in an unforeseen way", request.method, request.path)
        exchange.keep_alive = False
        if not exchange.answered:
            exchange.error(500, "Internal error: see the agent's log")
    return exchange


def status_of(error: PykubeletError) -> int:
    """The HTTP status of a failure in the agent's own words."""
    table: tuple[tuple[type[PykubeletError], int], ...] = (
        (Invalid, 400),
        (NotFound, 404),
        (TimedOut, 504),
        (Unavailable, 503),
        (Failed, 500),
    )
    return next((status for kind, status in table if isinstance(error, kind)), 500)
