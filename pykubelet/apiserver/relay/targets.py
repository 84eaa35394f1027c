"""Where a request that is passed on has to go. Pure: objects and a route in, a Target out.

Source: the pods/log, exec, attach, portforward and proxy subresources of the API reference; the
names `scheme:name:port` of proxies in "Access Services Running on Clusters".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

Json = dict[str, Any]

KUBELET_PORT = 10250


class Nowhere(Exception):
    """It can't be passed on; the sentence says why. `code` is the HTTP status to answer with."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Target:
    """`path` begins with a slash and holds the query. `kubelet`: we show our certificate there."""

    scheme: str
    host: str
    port: int
    path: str
    kubelet: bool = False


#: Query parameters that kubelets know by another name.
_RENAMED = {"tty": "tty", "stdin": "input", "stdout": "output", "stderr": "error"}


def of_kubelet(node: Mapping[str, Any], path: str) -> Target:
    """A path of a node's kubelet."""
    status = node.get("status") or {}
    addresses = {a["type"]: a["address"] for a in reversed(status.get("addresses") or ())}
    host = addresses.get("InternalIP") or addresses.get("Hostname") or addresses.get("ExternalIP")
    if not host:
        raise Nowhere(503, f"no address of node {node['metadata']['name']} is known")
    endpoints = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
    return Target("https", host, int(endpoints.get("Port") or KUBELET_PORT), path, kubelet=True)


def node_of(pod: Mapping[str, Any]) -> str:
    name = (pod.get("spec") or {}).get("nodeName")
    if not name:
        raise Nowhere(400, f"pod {pod['metadata']['name']} does not have a host assigned")
    return str(name)


def container_of(pod: Mapping[str, Any], wanted: str) -> str:
    """The container that is meant: the named one, or the only (or default) one."""
    spec = pod.get("spec") or {}
    names = [
        container["name"]
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(kind) or ()
    ]
    pod_name = pod["metadata"]["name"]
    if wanted:
        if wanted not in names:
            raise Nowhere(400, f"container {wanted} is not valid for pod {pod_name}")
        return wanted
    regular = [container["name"] for container in spec.get("containers") or ()]
    if len(regular) == 1:
        return str(regular[0])
    annotations = pod["metadata"].get("annotations") or {}
    default = annotations.get("kubectl.kubernetes.io/default-container")
    if default in regular:
        return str(default)
    choices = " ".join(regular)
    raise Nowhere(
        400,
        f"a container name must be specified for pod {pod_name}, choose one of: [{choices}]",
    )


def logs(pod: Mapping[str, Any], query: str) -> str:
    """The kubelet's path for pods/log."""
    pairs = parse_qsl(query, keep_blank_values=True)
    container = container_of(pod, next((v for k, v in pairs if k == "container"), ""))
    rest = urlencode([(k, v) for k, v in pairs if k != "container"])
    return _with(_below("containerLogs", pod, container), rest)


def stream(what: str, pod: Mapping[str, Any], query: str) -> str:
    """The kubelet's path for pods/exec and pods/attach."""
    pairs = parse_qsl(query, keep_blank_values=True)
    container = container_of(pod, next((v for k, v in pairs if k == "container"), ""))
    sent = []
    for key, value in pairs:
        if key == "command":
            sent.append((key, value))
        elif key in _RENAMED and value.lower() in ("1", "t", "true"):
            sent.append((_RENAMED[key], "1"))
    return _with(_below(what, pod, container), urlencode(sent))


def port_forward(pod: Mapping[str, Any], query: str) -> str:
    """The kubelet's path for pods/portforward. WebSocket clients name ports in the query."""
    ports = [(k, v) for k, v in parse_qsl(query) if k in ("port", "ports")]
    sent = urlencode([("port", number) for _, value in ports for number in value.split(",")])
    metadata = pod["metadata"]
    return _with(f"/portForward/{quote(metadata['namespace'])}/{quote(metadata['name'])}", sent)


def of_pod(pod: Mapping[str, Any], name: str, rest: str, query: str) -> Target:
    """pods/proxy: `name` may be `pod`, `pod:port` or `scheme:pod:port`."""
    scheme, _, port = split_name(name)
    ip = (pod.get("status") or {}).get("podIP")
    if not ip:
        raise Nowhere(503, f"address not allowed: pod {pod['metadata']['name']} has none yet")
    number = _pod_port(pod, port)
    return Target(scheme or "http", ip, number, _with(f"/{rest}", query))


def of_service(
    service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]], name: str, rest: str,
    query: str, choose: int = 0,
) -> Target:  # fmt: skip
    """services/proxy: one of the ready endpoints, `choose` of them."""
    scheme, plain, port = split_name(name)
    wanted = _service_port(service, port)
    found = []
    for slice_ in slices:
        for endpoint_port in slice_.get("ports") or ():
            if (endpoint_port.get("name") or "") == wanted:
                found += [
                    (address, int(endpoint_port["port"]))
                    for endpoint in slice_.get("endpoints") or ()
                    if (endpoint.get("conditions") or {}).get("ready") is not False
                    for address in endpoint["addresses"]
                ]
    if not found:
        raise Nowhere(503, f'no endpoints available for service "{plain}"')
    host, number = found[choose % len(found)]
    return Target(scheme or "http", host, number, _with(f"/{rest}", query))


def split_name(name: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `name`, `name:port` or `scheme:name:port`."""
    parts = name.split(":")
    if len(parts) == 3 and parts[0] in ("", "http", "https"):
        return parts[0], parts[1], parts[2]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    return "", name, ""


def _pod_port(pod: Mapping[str, Any], port: str) -> int:
    if port.isdigit():
        return int(port)
    ports = [
        p
        for container in (pod.get("spec") or {}).get("containers") or ()
        for p in container.get("ports") or ()
    ]
    if not port:
        return int(ports[0]["containerPort"]) if ports else 80
    for candidate in ports:
        if candidate.get("name") == port:
            return int(candidate["containerPort"])
    raise Nowhere(400, f'pod {pod["metadata"]["name"]} has no port named "{port}"')


def _service_port(service: Mapping[str, Any], port: str) -> str:
    """The name of the service's port that is meant."""
    ports = (service.get("spec") or {}).get("ports") or ()
    for candidate in ports:
        if port in (candidate.get("name"), str(candidate.get("port"))):
            return candidate.get("name") or ""
    if not port and ports:
        return ports[0].get("name") or ""
    raise Nowhere(
        503, f'no service port "{port}" found for service "{service["metadata"]["name"]}"'
    )


def _below(what: str, pod: Mapping[str, Any], container: str) -> str:
    metadata = pod["metadata"]
    parts = (what, metadata["namespace"], metadata["name"], container)
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _with(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path
