"""ServiceAccount: every namespace has one named `default`, as long as it lives.

Source: "Managing Service Accounts", the service account controller.
"""

from __future__ import annotations

from typing import Any

from pykubelet.client.errors import AlreadyExists
from pykubelet.client.resources import NAMESPACES, SERVICE_ACCOUNTS
from pykubelet.controllers.base import Context, Controller

Json = dict[str, Any]

DEFAULT = "default"


def is_missing(namespace: Json, accounts: list[Json]) -> bool:
    """Whether a namespace needs its account made. Pure."""
    if (namespace.get("status") or {}).get("phase") == "Terminating":
        return False
    return all(account["metadata"]["name"] != DEFAULT for account in accounts)


class ServiceAccountController(Controller):
    name = "serviceaccount-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._namespaces = self.watch(NAMESPACES)
        self._accounts = self.watch(SERVICE_ACCOUNTS, lambda o: (o["metadata"]["namespace"],))

    def turn(self, key: str) -> float | None:
        namespace = self._namespaces.get(key)
        if namespace is not None and is_missing(namespace, self._accounts.by("namespace", key)):
            try:
                self.api.create(SERVICE_ACCOUNTS, {"metadata": {"name": DEFAULT, "namespace": key}})
            except AlreadyExists:
                pass  # what was wanted
        return None
