"""serviceaccounts/token: a TokenRequest in, a signed token out."""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver import bodies, presenting, status
from pykubelet.apiserver.admission.chain import CREATE, Asked
from pykubelet.apiserver.authentication.service_accounts import Bound
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.verbs import reading
from pykubelet.clock import rfc3339

Json = dict[str, Any]

_DEFAULT_SECONDS, _FEWEST, _MOST = 3600, 600, 1 << 32
_KINDS = {"Pod": ("pod", "pods"), "Secret": ("secret", "secrets")}


async def request(call: Call) -> Response:
    """Raises a Refusal where the account, or what the token is to be bound to, is not there."""
    tokens = call.parts.tokens
    if tokens is None:
        raise status.unavailable("this server signs no tokens")
    wanted = bodies.tree_of(call)
    spec = wanted.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    seconds = _DEFAULT_SECONDS if seconds is None else int(seconds)
    if not _FEWEST <= seconds <= _MOST:
        raise status.bad_request(
            "spec.expirationSeconds: Invalid value: may not specify a duration less than 10 minutes"
            " or larger than 2^32 seconds"
        )
    account = (await reading.item(call)).tree()
    await call.parts.admission.check(Asked(call, CREATE, {"metadata": {}, **wanted}))
    bound = _bound(call, account, spec.get("boundObjectRef"))
    token, ends = tokens.issue(bound, spec.get("audiences") or (), seconds)
    made = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": account["metadata"]["name"],
            "namespace": account["metadata"]["namespace"],
            "creationTimestamp": call.now(),
        },
        "spec": {
            "audiences": list(spec.get("audiences") or tokens.audiences),
            "expirationSeconds": seconds,
            "boundObjectRef": spec.get("boundObjectRef"),
        },
        "status": {"token": token, "expirationTimestamp": rfc3339(ends)},
    }
    return presenting.tree(call, made, 201)


def _bound(call: Call, account: Json, reference: Json | None) -> Bound:
    metadata = account["metadata"]
    bound = Bound(metadata["namespace"], metadata["name"], metadata["uid"])
    if not reference:
        return bound
    kind = _KINDS.get(reference.get("kind", ""))
    if kind is None:
        raise status.bad_request(f"cannot bind token to object of type {reference.get('kind')}")
    word, plural = kind
    resource = call.parts.registry.find("", "v1", plural)
    assert resource is not None
    found = call.parts.caches.of(resource).get(f"{metadata['namespace']}/{reference['name']}")
    if found is None:
        raise status.not_found(resource, reference["name"])
    target = found.tree()
    uid = target["metadata"]["uid"]
    if reference.get("uid") and reference["uid"] != uid:
        raise status.conflict(
            resource,
            reference["name"],
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in "
            f"record. The object might have been deleted and then recreated",
        )
    node, node_uid = "", ""
    if word == "pod":
        node = (target.get("spec") or {}).get("nodeName") or ""
        nodes = call.parts.registry.find("", "v1", "nodes")
        on = call.parts.caches.of(nodes).get(node) if nodes and node else None
        node_uid = on.tree()["metadata"]["uid"] if on else ""
    return Bound(
        bound.namespace, bound.account, bound.account_uid, word, reference["name"], uid,
        node if node_uid else "", node_uid,
    )  # fmt: skip
