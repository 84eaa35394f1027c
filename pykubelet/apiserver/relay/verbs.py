"""The verbs that are passed on: pods/log, exec, attach and portforward, and the three proxies."""

from __future__ import annotations

import itertools
from typing import Any

from pykubelet.apiserver import status
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.relay import targets
from pykubelet.apiserver.relay.targets import Nowhere, Target
from pykubelet.apiserver.relay.upstream import pass_on

Json = dict[str, Any]

_SERVICE_NAME = "kubernetes.io/service-name"
_REASONS = {400: "BadRequest", 502: "InternalError", 503: "ServiceUnavailable"}

_turns = itertools.count()


async def log(call: Call) -> Response:
    pod = _get(call, "pods", call.route.namespace, call.route.name)
    return await _to_kubelet(call, pod, lambda: targets.logs(pod, call.request.query_string))


async def stream(call: Call) -> Response:
    """pods/exec and pods/attach."""
    _must_upgrade(call)
    pod = _get(call, "pods", call.route.namespace, call.route.name)
    what, query = call.route.subresource, call.request.query_string
    return await _to_kubelet(call, pod, lambda: targets.stream(what, pod, query))


async def port_forward(call: Call) -> Response:
    _must_upgrade(call)
    pod = _get(call, "pods", call.route.namespace, call.route.name)
    query = call.request.query_string
    return await _to_kubelet(call, pod, lambda: targets.port_forward(pod, query))


async def proxy(call: Call) -> Response:
    """nodes/proxy, pods/proxy and services/proxy."""
    kinds = {"nodes": _node_proxy, "pods": _pod_proxy, "services": _service_proxy}
    return await kinds[call.resource.plural](call)


async def _node_proxy(call: Call) -> Response:
    _, name, _ = targets.split_name(call.route.name)
    node = _get(call, "nodes", "", name)
    query = call.request.query_string
    path = f"/{call.route.rest}" + (f"?{query}" if query else "")
    return await _passed(call, lambda: targets.of_kubelet(node, path))


async def _pod_proxy(call: Call) -> Response:
    _, name, _ = targets.split_name(call.route.name)
    pod = _get(call, "pods", call.route.namespace, name)
    return await _passed(
        call,
        lambda: targets.of_pod(pod, call.route.name, call.route.rest, call.request.query_string),
    )


async def _service_proxy(call: Call) -> Response:
    _, name, _ = targets.split_name(call.route.name)
    service = _get(call, "services", call.route.namespace, name)
    resource = call.parts.registry.find("discovery.k8s.io", "v1", "endpointslices")
    assert resource is not None
    slices = [
        found
        for item in call.parts.caches.of(resource).items(call.route.namespace)
        if ((found := item.tree())["metadata"].get("labels") or {}).get(_SERVICE_NAME) == name
    ]
    return await _passed(
        call,
        lambda: targets.of_service(
            service, slices, call.route.name, call.route.rest, call.request.query_string,
            next(_turns),
        ),
    )  # fmt: skip


async def _to_kubelet(call: Call, pod: Json, path: Any) -> Response:
    def target() -> Target:
        node = _get(call, "nodes", "", targets.node_of(pod))
        return targets.of_kubelet(node, path())

    return await _passed(call, target)


async def _passed(call: Call, target: Any) -> Response:
    relay = call.parts.relay
    if relay is None:
        raise status.unavailable("this server has no way to its nodes")
    try:
        where = target()
        return await pass_on(call.request, where, relay.tls(where))
    except Nowhere as nowhere:
        reason = _REASONS.get(nowhere.code, "InternalError")
        raise status.Refusal(nowhere.code, reason, str(nowhere)) from nowhere


def _get(call: Call, plural: str, namespace: str, name: str) -> Json:
    resource = call.parts.registry.find("", "v1", plural)
    assert resource is not None
    key = f"{namespace}/{name}" if resource.namespaced else name
    found = call.parts.caches.of(resource).get(key)
    if found is None:
        raise status.not_found(resource, name)
    tree: Json = found.tree()
    return tree


def _must_upgrade(call: Call) -> None:
    if "upgrade" not in call.request.headers.get("connection", "").lower():
        raise status.bad_request("Upgrade request required")
    protocols = call.request.headers.get("sec-websocket-protocol", "")
    modern = ("v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io")
    offered = [protocol.strip() for protocol in protocols.split(",") if protocol.strip()]
    if offered and all(protocol in modern for protocol in offered):
        # Runtimes speak SPDY and the older protocols; a client that is told so asks again in SPDY.
        raise status.bad_request(
            f"unable to upgrade: none of the offered protocols is supported: {protocols}"
        )
