"""Which of a pod's pull secrets fit an image. Pure.

A secret is a docker configuration file: registry → user and password. Its keys may carry a scheme,
a path (`registry/team` holds for what is below) and wildcards (`*.example.com`, one part each). All
that fit are tried, the longest key first, so that passwords can be rotated by adding the new one.
Source: "Pull an image from a private registry" and "Images" of the Kubernetes documentation.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.kubelet.runtime.references import Reference

Json = dict[str, Any]
Auth = dict[str, str]

_FILES = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}
_HUB_KEY = "index.docker.io"


@dataclass(frozen=True, slots=True)
class _Entry:
    host: str
    path: str
    auth: Auth

    def fits(self, image: Reference) -> bool:
        host, _, path = image.name.partition("/")
        return _host_fits(self.host, host) and f"/{path}".startswith(self.path)


def lookup(image: Reference, secrets: Iterable[Json], node: Iterable[Json] = ()) -> list[Auth]:
    """CRI AuthConfigs to try in order; none fitting means to pull without.

    The pod's own `secrets` come before those of the `node` (see `node_credentials`). Secrets of
    other types are passed over. Raises `Invalid` for one that can't be read, since going on without
    it would fail with a misleading message.
    """
    fitting = [*_fitting(image, secrets), *_fitting(image, node)]
    return [auth for place, auth in enumerate(fitting) if auth not in fitting[:place]]


def _fitting(image: Reference, secrets: Iterable[Json]) -> list[Auth]:
    entries = [entry for secret in secrets for entry in _entries(secret)]
    entries.sort(key=lambda entry: entry.host + entry.path, reverse=True)
    fitting = [entry.auth for entry in entries if entry.fits(image)]
    if not fitting and image.registry == "docker.io":
        fitting = [entry.auth for entry in entries if (entry.host, entry.path) == (_HUB_KEY, "")]
    return fitting


def _entries(secret: Json) -> Iterator[_Entry]:
    file = _FILES.get(secret.get("type", ""))
    text = (secret.get("data") or {}).get(file) if file else None
    if text is None:
        return
    where = f'pull secret "{secret.get("metadata", {}).get("name", "")}": data[{file}]'
    try:
        config = json.loads(base64.b64decode(text))
        registries = config.get("auths") or {} if file == ".dockerconfigjson" else config
        for key, given in registries.items():
            host, path = _split(key)
            yield _Entry(host, path, _auth(given))
    except (ValueError, AttributeError, TypeError) as error:
        raise Invalid(
            "is no docker configuration file",
            where=where,
            expected="JSON, in base64: registry → username and password, or auth",
            found=str(error),
        ) from error


def _auth(given: Json) -> Auth:
    username, password = given.get("username") or "", given.get("password") or ""
    if given.get("auth"):
        try:
            decoded = base64.b64decode(given["auth"], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError(f"auth is not base64 of user:password ({error})") from error
        username, colon, password = decoded.partition(":")
        if not colon:
            raise ValueError("auth has no colon between user and password")
    made = {"username": username, "password": password}
    for key, name in (("identitytoken", "identity_token"), ("registrytoken", "registry_token")):
        if given.get(key):
            made[name] = given[key]
    return made


def _split(key: str) -> tuple[str, str]:
    """Host and path of a registry's key. `/v1/` and `/v2/` are the API's, not part of a path."""
    bare = key.removeprefix("https://").removeprefix("http://")
    host, slash, path = bare.partition("/")
    path = slash + path
    if path.startswith(("/v1/", "/v2/")):
        path = path[3:]
    return host, "" if path == "/" else path


def _host_fits(pattern: str, host: str) -> bool:
    """Part by part, the port literally: `*.example.com` is not `a.b.example.com`."""
    wanted, _, wanted_port = pattern.partition(":")
    found, _, found_port = host.partition(":")
    parts, found_parts = wanted.split("."), found.split(".")
    return (
        wanted_port == found_port
        and len(parts) == len(found_parts)
        and all(fnmatchcase(each, part) for part, each in zip(parts, found_parts, strict=True))
    )
