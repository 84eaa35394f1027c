"""A small world for volumes: Sources that answer from dicts, and pods to try them with."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from pykubelet.errors import Failed

Json = dict[str, Any]


class World:
    """`Sources` from plain values; change them and look again."""

    def __init__(self) -> None:
        self.config_maps: dict[str, Json] = {}
        self.secrets: dict[str, Json] = {}
        self.claims: dict[str, Json] = {}
        self.persistent: dict[str, Json] = {}
        self.bundles: dict[str, str] = {}
        self.token: str | None = "a-token"
        self.tokens_asked: list[tuple[str, int]] = []
        self.allocatable = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "100Gi"}
        self.labels = {"kubernetes.io/hostname": "node-1", "cores": "4"}

    def config_map(self, namespace: str, name: str) -> Json | None:
        return self.config_maps.get(f"{namespace}/{name}")

    def secret(self, namespace: str, name: str) -> Json | None:
        return self.secrets.get(f"{namespace}/{name}")

    def service_account_token(self, pod: Json, audience: str, expiration_seconds: int) -> str:
        if self.token is None:
            raise Failed("there is no API server to issue one")
        self.tokens_asked.append((audience, expiration_seconds))
        return self.token

    def cluster_trust_bundle(
        self, *, name: str = "", signer_name: str = "", selector: Mapping[str, Any] | None = None
    ) -> str | None:
        return self.bundles.get(name or signer_name)

    def node(self) -> Json:
        return {
            "metadata": {"name": "node-1", "labels": self.labels},
            "status": {"allocatable": self.allocatable},
        }

    def persistent_volume_claim(self, namespace: str, name: str) -> Json | None:
        return self.claims.get(f"{namespace}/{name}")

    def persistent_volume(self, name: str) -> Json | None:
        return self.persistent.get(name)

    # -- filling it -----------------------------------------------------------------------------

    def put_config_map(self, name: str, **data: str) -> None:
        self.config_maps[f"shop/{name}"] = {"data": data}

    def put_secret(self, name: str, **data: bytes) -> None:
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        self.secrets[f"shop/{name}"] = {"data": encoded}

    def put_claim(self, name: str, **source: Json) -> None:
        """A claim bound to a PersistentVolume of that source and, maybe, other spec fields."""
        self.claims[f"shop/{name}"] = {
            "metadata": {"name": name, "uid": f"claim-{name}"},
            "spec": {"volumeName": f"pv-{name}"},
            "status": {"phase": "Bound"},
        }
        self.persistent[f"pv-{name}"] = {
            "metadata": {"name": f"pv-{name}"},
            "spec": {"claimRef": {"uid": f"claim-{name}"}, "accessModes": ["x"], **source},
        }


def pod(*volumes: Json, containers: list[Json] | None = None, **spec: Any) -> Json:
    """A pod; its first container mounts every volume unless it says what it mounts."""
    first, *others = containers or [container()]
    uses = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    return {
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "uid-1",
            "labels": {"app": "web", "tier": "front"},
            "annotations": {"note": 'say "hi"\nthere'},
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [{"volumeMounts": uses, **first}, *others],
            "volumes": list(volumes),
            **spec,
        },
    }


def container(name: str = "main", **fields: Any) -> Json:
    return {"name": name, "image": "busybox", **fields}
