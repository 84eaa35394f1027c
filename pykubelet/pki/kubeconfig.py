"""kubeconfig files: how a client finds and convinces an API server.

One context of one file, which is all that a component needs. Data may stand in the file (base64) or
in files that it names, relative to itself. Users that need an external program or plugin to
authenticate are refused with a sentence.

Source: the kubeconfig (v1) reference, client-go/tools/clientcmd/api/v1.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.objects import documents
from pykubelet.pki import keys

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One context, resolved: texts are PEM; empty means absent.

    `token_file` is named, not read: tokens in files change, and are to be read when used.
    """

    server: str
    authority: str = ""
    certificate: str = ""
    key: str = ""
    token: str = ""
    token_file: str = ""
    namespace: str = "default"
    tls_server_name: str = ""
    insecure: bool = False
    cluster: str = "kubernetes"
    user: str = "default"

    @property
    def context(self) -> str:
        return f"{self.user}@{self.cluster}"


def read(path: Path, context: str = "") -> Kubeconfig:
    """A file's current context, or the one of this name. Raises Invalid saying what is wrong."""
    try:
        found = documents.read(path.read_bytes(), str(path))
    except OSError as error:
        raise Invalid("can't be read", where=str(path), found=error.strerror or "") from error
    tree: Json = found[0].object if found else {}
    if tree.get("kind", "Config") != "Config":
        raise _wrong(path, "kind", "Config", tree.get("kind"))
    name = context or tree.get("current-context") or ""
    entry = _named(path, tree, "contexts", "context", name)
    cluster = _named(path, tree, "clusters", "cluster", entry.get("cluster", ""))
    user = _named(path, tree, "users", "user", entry.get("user", "")) if entry.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise Invalid(
            "the user authenticates by an external program, which is not supported",
            where=f"{path}: users[{entry['user']}]",
            expected="a client certificate or a token",
        )
    if not cluster.get("server"):
        raise _wrong(path, f"clusters[{entry.get('cluster')}].cluster.server", "a URL", None)
    token_file = user.get("tokenFile", "")
    return Kubeconfig(
        server=cluster["server"].rstrip("/"),
        authority=_content(path, cluster, "certificate-authority"),
        certificate=_content(path, user, "client-certificate"),
        key=_content(path, user, "client-key"),
        token=user.get("token", ""),
        token_file=str(path.parent / token_file) if token_file else "",
        namespace=entry.get("namespace") or "default",
        tls_server_name=cluster.get("tls-server-name", ""),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        cluster=entry.get("cluster", ""),
        user=entry.get("user", ""),
    )


def write(path: Path, config: Kubeconfig) -> None:
    """The file, readable by its owner alone, everything inside it. Raises Failed."""
    import yaml

    cluster = {
        "server": config.server,
        "certificate-authority-data": _encoded(config.authority),
        "tls-server-name": config.tls_server_name,
        "insecure-skip-tls-verify": config.insecure,
    }
    user = {
        "client-certificate-data": _encoded(config.certificate),
        "client-key-data": _encoded(config.key),
        "token": config.token,
        "tokenFile": config.token_file,
    }
    entry = {
        "cluster": config.cluster,
        "user": config.user,
        "namespace": "" if config.namespace == "default" else config.namespace,
    }
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": config.cluster, "cluster": _given(cluster)}],
        "users": [{"name": config.user, "user": _given(user)}],
        "contexts": [{"name": config.context, "context": _given(entry)}],
        "current-context": config.context,
    }
    keys.write_file(path, yaml.safe_dump(tree, sort_keys=False).encode(), 0o600)


def _given(tree: Json) -> Json:
    return {key: value for key, value in tree.items() if value}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _named(path: Path, tree: Json, list_name: str, key: str, name: str) -> Json:
    entries = tree.get(list_name) or []
    if not isinstance(entries, list):
        raise _wrong(path, list_name, "a list", entries)
    for entry in entries:
        if isinstance(entry, dict) and entry.get("name") == name:
            value = entry.get(key) or {}
            if not isinstance(value, dict):
                raise _wrong(path, f"{list_name}[{name}].{key}", "a mapping", value)
            return value
    known = ", ".join(str(e.get("name")) for e in entries if isinstance(e, dict)) or "none"
    raise _wrong(path, f"{list_name}[{name}]", f"one of {known}", "no such name")


def _content(path: Path, tree: Json, key: str) -> str:
    """`key`-data decoded, or the content of the file that `key` names."""
    data = tree.get(f"{key}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
            raise _wrong(path, f"{key}-data", "base64 of PEM", str(data)[:20] + "…") from None
    file = tree.get(key)
    if not file:
        return ""
    try:
        return (path.parent / file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, key, "a readable file", str(error)) from None


def _wrong(path: Path, where: str, expected: str, found: object) -> Invalid:
    return Invalid(
        "not a usable kubeconfig",
        where=f"{path}: {where}",
        expected=expected,
        found="nothing" if found is None else str(found),
    )
