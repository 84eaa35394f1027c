"""What static pods may refer to when the agent stands alone: objects in files beside theirs.

ConfigMaps and Secrets are documents of the manifest folder, so a pod and what it needs can lie in
one file. Everything that only a cluster has (tokens, claims) is refused with a sentence that says
so. `volumes` and `pods.environment` ask; `folder` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from pykubelet.errors import Failed
from pykubelet.kubelet.sources.manifests import Manifest
from pykubelet.kubelet.volumes.sources import Sources as VolumeSources

Json = dict[str, Any]


class Sources(VolumeSources, Protocol):
    """All that pods are given from: what volumes need, and the services for their variables."""

    def services(self) -> list[Json]:
        """Services whose addresses go into every container's environment."""


class LocalSources:
    """Implements `volumes.sources.Sources`. `manifests` gives the folder's files as they are now;
    `node` gives the v1.Node."""

    def __init__(
        self, manifests: Callable[[], Mapping[str, Manifest]], node: Callable[[], Json]
    ) -> None:
        self._manifests = manifests
        self._node = node

    def config_map(self, namespace: str, name: str) -> Json | None:
        return _named(namespace, name, (m.config_maps for m in self._files()))

    def secret(self, namespace: str, name: str) -> Json | None:
        return _named(namespace, name, (m.secrets for m in self._files()))

    def service_account_token(self, pod: Json, audience: str, expiration_seconds: int) -> str:
        raise Failed("service account tokens need an API server, and this node stands alone")

    def cluster_trust_bundle(
        self, *, name: str = "", signer_name: str = "", selector: Mapping[str, Any] | None = None
    ) -> str | None:
        raise Failed("cluster trust bundles need an API server, and this node stands alone")

    def node(self) -> Json:
        return self._node()

    def persistent_volume_claim(self, namespace: str, name: str) -> Json | None:
        raise Failed("persistent volume claims need an API server, and this node stands alone")

    def persistent_volume(self, name: str) -> Json | None:
        raise Failed("persistent volumes need an API server, and this node stands alone")

    def services(self) -> list[Json]:
        """Services whose addresses go into every container's environment."""
        return []

    def _files(self) -> list[Manifest]:
        return list(self._manifests().values())


def _named(namespace: str, name: str, lists: Iterable[tuple[Json, ...]]) -> Json | None:
    for objects in lists:
        for found in objects:
            metadata = found["metadata"]
            if metadata["name"] == name and metadata.get("namespace", "default") == namespace:
                return found
    return None
