"""What volumes and environment ask of the world outside the pod: one small interface.

Standalone, the agent answers from documents beside the manifests; in a cluster, from the API
server's caches. Neither the volume types nor `..pods.environment` know which. Objects come as JSON
trees and are read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Json = dict[str, Any]


class Sources(Protocol):
    """Every method may raise Failed where the answer can't be had now; that is not "not found"."""

    def config_map(self, namespace: str, name: str) -> Json | None:
        """The ConfigMap, or None where there is none of that name."""

    def secret(self, namespace: str, name: str) -> Json | None:
        """The Secret, or None; `data` in base64, `stringData` as text where a file says so."""

    def service_account_token(self, pod: Json, audience: str, expiration_seconds: int) -> str:
        """A token bound to this pod, renewed before it expires. `audience` "" is the API server's.

        Raises Failed where nobody can issue one (standalone).
        """

    def cluster_trust_bundle(
        self, *, name: str = "", signer_name: str = "", selector: Mapping[str, Any] | None = None
    ) -> str | None:
        """PEM of the bundle of that name, or of all that the signer and selector match; None if
        there is none."""

    def node(self) -> Json:
        """This node as the API shows it; `status.allocatable` and `metadata.labels` are read."""

    def persistent_volume_claim(self, namespace: str, name: str) -> Json | None:
        """The claim, or None."""

    def persistent_volume(self, name: str) -> Json | None:
        """The volume, or None."""


def secret_data(secret: Mapping[str, Any]) -> dict[str, bytes]:
    """A Secret's content by key. `stringData` wins over `data`, as the API server merges them.

    Raises ValueError, naming the key, for what is not base64.
    """
    content = {key: _decoded(key, value) for key, value in (secret.get("data") or {}).items()}
    texts = secret.get("stringData") or {}
    return content | {key: str(text).encode() for key, text in texts.items()}


def config_map_data(config_map: Mapping[str, Any]) -> dict[str, bytes]:
    """A ConfigMap's content by key: `data` as UTF-8, `binaryData` decoded.

    Raises ValueError, naming the key, for what is not base64.
    """
    binary = config_map.get("binaryData") or {}
    content = {key: _decoded(key, value) for key, value in binary.items()}
    texts = config_map.get("data") or {}
    return content | {key: str(text).encode() for key, text in texts.items()}


def _decoded(key: str, value: object) -> bytes:
    # Imported here: most pods have neither a Secret nor binary data.
    import base64
    import binascii

    try:
        return base64.b64decode("".join(str(value or "").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the value of key {key} is not base64: {error}") from None
