"""Defaults of what extends the server: webhooks, admission policies, custom resource definitions,
API services, flow control. Each fills in an object in place. Source: the API reference."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_HTTPS = 443


def webhooks(obj: Json) -> None:
    for hook in obj.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("timeoutSeconds", 10)
        if obj["kind"] == "MutatingWebhookConfiguration":
            hook.setdefault("reinvocationPolicy", "Never")
        _matching(hook)
        _port((hook.get("clientConfig") or {}).get("service"))
        for rule in hook.get("rules") or ():
            rule.setdefault("scope", "*")


def policy(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    if spec.get("matchConstraints") is not None:
        _matched(spec["matchConstraints"])
    if obj["kind"] == "MutatingAdmissionPolicy" and not spec.get("reinvocationPolicy"):
        spec["reinvocationPolicy"] = "Never"


def policy_binding(obj: Json) -> None:
    chosen = (obj.get("spec") or {}).get("matchResources")
    if chosen is not None:
        _matched(chosen)


def definition(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind") or ""
    if not names.get("singular"):
        names["singular"] = kind.lower()
    if not names.get("listKind") and kind:
        names["listKind"] = f"{kind}List"
    conversion = spec.setdefault("conversion", {})
    if not conversion.get("strategy"):
        conversion["strategy"] = "None"
    client = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    _port(client)


def api_service(obj: Json) -> None:
    _port((obj.get("spec") or {}).get("service"))


def flow_schema(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def priority_level(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    exempt, limited = spec.get("exempt"), spec.get("limited")
    if spec.get("type") == "Exempt":
        exempt = spec.setdefault("exempt", {})
    if exempt is not None:
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)
    if limited is not None:
        limited.setdefault("nominalConcurrencyShares", 30)
        limited.setdefault("lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for key, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
                if not queuing.get(key):
                    queuing[key] = value


def _matching(given: Json) -> None:
    given.setdefault("matchPolicy", "Equivalent")
    given.setdefault("namespaceSelector", {})
    given.setdefault("objectSelector", {})


def _matched(given: Json) -> None:
    _matching(given)
    for kind in ("resourceRules", "excludeResourceRules"):
        for rule in given.get(kind) or ():
            rule.setdefault("scope", "*")


def _port(service: Json | None) -> None:
    if service is not None:
        service.setdefault("port", _HTTPS)
