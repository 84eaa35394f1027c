"""Webhook configurations, admission policies and their bindings, API services, flow control: how
the server itself is extended. Custom resource definitions are in `definitions`. Source: the API
reference of admissionregistration.k8s.io/v1, apiregistration.k8s.io/v1 and
flowcontrol.apiserver.k8s.io/v1.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from pykubelet.objects import fields, names
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import immutable, label_selector
from pykubelet.objects.validation.rules import (
    Errors,
    Json,
    between,
    chosen,
    named,
    not_negative,
    port_number,
    present,
    required_name,
    unique,
)

_SPEC: Path = ("spec",)
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_VERBS = ("*", "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update",
          "watch")  # fmt: skip
_SCOPES = ("*", "Cluster", "Namespaced")
_FAILURES, _MATCHES = ("Fail", "Ignore"), ("Equivalent", "Exact")
_ACTIONS = ("Audit", "Deny", "Warn")
_MOST_CONDITIONS, _MOST_VARIABLES = 64, 50


def configuration(obj: Json) -> Errors:
    """A ValidatingWebhookConfiguration or a MutatingWebhookConfiguration."""
    hooks = obj.get("webhooks") or []
    for index, hook in enumerate(hooks):
        yield from _webhook(hook, obj.get("kind") == "MutatingWebhookConfiguration",
                            ("webhooks", index))  # fmt: skip
    yield from unique(hooks, "name", ("webhooks",))


def policy(obj: Json) -> Errors:
    """A ValidatingAdmissionPolicy or a MutatingAdmissionPolicy. Expressions are compiled elsewhere."""  # noqa: E501
    spec = obj.get("spec") or {}
    mutating = obj.get("kind") == "MutatingAdmissionPolicy"
    yield from chosen(spec, "failurePolicy", _FAILURES, _SPEC, empty=False)
    kind = spec.get("paramKind")
    if kind is not None:
        yield from required_name(kind, "kind", (*_SPEC, "paramKind"), names.path_segment)
        if not kind.get("apiVersion"):
            yield fields.required((*_SPEC, "paramKind", "apiVersion"))
    constraints, at = spec.get("matchConstraints"), (*_SPEC, "matchConstraints")
    if constraints is None:
        yield fields.required(at)
    else:
        yield from _match_resources(constraints, at)
        if not constraints.get("resourceRules"):
            yield fields.required((*at, "resourceRules"))
    yield from _conditions(spec.get("matchConditions") or [], (*_SPEC, "matchConditions"))
    variables = spec.get("variables") or []
    for index, one in enumerate(variables):
        yield from present(one, ("name", "expression"), (*_SPEC, "variables", index))
    if len(variables) > _MOST_VARIABLES:
        yield fields.too_many((*_SPEC, "variables"), len(variables), _MOST_VARIABLES)
    if mutating:
        yield from _mutations(spec)
        return
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        for key in ("validations", "auditAnnotations"):
            yield fields.required((*_SPEC, key), "validations or auditAnnotations must be set")
    for index, one in enumerate(spec.get("validations") or ()):
        here = (*_SPEC, "validations", index)
        if not (one.get("expression") or "").strip():
            yield fields.required((*here, "expression"), "expression is not specified")
        yield from chosen(
            one, "reason", ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"), here
        )
    for index, one in enumerate(spec.get("auditAnnotations") or ()):
        yield from present(one, ("key", "valueExpression"), (*_SPEC, "auditAnnotations", index))


def policy_binding(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from required_name(spec, "policyName", _SPEC, names.dns_subdomain)
    reference = spec.get("paramRef")
    if reference is not None:
        at = (*_SPEC, "paramRef")
        if ("name" in reference) == ("selector" in reference):
            yield fields.forbidden((*at, "name"), "name and selector are mutually exclusive")
        yield from label_selector(reference.get("selector"), (*at, "selector"))
        yield from chosen(reference, "parameterNotFoundAction", ("Allow", "Deny"), at, empty=False)
    if "matchResources" in spec:
        yield from _match_resources(spec["matchResources"], (*_SPEC, "matchResources"))
    if obj.get("kind") == "MutatingAdmissionPolicyBinding":
        return
    actions = spec.get("validationActions") or []
    if not actions:
        yield fields.required((*_SPEC, "validationActions"))
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield fields.not_supported((*_SPEC, "validationActions", index), action, _ACTIONS)
        elif action in actions[:index]:
            yield fields.duplicate((*_SPEC, "validationActions", index), action)
    if {"Deny", "Warn"} <= set(actions):
        yield fields.invalid(
            (*_SPEC, "validationActions"), actions,
            "must not contain both Deny and Warn (repeating the same validation failure "
            "information in the API response and headers serves no purpose)",
        )  # fmt: skip


def api_service(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    name, group, version = (
        obj["metadata"].get("name") or "", spec.get("group") or "", spec.get("version") or ""
    )  # fmt: skip
    if name != f"{version}.{group}":
        yield fields.invalid(
            ("metadata", "name"),
            name,
            f'must be `spec.version+"."+spec.group`: "{version}.{group}"',
        )
    if not group and version != "v1":
        yield fields.required(
            (*_SPEC, "group"), "only v1 may have an empty group and it better be legacy kube"
        )
    if group:
        yield from named(group, (*_SPEC, "group"), names.dns_subdomain)
    yield from named(version, (*_SPEC, "version"), names.dns_label_1035)
    minimum, priority = spec.get("groupPriorityMinimum") or 0, spec.get("versionPriority") or 0
    if not 0 < minimum <= 20000:
        yield fields.invalid(
            (*_SPEC, "groupPriorityMinimum"), minimum, "must be positive and less than 20000"
        )
    if not 0 < priority <= 1000:
        yield fields.invalid(
            (*_SPEC, "versionPriority"), priority, "must be positive and less than 1000"
        )
    service = spec.get("service")
    if service is None:
        if spec.get("caBundle"):
            yield fields.invalid(
                (*_SPEC, "caBundle"), "<bytes>", "local APIServices may not have a caBundle"
            )
        if spec.get("insecureSkipTLSVerify"):
            yield fields.invalid(
                (*_SPEC, "insecureSkipTLSVerify"),
                True,
                "local APIServices may not have insecureSkipTLSVerify",
            )
        return
    yield from present(service, ("namespace", "name"), (*_SPEC, "service"))
    yield from _service_port(service, (*_SPEC, "service", "port"))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        yield fields.invalid(
            (*_SPEC, "insecureSkipTLSVerify"), True, "may not be true if caBundle is present"
        )


def flow_schema(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    precedence = spec.get("matchingPrecedence") or 0
    if not 1 <= precedence <= 10000:
        at = (*_SPEC, "matchingPrecedence")
        word = "a positive value" if precedence < 1 else "no greater than 10000"
        yield fields.invalid(at, precedence, f"must be {word}")
    reference = spec.get("priorityLevelConfiguration") or {}
    yield from required_name(
        reference, "name", (*_SPEC, "priorityLevelConfiguration"), names.dns_subdomain,
        "must reference a priority level",
    )  # fmt: skip
    yield from chosen(
        spec.get("distinguisherMethod") or {}, "type", ("ByNamespace", "ByUser"),
        (*_SPEC, "distinguisherMethod"),
    )  # fmt: skip
    for index, rule in enumerate(spec.get("rules") or ()):
        at = (*_SPEC, "rules", index)
        if not rule.get("subjects"):
            yield fields.required((*at, "subjects"), "subjects must contain at least one value")
        for number, subject in enumerate(rule.get("subjects") or ()):
            yield from chosen(
                subject, "kind", ("Group", "ServiceAccount", "User"), (*at, "subjects", number),
                empty=False,
            )  # fmt: skip
        if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
            yield fields.required(
                at, "at least one of resourceRules and nonResourceRules has to be non-empty"
            )
        for kind in ("resourceRules", "nonResourceRules"):
            for number, one in enumerate(rule.get(kind) or ()):
                here = (*at, kind, number)
                if not one.get("verbs"):
                    yield fields.required((*here, "verbs"), "verbs must contain at least one value")
                for verb in one.get("verbs") or ():
                    if kind == "resourceRules" and verb not in _VERBS:
                        yield fields.not_supported((*here, "verbs"), one["verbs"], _VERBS)
                        break


def priority_level(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    kind = spec.get("type") or ""
    yield from chosen(spec, "type", ("Exempt", "Limited"), _SPEC, empty=False)
    limited, at = spec.get("limited"), (*_SPEC, "limited")
    if kind == "Exempt" and limited is not None:
        yield fields.forbidden(at, "must be nil if the type is not Limited")
    if kind != "Limited":
        return
    if limited is None:
        yield fields.required(at, "must not be empty when type is Limited")
        return
    yield from not_negative(limited, ("nominalConcurrencyShares", "lendablePercent"), at)
    yield from between(limited, "lendablePercent", 0, 100, at)
    response = limited.get("limitResponse") or {}
    here = (*at, "limitResponse")
    yield from chosen(response, "type", ("Queue", "Reject"), here, empty=False)
    queuing = response.get("queuing")
    if response.get("type") == "Reject" and queuing is not None:
        yield fields.forbidden(
            (*here, "queuing"), "must be nil if limited.limitResponse.type is not Limited"
        )
    if response.get("type") == "Queue":
        if queuing is None:
            yield fields.required(
                (*here, "queuing"), "must not be empty if limited.limitResponse.type is Limited"
            )
            return
        for key in ("queueLengthLimit", "queues", "handSize"):
            if (queuing.get(key) or 0) <= 0:
                yield fields.invalid(
                    (*here, "queuing", key), queuing.get(key) or 0, "must be positive"
                )
        if (queuing.get("handSize") or 0) > (queuing.get("queues") or 0):
            yield fields.invalid(
                (*here, "queuing", "handSize"), queuing.get("handSize"),
                f"should not be greater than queues ({queuing.get('queues') or 0})",
            )  # fmt: skip


def priority_level_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    yield from immutable(after.get("type"), before.get("type"), (*_SPEC, "type"))


def client(given: Json, at: Path) -> Errors:
    """A `clientConfig`: a URL or a service."""
    url, service = given.get("url"), given.get("service")
    if (url is None) == (service is None):
        yield fields.required((*at, "url"), "exactly one of url or service is required")
        return
    if url is not None:
        yield from _url(url, (*at, "url"))
        return
    assert service is not None
    here = (*at, "service")
    if not service.get("name"):
        yield fields.required((*here, "name"), "service name is required")
    if not service.get("namespace"):
        yield fields.required((*here, "namespace"), "service namespace is required")
    yield from _service_port(service, (*here, "port"))
    path = service.get("path")
    if path and not path.startswith("/"):
        yield fields.invalid((*here, "path"), path, "must start with a '/'")


def _webhook(hook: Json, mutating: bool, at: Path) -> Errors:
    name = hook.get("name") or ""
    if not name:
        yield fields.required((*at, "name"))
    else:
        yield from named(name, (*at, "name"), names.dns_subdomain)
        if name.count(".") < 2:
            yield fields.invalid(
                (*at, "name"),
                name,
                "should be a domain with at least three segments separated by dots",
            )
    versions = hook.get("admissionReviewVersions") or []
    if not versions:
        yield fields.required((*at, "admissionReviewVersions"), "must specify one of v1, v1beta1")
    elif not {"v1", "v1beta1"} & set(versions):
        yield fields.invalid(
            (*at, "admissionReviewVersions"), versions, "must include at least one of v1, v1beta1"
        )
    for index, rule in enumerate(hook.get("rules") or ()):
        yield from _rule(rule, (*at, "rules", index))
    yield from chosen(hook, "failurePolicy", _FAILURES, at)
    yield from chosen(hook, "matchPolicy", _MATCHES, at)
    if not hook.get("sideEffects"):
        yield fields.required((*at, "sideEffects"), 'must specify one of "None", "NoneOnDryRun"')
    else:
        yield from chosen(hook, "sideEffects", ("None", "NoneOnDryRun"), at)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        yield fields.invalid(
            (*at, "timeoutSeconds"), seconds, "the timeout value must be between 1 and 30 seconds"
        )
    for key in ("namespaceSelector", "objectSelector"):
        yield from label_selector(hook.get(key), (*at, key))
    yield from client(hook.get("clientConfig") or {}, (*at, "clientConfig"))
    if mutating:
        yield from chosen(hook, "reinvocationPolicy", ("IfNeeded", "Never"), at)
    yield from _conditions(hook.get("matchConditions") or [], (*at, "matchConditions"))


def _rule(rule: Json, at: Path) -> Errors:
    """A RuleWithOperations."""
    operations = rule.get("operations") or []
    if not operations:
        yield fields.required((*at, "operations"))
    if "*" in operations and len(operations) > 1:
        yield fields.invalid(
            (*at, "operations"), operations, "if '*' is present, must not specify other operations"
        )
    for index, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            yield fields.not_supported((*at, "operations", index), operation, _OPERATIONS)
    for key, word in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        given = rule.get(key) or []
        if not given:
            yield fields.required((*at, key))
        if "*" in given and len(given) > 1:
            yield fields.invalid(
                (*at, key), given, f"if '*' is present, must not specify other {word}"
            )
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            yield fields.required((*at, "apiVersions", index))
    resources = rule.get("resources") or []
    if not resources:
        yield fields.required((*at, "resources"))
    for index, one in enumerate(resources):
        resource, slash, sub = one.partition("/")
        if not one:
            yield fields.required((*at, "resources", index))
        elif slash and sub != "*" and (f"{resource}/*" in resources):
            yield fields.invalid(
                (*at, "resources", index),
                one,
                f"if '{resource}/*' is present, must not specify {one}",
            )
    if "*/*" in resources and len(resources) > 1:
        yield fields.invalid(
            (*at, "resources"), resources, "if '*/*' is present, must not specify other resources"
        )
    yield from chosen(rule, "scope", _SCOPES, at)


def _match_resources(given: Json, at: Path) -> Errors:
    yield from chosen(given, "matchPolicy", _MATCHES, at, empty=False)
    for key in ("namespaceSelector", "objectSelector"):
        if given.get(key) is None:
            yield fields.required((*at, key))
        yield from label_selector(given.get(key), (*at, key))
    for kind in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(given.get(kind) or ()):
            yield from _rule(rule, (*at, kind, index))


def _conditions(given: list[Json], at: Path) -> Errors:
    if len(given) > _MOST_CONDITIONS:
        yield fields.too_many(at, len(given), _MOST_CONDITIONS)
    for index, one in enumerate(given):
        yield from required_name(one, "name", (*at, index), names.qualified)
        if not (one.get("expression") or "").strip():
            yield fields.required((*at, index, "expression"))
    yield from unique(given, "name", at)


def _mutations(spec: Json) -> Errors:
    if not spec.get("mutations"):
        yield fields.required((*_SPEC, "mutations"), "mutations must contain at least one item")
    for index, one in enumerate(spec.get("mutations") or ()):
        at = (*_SPEC, "mutations", index)
        yield from chosen(one, "patchType", ("ApplyConfiguration", "JSONPatch"), at, empty=False)
    yield from chosen(spec, "reinvocationPolicy", ("IfNeeded", "Never"), _SPEC, empty=False)


def _service_port(service: Json, at: Path) -> Errors:
    if service.get("port") is not None:
        for error in port_number(service["port"], at):
            yield fields.invalid(
                at, service["port"], "port is not valid: " + error.message.rpartition(": ")[2]
            )


def _url(text: str, at: Path) -> Errors:
    form = "; desired format: https://host[/path]"
    try:
        parts = urlsplit(text)
    except ValueError as error:
        yield fields.required(at, f"url must be a valid URL: {error}{form}")
        return
    if parts.scheme != "https":
        yield fields.invalid(at, parts.scheme, f"'https' is the only allowed URL scheme{form}")
    if not parts.hostname:
        yield fields.invalid(at, parts.netloc, f"host must be specified{form}")
    if parts.username or parts.password:
        yield fields.invalid(at, "<redacted>", "user information is not permitted in the URL")
    if parts.fragment:
        yield fields.invalid(at, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield fields.invalid(at, parts.query, "query parameters are not permitted in the URL")
