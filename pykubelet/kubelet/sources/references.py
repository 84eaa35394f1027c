"""ConfigMaps, Secrets and tokens for the pods of this node: watched while a pod needs them.

An object is looked up when a pod's volume or variable first asks for it, and watched one by one
from then on, which is all that a node is allowed to do; when no pod of the node refers to it any
more the watch ends. Tokens are asked for pod by pod and renewed at four fifths of their life.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.errors import NotFound
from pykubelet.client.informer import Informer
from pykubelet.client.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from pykubelet.clock import from_rfc3339
from pykubelet.errors import Failed
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.sources.local import LocalSources

log = logging.getLogger(__name__)

Json = dict[str, Any]
Key = tuple[str, str, str]  # plural, namespace, name

#: How long a volume's object may take to arrive before the volume is tried again later.
_FIRST_LIST_SECONDS = 5.0


class ClusterSources:
    """Implements `volumes.sources.Sources` from the API server. What static pods find beside their
    manifests (`local`) comes first. `on_change(key)` is told of each object that has changed: its
    plural, namespace and name, as `references` gives them."""

    def __init__(self, api: Api, local: LocalSources, on_change: Callable[[Key], None]) -> None:
        self._api = api
        self._local = local
        self._on_change = on_change
        self._lock = threading.Lock()
        self._watched: dict[Key, Informer] = {}
        self._tokens: dict[tuple[str, str], tuple[str, float]] = {}
        self._services = Informer(api, SERVICES)

    def start(self) -> None:
        self._services.start()

    def stop(self) -> None:
        self._services.stop()
        with self._lock:
            watched, self._watched = list(self._watched.values()), {}
        for informer in watched:
            informer.stop()

    def keep_only(self, pods: Iterable[Json]) -> None:
        """These are the pods of the node: stop watching what none of them refers to."""
        uids = {spec.uid(pod) for pod in pods}
        needed = {key for pod in pods for key in references(pod)}
        with self._lock:
            unused = [key for key in self._watched if key not in needed]
            ended = [self._watched.pop(key) for key in unused]
            self._tokens = {k: v for k, v in self._tokens.items() if k[0] in uids}
        for informer in ended:
            informer.stop()

    # -- what volumes and variables ask for -----------------------------------------------------

    def config_map(self, namespace: str, name: str) -> Json | None:
        found = self._local.config_map(namespace, name)
        return found or self._watch(CONFIG_MAPS, namespace, name)

    def secret(self, namespace: str, name: str) -> Json | None:
        return self._local.secret(namespace, name) or self._watch(SECRETS, namespace, name)

    def service_account_token(self, pod: Json, audience: str, expiration_seconds: int) -> str:
        key = (spec.uid(pod), audience)
        with self._lock:
            token, renew_at = self._tokens.get(key, ("", 0.0))
        if token and time.time() < renew_at:
            return token
        request: Json = {
            "metadata": {"namespace": spec.namespace(pod)},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": expiration_seconds,
                "boundObjectRef": {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": spec.name(pod),
                    "uid": spec.uid(pod),
                },
            },
        }
        account = pod["spec"].get("serviceAccountName") or "default"
        path = SERVICE_ACCOUNTS.path(spec.namespace(pod), account, "token")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", **request}
        status = self._api.transport.request("POST", path, body=body)["status"]
        ends = from_rfc3339(status["expirationTimestamp"])
        now = time.time()
        with self._lock:
            self._tokens[key] = (status["token"], now + 0.8 * (ends - now))
        return str(status["token"])

    def cluster_trust_bundle(
        self, *, name: str = "", signer_name: str = "", selector: Mapping[str, Any] | None = None
    ) -> str | None:
        raise Failed("cluster trust bundles are not served by this cluster")

    def node(self) -> Json:
        return self._local.node()

    def persistent_volume_claim(self, namespace: str, name: str) -> Json | None:
        return self._get(PERSISTENT_VOLUME_CLAIMS, namespace, name)

    def persistent_volume(self, name: str) -> Json | None:
        return self._get(PERSISTENT_VOLUMES, "", name)

    def services(self) -> list[Json]:
        return self._services.store.all()

    # -- watching -------------------------------------------------------------------------------

    def _get(self, resource: Resource, namespace: str, name: str) -> Json | None:
        try:
            return self._api.get(resource, name, namespace)
        except NotFound:
            return None

    def _watch(self, resource: Resource, namespace: str, name: str) -> Json | None:
        key = (resource.plural, namespace, name)
        with self._lock:
            informer = self._watched.get(key)
            if informer is None:
                informer = Informer(
                    self._api,
                    resource,
                    namespace=namespace,
                    field_selector=f"metadata.name={name}",
                )
                informer.add_handler(lambda old, new: self._on_change(key))
                self._watched[key] = informer
                informer.start()
        if not informer.synced.wait(_FIRST_LIST_SECONDS):
            raise Failed(f"{resource.kind} {namespace}/{name} can't be read from the API server")
        return informer.store.get(f"{namespace}/{name}")


def references(pod: Json) -> set[Key]:
    """The ConfigMaps and Secrets that a pod's spec names."""
    found: set[Key] = set()
    namespace = spec.namespace(pod)

    def add(plural: str, name: str | None) -> None:
        if name:
            found.add((plural, namespace, name))

    for secret in pod["spec"].get("imagePullSecrets") or ():
        add("secrets", secret.get("name"))
    for volume in pod["spec"].get("volumes") or ():
        projections = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for source in projections:
            add("configmaps", (source.get("configMap") or {}).get("name"))
            secret = source.get("secret") or {}
            add("secrets", secret.get("secretName") or secret.get("name"))
    for _, container in spec.containers(pod):
        for origin in container.get("envFrom") or ():
            add("configmaps", (origin.get("configMapRef") or {}).get("name"))
            add("secrets", (origin.get("secretRef") or {}).get("name"))
        for variable in container.get("env") or ():
            value = variable.get("valueFrom") or {}
            add("configmaps", (value.get("configMapKeyRef") or {}).get("name"))
            add("secrets", (value.get("secretKeyRef") or {}).get("name"))
    return found
