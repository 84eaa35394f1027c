"""OpenAPI documents from the schema tables."""

from __future__ import annotations

from pykubelet.apiserver.front.messages import Request, Response
from pykubelet.apiserver.resources.registry import Registry


class Documents:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def answer(self, request: Request) -> Response | None:
        return None
