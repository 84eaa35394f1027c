"""Services as environment variables: the oldest discovery there is, and still what in-cluster
clients read (`KUBERNETES_SERVICE_HOST`). Pure; asked by `environment` only.

A pod sees the services of its own namespace, unless `enableServiceLinks` is false, and always the
`kubernetes` service of `default`. Source: "Connecting Applications with Services", and the
variables of Docker's container links.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def service_variables(
    services: Iterable[Mapping[str, Any]], namespace: str, *, links: bool
) -> dict[str, str]:
    """Variables by name for a pod in `namespace`; `links` is its `enableServiceLinks`."""
    seen: dict[str, Mapping[str, Any]] = {}
    for service in services:
        metadata, spec = service["metadata"], service.get("spec") or {}
        if spec.get("clusterIP") in (None, "", "None") or not spec.get("ports"):
            continue
        name = metadata["name"]
        home = metadata.get("namespace") or "default"
        # A `kubernetes` service of the pod's own namespace hides the cluster's.
        if home == namespace and links:
            seen[name] = service
        elif home == "default" and name == "kubernetes":
            seen.setdefault(name, service)
    variables: dict[str, str] = {}
    for name in sorted(seen):
        variables |= _variables(name, seen[name]["spec"])
    return variables


def _variables(name: str, spec: Mapping[str, Any]) -> dict[str, str]:
    prefix, address, ports = _upper(name), spec["clusterIP"], spec["ports"]
    host = f"[{address}]" if ":" in address else address
    found = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(ports[0]["port"]),
    }
    for port in ports:
        if port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{_upper(port['name'])}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{host}:{port['port']}"
        if index == 0:
            found[f"{prefix}_PORT"] = url
        stem = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
        found[stem] = url
        found[f"{stem}_PROTO"] = protocol.lower()
        found[f"{stem}_PORT"] = str(port["port"])
        found[f"{stem}_ADDR"] = address
    return found


def _upper(name: str) -> str:
    name = name.replace(".", "_").replace("-", "_").upper()
    return f"_{name}" if name[:1].isdigit() else name
