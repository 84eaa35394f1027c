"""What field selectors can ask for, resource by resource, besides name and namespace.

Source: "Field Selectors"; client-go's typed lists and kubectl rely on these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]
FieldsOf = Callable[[Json], Mapping[str, str]]

_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def pod(obj: Json) -> dict[str, str]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return {
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.restartPolicy": spec.get("restartPolicy") or "",
        "spec.schedulerName": spec.get("schedulerName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase") or "",
        "status.podIP": status.get("podIP") or "",
        "status.nominatedNodeName": status.get("nominatedNodeName") or "",
    }


def event(obj: Json) -> dict[str, str]:
    """An Event in either of its spellings."""
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    reporter = obj.get("reportingComponent") or obj.get("reportingController") or ""
    found = {
        f"{word}.{key}": about.get(key) or ""
        for word in ("involvedObject", "regarding")  # as core/v1 and as events.k8s.io calls it
        for key in _REFERENCE
    }
    return {
        **found,
        "reportingController": reporter,
        "reason": obj.get("reason") or "",
        "reportingComponent": reporter,
        "source": source.get("component") or reporter,
        "type": obj.get("type") or "",
    }


def node(obj: Json) -> dict[str, str]:
    unschedulable = (obj.get("spec") or {}).get("unschedulable")
    return {"spec.unschedulable": "true" if unschedulable else "false"}


def paths(*fields: str, **renamed: str) -> FieldsOf:
    """Fields of text or numbers by their paths; a keyword gives one another name, its dots as
    underscores."""
    wanted = {field: field.split(".") for field in fields}
    wanted |= {name.replace("_", "."): path.split(".") for name, path in renamed.items()}

    def fields_of(obj: Json) -> dict[str, str]:
        found = {}
        for label, steps in wanted.items():
            at: Any = obj
            for step in steps:
                at = (at or {}).get(step)
            found[label] = "0" if at is None and label.startswith("status.") else str(at or "")
        return found

    return fields_of
