"""Paths to handlers: a table, and the matching of it.

A pattern is a path whose parts are literal, `{name}` for exactly one part, or `{name*}` for all the
rest. The first match wins. A path that matches with another method is answered 405, not 404.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pykubelet.kubelet.serve.exchange import Exchange

Handler = Callable[[Exchange], None]


@dataclass(frozen=True, slots=True)
class Route:
    methods: tuple[str, ...]
    parts: tuple[str, ...]
    handler: Handler


@dataclass(frozen=True, slots=True)
class Match:
    """`handler` is None where only the method is wrong; `methods` then says which would do."""

    handler: Handler | None
    params: dict[str, str]
    methods: tuple[str, ...] = ()


class Routes:
    def __init__(self, table: Iterable[tuple[str, str, Handler]]) -> None:
        """`table`: (methods divided by spaces, pattern, handler)."""
        self._routes = [
            Route(
                tuple(methods.split()),
                tuple(part for part in pattern.split("/") if part),
                handler,
            )
            for methods, pattern, handler in table
        ]

    def match(self, method: str, segments: Sequence[str]) -> Match | None:
        """The route for a path's parts; None where no pattern fits."""
        wrong: tuple[str, ...] = ()
        for route in self._routes:
            params = _fit(route.parts, segments)
            if params is None:
                continue
            if method in route.methods or (method == "HEAD" and "GET" in route.methods):
                return Match(route.handler, params)
            wrong += route.methods
        return Match(None, {}, wrong) if wrong else None


def _fit(parts: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for index, part in enumerate(parts):
        if part.endswith("*}"):
            params[part[1:-2]] = "/".join(segments[index:])
            return params
        if index >= len(segments):
            return None
        if part.startswith("{"):
            params[part[1:-1]] = segments[index]
        elif part != segments[index]:
            return None
    return params if len(parts) == len(segments) else None
