"""Questions about who one is and what somebody may do: the review resources, which are answered
and not stored. Also the sentence that refuses what RBAC doesn't allow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pykubelet.apiserver import bodies, presenting, status
from pykubelet.apiserver.authentication.chain import Authentication
from pykubelet.apiserver.authorization.rbac import Attributes, Rbac
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.resources.registry import Resource
from pykubelet.apiserver.routes import Route
from pykubelet.apiserver.users import User

Json = dict[str, Any]
Verb = Callable[[Call], Awaitable[Response]]


def refused(user: User, wanted: Attributes, resource: Resource | None) -> status.Refusal:
    """403, in upstream's words."""
    if wanted.path:
        why = f'User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
        return status.Refusal(403, "Forbidden", f"forbidden: {why}")
    full = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    where = f' in the namespace "{wanted.namespace}"' if wanted.namespace else ""
    if not where:
        where = " at the cluster scope"
    why = (
        f'User "{user.name}" cannot {wanted.verb} resource "{full}" in API group '
        f'"{wanted.group}"{where}'
    )
    if resource is not None:
        return status.forbidden(resource, wanted.name, why)
    qualified = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    return status.Refusal(403, "Forbidden", f"{qualified} is forbidden: {why}",
                          group=wanted.group, kind=wanted.resource)  # fmt: skip


def verb_of(resource: Resource, route: Route, rbac: Rbac, authentication: Authentication) -> Verb:
    """What answers a resource that isn't stored."""

    async def answer(call: Call) -> Response:
        if call.route.verb != "create":
            return presenting.tree(call, {
                "kind": f"{resource.kind}List", "apiVersion": resource.group_version,
                "metadata": {}, "items": [],
            })  # fmt: skip
        review = bodies.object_of(call)
        spec = review.get("spec") or {}
        match resource.plural:
            case "selfsubjectreviews":
                review["status"] = {"userInfo": _info(call.user)}
            case "selfsubjectaccessreviews":
                review["status"] = _decide(rbac, call.user, spec)
            case "subjectaccessreviews" | "localsubjectaccessreviews":
                user = User(spec.get("user") or "", tuple(spec.get("groups") or ()))
                review["status"] = _decide(rbac, user, spec)
            case "selfsubjectrulesreviews":
                review["status"] = _rules(rbac, call.user, spec.get("namespace") or "")
            case "tokenreviews":
                review["status"] = _token(authentication, spec)
            case _:
                raise status.not_allowed()
        return presenting.tree(call, review, 201)

    return answer


def _decide(rbac: Rbac, user: User, spec: Json) -> Json:
    wanted = spec.get("resourceAttributes")
    if wanted is not None:
        attributes = Attributes(
            wanted.get("verb") or "", wanted.get("group") or "", wanted.get("resource") or "",
            wanted.get("subresource") or "", wanted.get("namespace") or "",
            wanted.get("name") or "",
        )  # fmt: skip
    else:
        other = spec.get("nonResourceAttributes") or {}
        attributes = Attributes(other.get("verb") or "", path=other.get("path") or "")
    why = rbac.allows(user, attributes)
    return {"allowed": True, "reason": f"RBAC: allowed by {why}"} if why else {"allowed": False}


def _rules(rbac: Rbac, user: User, namespace: str) -> Json:
    resource_rules, other_rules = [], []
    for rule in rbac.rules_of(user, namespace):
        keys = ("verbs", "apiGroups", "resources", "resourceNames")
        if rule.get("nonResourceURLs"):
            other_rules.append({k: rule[k] for k in ("verbs", "nonResourceURLs")})
        else:
            resource_rules.append({k: rule[k] for k in keys if rule.get(k)})
    return {
        "resourceRules": resource_rules,
        "nonResourceRules": other_rules,
        "incomplete": False,
    }


def _token(authentication: Authentication, spec: Json) -> Json:
    token, audiences = spec.get("token") or "", spec.get("audiences") or ()
    user = authentication.user_of_token(token, audiences)
    if user is None:
        return {"user": {}, "error": "the token is not known"}
    meant_for = authentication.audiences_of(token, audiences)
    return {
        "authenticated": True,
        "user": _info(user),
        **({"audiences": meant_for} if meant_for else {}),
    }


def _info(user: User) -> Json:
    made: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        made["uid"] = user.uid
    if user.extra:
        made["extra"] = {key: list(values) for key, values in user.extra.items()}
    return made
