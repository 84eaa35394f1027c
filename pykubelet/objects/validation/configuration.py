"""ConfigMaps, Secrets and ServiceAccounts: what is told to pods. Source: the API reference."""

from __future__ import annotations

import base64
import binascii
import json

from pykubelet.objects import fields, names
from pykubelet.objects.validation.meta import immutable
from pykubelet.objects.validation.rules import Errors, Json, named

_LARGEST = 1024 * 1024
_IMMUTABLE = "field is immutable when `immutable` is set"
_TOKEN, _ACCOUNT = "kubernetes.io/service-account-token", "kubernetes.io/service-account.name"
_SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_DOCKER_KEYS = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}


def config_map(obj: Json) -> Errors:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key, value in data.items():
        yield from named(key, ("data", f"[{key}]"), names.config_key)
        if key in binary:
            yield fields.invalid(
                ("data", f"[{key}]"), key, "duplicate of key present in binaryData"
            )
        size += len(value.encode())
    for key, value in binary.items():
        yield from named(key, ("binaryData", f"[{key}]"), names.config_key)
        size += len(value) * 3 // 4
    if size > _LARGEST:
        yield fields.too_long((), _LARGEST)


def unchanged_if_immutable(new: Json, old: Json) -> Errors:
    """A ConfigMap or Secret that says it is immutable."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield fields.forbidden(("immutable",), _IMMUTABLE)
    for key in ("data", "binaryData"):
        if (new.get(key) or {}) != (old.get(key) or {}):
            yield fields.forbidden((key,), _IMMUTABLE)


def secret(obj: Json) -> Errors:
    data, kind = obj.get("data") or {}, obj.get("type") or ""
    size = 0
    for key, value in data.items():
        yield from named(key, ("data", f"[{key}]"), names.config_key)
        size += len(value) * 3 // 4
    if size > _LARGEST:
        yield fields.too_long(("data",), _LARGEST)
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data:
            yield fields.required(("data", f"[{key}]"))
    if kind in _DOCKER_KEYS:
        yield from _docker(data, _DOCKER_KEYS[kind])
    if kind == _TOKEN and not (obj["metadata"].get("annotations") or {}).get(_ACCOUNT):
        yield fields.required(("metadata", "annotations", f"[{_ACCOUNT}]"))
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        yield fields.required(("data", "[username]"))
        yield fields.required(("data", "[password]"))


def secret_update(new: Json, old: Json) -> Errors:
    yield from immutable(new.get("type"), old.get("type"), ("type",))
    yield from unchanged_if_immutable(new, old)


def _docker(data: Json, key: str) -> Errors:
    at = ("data", f"[{key}]")
    if key not in data:
        yield fields.required(at)
        return
    try:
        json.loads(base64.b64decode(data[key]))
    except (ValueError, binascii.Error) as error:
        yield fields.invalid(at, "<secret contents redacted>", str(error))
