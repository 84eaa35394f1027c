"""The downward API: what a pod may learn about itself, as text. Pure.

Two selectors exist: `fieldRef` names a field of the pod, `resourceFieldRef` a limit or request of
one of its containers. Environment variables (`environment`) and files (`..volumes.downward_api`)
both ask here, so that the same selector says the same thing in both. A selector that can't be
answered raises Invalid: the same pod can't get a better answer later.
Source: the API reference (ObjectFieldSelector, ResourceFieldSelector) and "Downward API".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.kubelet.pods import spec
from pykubelet.objects import quantity

_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]", re.DOTALL)
#: Limits that a container without one is given by the node: it can't use more than that.
_NODE_BOUND = ("cpu", "memory", "ephemeral-storage")


def field_value(
    pod: Mapping[str, Any],
    path: str,
    *,
    pod_ips: Sequence[str] = (),
    host_ips: Sequence[str] = (),
) -> str:
    """The text of the field at `path`, such as `metadata.labels['app']`.

    A label or annotation that is not there reads as empty. `pod_ips` and `host_ips` are first
    choice first; they come from the sandbox and the node, since the pod's own status lags behind.
    """
    metadata, wanted = pod["metadata"], pod["spec"]
    keyed = _KEYED.fullmatch(path)
    if keyed:
        return str((metadata.get(keyed[1]) or {}).get(keyed[2], ""))
    match path:
        case "metadata.name":
            return spec.name(pod)
        case "metadata.namespace":
            return spec.namespace(pod)
        case "metadata.uid":
            return spec.uid(pod)
        case "metadata.labels":
            return format_map(metadata.get("labels") or {})
        case "metadata.annotations":
            return format_map(metadata.get("annotations") or {})
        case "spec.nodeName" | "spec.host":
            return wanted.get("nodeName") or ""
        case "spec.serviceAccountName":
            return wanted.get("serviceAccountName") or ""
        case "spec.restartPolicy":
            return spec.restart_policy(pod)
        case "spec.schedulerName":
            return wanted.get("schedulerName") or ""
        case "status.phase":
            return (pod.get("status") or {}).get("phase") or ""
        case "status.hostIP":
            return host_ips[0] if host_ips else ""
        case "status.hostIPs":
            return ",".join(host_ips)
        case "status.podIP":
            return pod_ips[0] if pod_ips else ""
        case "status.podIPs":
            return ",".join(pod_ips)
    raise Invalid(f"field label not supported: {path}")


def resource_value(
    selector: Mapping[str, Any],
    pod: Mapping[str, Any],
    container: Mapping[str, Any] | None,
    *,
    allocatable: Mapping[str, str],
) -> str:
    """A container's limit or request in units of the selector's divisor (1 by default), rounded up.

    `container` is the one that asks, used where the selector names none. A missing limit on CPU,
    memory or ephemeral storage reads as the pod's own limit, or else as what the node can give
    (`allocatable`, quantities by resource name); any other missing figure reads as 0.
    """
    name = selector.get("containerName")
    if name:
        found = spec.container_named(pod, name)
        if found is None:
            raise Invalid(f"container {name} not found")
        container = found[1]
    if container is None:
        raise Invalid("resourceFieldRef needs a containerName here")
    kind, _, resource = str(selector.get("resource", "")).partition(".")
    supported = resource in _NODE_BOUND or resource.startswith("hugepages-")
    if kind not in ("limits", "requests") or not supported:
        raise Invalid(f"unsupported container resource : {selector.get('resource')}")
    value = _figure(kind, resource, pod, container, allocatable)
    divisor = quantity.parse(selector.get("divisor") or "1") or Fraction(1)
    if resource == "cpu":
        value, divisor = Fraction(quantity.to_milli(value)), Fraction(quantity.to_milli(divisor))
    else:
        value, divisor = Fraction(quantity.to_int(value)), Fraction(quantity.to_int(divisor))
    return str(-(-value // divisor))


def _figure(
    kind: str,
    resource: str,
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    allocatable: Mapping[str, str],
) -> Fraction:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    requests = resources.get("requests") or {}
    if kind == "requests":
        # A limit without a request means a request of the same size.
        return quantity.parse(requests.get(resource, limits.get(resource, "0")))
    limit = quantity.parse(limits.get(resource, "0"))
    if limit or resource not in _NODE_BOUND:
        return limit
    whole_pod = (pod["spec"].get("resources") or {}).get("limits") or {}
    return quantity.parse(whole_pod.get(resource) or allocatable.get(resource, "0"))


def format_map(values: Mapping[str, str]) -> str:
    """Labels or annotations as a file shows them: one `key="value"` a line, sorted by key."""
    return "\n".join(f"{key}={quoted(str(values[key]))}" for key in sorted(values))


_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t",
            "\v": r"\v", '"': r"\"", "\\": r"\\"}  # fmt: skip


def quoted(text: str) -> str:
    """`text` in double quotes with everything unprintable escaped, as Go's `%q` writes it."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
