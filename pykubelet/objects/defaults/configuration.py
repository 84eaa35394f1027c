"""Defaults of what tells pods and nodes things: Namespaces, Secrets, Nodes, role bindings, priority
and limit ranges. Each fills in an object in place."""

from __future__ import annotations

import base64
from typing import Any

Json = dict[str, Any]

_RBAC = "rbac.authorization.k8s.io"


def namespace(obj: Json) -> None:
    meta = obj["metadata"]
    if meta.get("name"):
        meta["labels"] = {**(meta.get("labels") or {}), "kubernetes.io/metadata.name": meta["name"]}
    obj.setdefault("status", {}).setdefault("phase", "Active")


def secret(obj: Json) -> None:
    """`stringData` is for writing only: it goes into `data`."""
    if not obj.get("type"):
        obj["type"] = "Opaque"
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.setdefault("data", {})
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()


def node(obj: Json) -> None:
    status = obj.get("status") or {}
    if status.get("capacity") and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])


def role_binding(obj: Json) -> None:
    reference = obj.setdefault("roleRef", {})
    if not reference.get("apiGroup"):
        reference["apiGroup"] = _RBAC
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = _RBAC


def priority_class(obj: Json) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def limit_range(obj: Json) -> None:
    for item in (obj.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            limits = {**(item.get("max") or {}), **(item.get("default") or {})}
            requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
            for key, values in (("default", limits), ("defaultRequest", requests)):
                if values:
                    item[key] = values


def resource_claim(obj: Json) -> None:
    """A claim of resource.k8s.io, or the template of one."""
    spec = obj.get("spec") or {}
    devices = (spec.get("spec") or spec).get("devices") or {}
    for request in devices.get("requests") or ():
        exactly = request.get("exactly")
        for one in (*((exactly,) if exactly is not None else ()),
                    *(request.get("firstAvailable") or ())):  # fmt: skip
            if not one.get("allocationMode"):
                one["allocationMode"] = "ExactCount"
            if one["allocationMode"] == "ExactCount" and not one.get("count"):
                one["count"] = 1
            for toleration in one.get("tolerations") or ():
                toleration.setdefault("operator", "Equal")
