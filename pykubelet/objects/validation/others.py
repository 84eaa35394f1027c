"""The kinds whose rules are few: ConfigMaps, Secrets, Services, roles, and the like."""

from __future__ import annotations

import base64

from pykubelet.objects import fields, names
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import immutable, labels
from pykubelet.objects.validation.rules import (
    Errors,
    Json,
    chosen,
    named,
    port_number,
    port_number_or_name,
    present,
    unique,
)

_SPEC: Path = ("spec",)
_LARGEST = 1024 * 1024
_DOCKER = "kubernetes.io/dockerconfigjson"
_SECRET_KEYS = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
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
        yield fields.forbidden(("immutable",), "field is immutable when `immutable` is set")
    for key in ("data", "binaryData"):
        if (new.get(key) or {}) != (old.get(key) or {}):
            yield fields.forbidden((key,), "field is immutable when `immutable` is set")


def secret(obj: Json) -> Errors:
    data = obj.get("data") or {}
    size = 0
    for key, value in data.items():
        yield from named(key, ("data", f"[{key}]"), names.config_key)
        size += len(base64.b64decode(value))
    if size > _LARGEST:
        yield fields.too_long(("data",), _LARGEST)
    for key in _SECRET_KEYS.get(obj.get("type") or "", ()):
        if key not in data:
            yield fields.required(("data", f"[{key}]"))
    if obj.get("type") == "kubernetes.io/service-account-token":
        annotations = obj["metadata"].get("annotations") or {}
        if not annotations.get("kubernetes.io/service-account.name"):
            yield fields.required(
                ("metadata", "annotations", "[kubernetes.io/service-account.name]")
            )
    if obj.get("type") == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        yield fields.required(("data", "[username]"))
        yield fields.required(("data", "[password]"))


def secret_update(new: Json, old: Json) -> Errors:
    yield from immutable(new.get("type"), old.get("type"), ("type",))
    yield from unchanged_if_immutable(new, old)


def service(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    kind = spec.get("type")
    yield from chosen(
        spec, "type", ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"), _SPEC, empty=False
    )
    ports = spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and kind != "ExternalName":
        yield fields.required((*_SPEC, "ports"))
    if kind == "ExternalName":
        if not spec.get("externalName"):
            yield fields.required((*_SPEC, "externalName"))
        else:
            yield from named(
                spec["externalName"].removesuffix("."), (*_SPEC, "externalName"),
                names.dns_subdomain,
            )  # fmt: skip
    if kind == "LoadBalancer" and headless:
        yield fields.invalid(
            (*_SPEC, "clusterIPs", 0), "None", "may not be set to 'None' for LoadBalancer services"
        )
    seen: set[tuple[int, str]] = set()
    for index, port in enumerate(ports):
        at = (*_SPEC, "ports", index)
        if len(ports) > 1 and not port.get("name"):
            yield fields.required((*at, "name"))
        elif port.get("name"):
            yield from named(port["name"], (*at, "name"), names.dns_label)
        yield from port_number(port.get("port") or 0, (*at, "port"))
        yield from chosen(port, "protocol", ("SCTP", "TCP", "UDP"), at, empty=False)
        yield from port_number_or_name(port.get("targetPort"), (*at, "targetPort"))
        pair = port.get("port") or 0, port.get("protocol") or ""
        if pair in seen:
            shown = {"protocol": pair[1], "port": pair[0]}
            yield fields.duplicate(at, shown)
        seen.add(pair)
        if kind == "ClusterIP" and port.get("nodePort"):
            yield fields.forbidden((*at, "nodePort"), "may not be used when `type` is 'ClusterIP'")
    yield from unique(ports, "name", (*_SPEC, "ports"))
    yield from labels(spec.get("selector"), (*_SPEC, "selector"))
    yield from chosen(spec, "sessionAffinity", ("ClientIP", "None"), _SPEC, empty=False)
    yield from chosen(spec, "externalTrafficPolicy", ("Cluster", "Local"), _SPEC)
    yield from chosen(spec, "internalTrafficPolicy", ("Cluster", "Local"), _SPEC)


def service_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" in (after.get("type"), before.get("type")):
        return
    was, now = before.get("clusterIP"), after.get("clusterIP")
    if was and was != now:
        yield fields.invalid(
            (*_SPEC, "clusterIPs", 0), [now] if now else None,
            "may not change once set" if now else "primary clusterIP can not be unset",
        )  # fmt: skip


def role(obj: Json) -> Errors:
    namespaced = obj.get("kind") == "Role"
    for index, rule in enumerate(obj.get("rules") or ()):
        at = ("rules", index)
        if not rule.get("verbs"):
            yield fields.required((*at, "verbs"), "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if namespaced:
                yield fields.invalid(
                    (*at, "nonResourceURLs"), rule["nonResourceURLs"],
                    "namespaced rules cannot apply to non-resource URLs",
                )  # fmt: skip
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                yield fields.invalid(
                    (*at, "nonResourceURLs"), rule["nonResourceURLs"],
                    "rules cannot apply to both regular resources and non-resource URLs",
                )  # fmt: skip
            continue
        if not rule.get("apiGroups"):
            yield fields.required(
                (*at, "apiGroups"), "resource rules must supply at least one api group"
            )
        if not rule.get("resources"):
            yield fields.required(
                (*at, "resources"), "resource rules must supply at least one resource"
            )


def role_binding(obj: Json) -> Errors:
    reference = obj.get("roleRef") or {}
    if reference.get("apiGroup") != "rbac.authorization.k8s.io":
        yield fields.not_supported(
            ("roleRef", "apiGroup"), reference.get("apiGroup"), ("rbac.authorization.k8s.io",)
        )
    kinds = ("ClusterRole", "Role") if obj.get("kind") == "RoleBinding" else ("ClusterRole",)
    yield from chosen(reference, "kind", kinds, ("roleRef",), empty=False)
    yield from present(reference, ("name",), ("roleRef",))
    for index, subject in enumerate(obj.get("subjects") or ()):
        at = ("subjects", index)
        yield from present(subject, ("name",), at)
        yield from chosen(subject, "kind", ("Group", "ServiceAccount", "User"), at, empty=False)
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            yield fields.required((*at, "namespace"))


def role_binding_update(new: Json, old: Json) -> Errors:
    if new.get("roleRef") != old.get("roleRef"):
        yield fields.invalid(("roleRef",), new.get("roleRef"), "cannot change roleRef")
