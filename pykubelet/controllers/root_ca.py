"""Root CA publisher: every namespace has the cluster's authority in `kube-root-ca.crt`.

Pods mount it beside their token, so that they know whom they talk to. Source: KEP-1205.
"""

from __future__ import annotations

from typing import Any

from pykubelet.client.errors import AlreadyExists
from pykubelet.client.resources import CONFIG_MAPS, NAMESPACES
from pykubelet.controllers.base import Context, Controller

Json = dict[str, Any]

NAME = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


def wanted(namespace: str, authority: str) -> Json:
    return {
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "annotations": {"kubernetes.io/description": _DESCRIPTION},
        },
        "data": {"ca.crt": authority},
    }


class RootCaPublisher(Controller):
    """`options["root_ca"]` is the authority's certificate in PEM."""

    name = "root-ca-certificate-publisher-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._authority = str(context.options.get("root_ca") or "")
        self._namespaces = self.watch(NAMESPACES)
        self._maps = self.watch(
            CONFIG_MAPS,
            lambda o: (o["metadata"]["namespace"],) if o["metadata"]["name"] == NAME else (),
        )

    def turn(self, key: str) -> float | None:
        namespace = self._namespaces.get(key)
        if namespace is None or not self._authority:
            return None
        if (namespace.get("status") or {}).get("phase") == "Terminating":
            return None
        found = self._maps.get(f"{key}/{NAME}")
        made = wanted(key, self._authority)
        if found is None:
            try:
                self.api.create(CONFIG_MAPS, made)
            except AlreadyExists:
                pass  # the informer will tell
        elif found.get("data") != made["data"]:
            self.api.update(CONFIG_MAPS, {**found, "data": made["data"]})
        return None
