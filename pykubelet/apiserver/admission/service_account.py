"""ServiceAccount: every pod has an account that exists, and finds its token, the cluster's CA and
its namespace where clients look for them.

Source: "Managing Service Accounts", the ServiceAccount admission controller and the bound token
volume (KEP-1205).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin

Json = dict[str, Any]

_MOUNTED_AT = "/var/run/secrets/kubernetes.io/serviceaccount"
_PREFIX = "kube-api-access-"
_MIRROR = "kubernetes.io/config.mirror"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_TOKEN_SECONDS = 3607  # an hour, marked so that the token's expiry can be told from a chosen one
_MODE = 0o644
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_TRIES, _PAUSE = 10, 0.15  # a new namespace gets its default account a moment later


async def _mutate(asked: Asked) -> None:
    if not asked.is_of("pods", CREATE):
        return
    pod = asked.new
    if _MIRROR in (pod["metadata"].get("annotations") or {}):
        return
    spec = pod.setdefault("spec", {})
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"] = "default"
    account = await _account(asked, spec["serviceAccountName"])
    if _wants_token(account, spec):
        mount_token(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(one) for one in account["imagePullSecrets"]]


async def _check(asked: Asked) -> None:
    if asked.resource != "pods" or asked.operation not in (CREATE, UPDATE):
        return
    if asked.operation == UPDATE and asked.subresource != "ephemeralcontainers":
        return
    pod = asked.new
    spec = pod.get("spec") or {}
    if _MIRROR in (pod["metadata"].get("annotations") or {}):
        _check_mirror(asked, spec)
        return
    account = await _account(asked, spec.get("serviceAccountName") or "default")
    if (account["metadata"].get("annotations") or {}).get(_ENFORCE) in ("true", "True", "t", "1"):
        why = next(_not_mountable(account, spec), "")
        if why:
            raise asked.forbidden(
                f"{why} is not allowed because service account {account['metadata']['name']} does "
                "not reference that secret"
            )


async def _account(asked: Asked, name: str) -> Json:
    for _ in range(_TRIES if name == "default" else 1):
        account = asked.object("serviceaccounts", name, asked.namespace)
        if account is not None:
            return account
        if name == "default":
            await asyncio.sleep(_PAUSE)
    await asked.call.parts.caches.catch_up()
    account = asked.object("serviceaccounts", name, asked.namespace)
    if account is not None:
        return account
    raise asked.forbidden(
        f"error looking up service account {asked.namespace}/{name}: "
        f'serviceaccount "{name}" not found'
    )


def _wants_token(account: Json, spec: Json) -> bool:
    own = spec.get("automountServiceAccountToken")
    if own is None:
        own = account.get("automountServiceAccountToken")
    return own is not False


def mount_token(spec: Json) -> None:
    """Give every container of a pod spec, in place, the volume with token, CA and namespace, but
    for those that have something mounted there already."""
    volumes = spec.get("volumes") or []
    known = next((v["name"] for v in volumes if v["name"].startswith(_PREFIX)), "")
    name = known or _PREFIX + "".join(random.choices(_ALPHABET, k=5))
    needed = False
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            mounts = container.get("volumeMounts") or []
            if any(mount.get("mountPath") == _MOUNTED_AT for mount in mounts):
                continue
            mount = {"name": name, "readOnly": True, "mountPath": _MOUNTED_AT}
            container["volumeMounts"] = [*mounts, mount]
            needed = True
    if needed and not known:
        spec["volumes"] = [*volumes, {"name": name, "projected": _projected()}]


def _projected() -> Json:
    ca = {"key": "ca.crt", "path": "ca.crt"}
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [ca]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
        ],
        "defaultMode": _MODE,
    }


def _check_mirror(asked: Asked, spec: Json) -> None:
    if spec.get("serviceAccountName"):
        raise asked.forbidden("a mirror pod may not reference service accounts")
    if next(_secrets_of(spec), None):
        raise asked.forbidden("a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in source:
                raise asked.forbidden(
                    "a mirror pod may not use ServiceAccountToken volume projections"
                )


def _secrets_of(spec: Json) -> Iterator[tuple[str, str]]:
    """The secrets that a pod reads, each with the words for where."""
    for volume in spec.get("volumes") or ():
        name = (volume.get("secret") or {}).get("secretName")
        if name:
            yield name, f'volume with secret.secretName="{name}"'
    for kind, word in (("initContainers", "init container"), ("containers", "container"),
                       ("ephemeralContainers", "ephemeral container")):  # fmt: skip
        for one in spec.get(kind) or ():
            for variable in one.get("env") or ():
                source = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
                if source.get("name"):
                    yield (
                        source["name"],
                        (
                            f"{word} {one['name']} with envVar {variable['name']} referencing "
                            f'secret.secretName="{source["name"]}"'
                        ),
                    )
            for source in one.get("envFrom") or ():
                name = (source.get("secretRef") or {}).get("name")
                if name:
                    yield (
                        name,
                        f'{word} {one["name"]} with envFrom referencing secret.secretName="{name}"',
                    )


def _not_mountable(account: Json, spec: Json) -> Iterator[str]:
    mountable = {one.get("name") for one in account.get("secrets") or ()}
    for name, where in _secrets_of(spec):
        if name not in mountable:
            yield where
    pulling = {one.get("name") for one in account.get("imagePullSecrets") or ()}
    for index, one in enumerate(spec.get("imagePullSecrets") or ()):
        if one.get("name") not in pulling:
            yield f'imagePullSecrets[{index}].name="{one.get("name")}"'


PLUGIN = Plugin("ServiceAccount", _mutate, _check)
