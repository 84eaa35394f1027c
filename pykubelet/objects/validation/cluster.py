"""Nodes, leases, namespaces, events, certificate requests: what the cluster's own parts write.

Source: the API reference; "Certificates and Certificate Signing Requests".
"""

from __future__ import annotations

import base64
import binascii

from pykubelet.objects import fields, names
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import immutable
from pykubelet.objects.validation.rules import Errors, Json, chosen, named, positive, required_name
from pykubelet.objects.validation.scheduling import EFFECTS
from pykubelet.objects.validation.services import cidr

_SPEC: Path = ("spec",)
_NODE_CHANGES = frozenset(
    ("podCIDR", "podCIDRs", "providerID", "unschedulable", "taints", "configSource", "externalID")
)
_USAGES = frozenset(
    ("any", "cert sign", "client auth", "code signing", "content commitment", "crl sign",
     "data encipherment", "decipher only", "digital signature", "email protection",
     "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
     "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
     "server auth", "signing", "timestamping")
)  # fmt: skip
_LONGEST_NOTE, _LONGEST_WORD = 1024, 128


def node(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(spec.get("taints") or ()):
        at = (*_SPEC, "taints", index)
        key, value = taint.get("key") or "", taint.get("value") or ""
        yield from named(key, (*at, "key"), names.qualified)
        for said in names.label_value(value):
            yield fields.invalid((*at, "value"), value, said)
        yield from chosen(taint, "effect", EFFECTS, at, empty=False)
        pair = key, taint.get("effect") or ""
        if pair in seen:
            yield fields.duplicate(at, taint)
        seen.add(pair)
    given = spec.get("podCIDRs") or []
    for index, text in enumerate(given):
        yield from cidr(text, (*_SPEC, "podCIDRs", index))
    if given and spec.get("podCIDR") and given[0] != spec["podCIDR"]:
        yield fields.invalid((*_SPEC, "podCIDRs"), given, "first value must match `podCIDR`")
    if len(given) > 2:
        yield fields.invalid(
            (*_SPEC, "podCIDRs"), given, "may specify no more than one CIDR for each IP family"
        )


def node_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if before.get("podCIDR"):
        for key in ("podCIDR", "podCIDRs"):
            if after.get(key) != before.get(key):
                yield fields.forbidden(
                    (*_SPEC, key), 'node updates may not change podCIDR except from "" to valid'
                )
                break
    if before.get("providerID") and after.get("providerID") != before["providerID"]:
        yield fields.forbidden(
            (*_SPEC, "providerID"), 'node updates may not change providerID except from "" to valid'
        )
    others = {*after, *before} - _NODE_CHANGES
    if any(after.get(key) != before.get(key) for key in others):
        yield fields.forbidden(
            (),
            "node updates may only change labels, taints, or capacity (or configSource, if the "
            "DynamicKubeletConfig feature gate is enabled)",
        )


def lease(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from positive(spec, "leaseDurationSeconds", _SPEC)
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        yield fields.invalid(
            (*_SPEC, "leaseTransitions"), transitions, "must be greater than or equal to 0"
        )
    if spec.get("holderIdentity") == "":
        yield fields.invalid((*_SPEC, "holderIdentity"), "", "must not be empty")
    if "strategy" in spec:
        strategy = spec["strategy"] or ""
        if strategy != "OldestEmulationVersion" and "/" not in strategy:
            yield fields.invalid(
                (*_SPEC, "strategy"),
                strategy,
                'must be a domain-prefixed path (such as "acme.io/foo")',
            )
    elif "preferredHolder" in spec:
        yield fields.required(
            (*_SPEC, "strategy"), "must be specified when `preferredHolder` is specified"
        )


def event(obj: Json) -> Errors:
    """An Event, as either of its two groups spells it. One that has an `eventTime` says who reports
    what; older ones only have to be in the namespace of what they are about."""
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    word = "regarding" if "regarding" in obj else "involvedObject"
    namespace = obj["metadata"].get("namespace") or ""
    home, timed = about.get("namespace") or "", obj.get("eventTime") is not None
    clusterwide = ("default", "kube-system") if timed else ("default",)
    if (home and home != namespace and not timed) or (not home and namespace not in clusterwide):
        yield fields.invalid((word, "namespace"), home, "does not match event.namespace")
    if not timed:
        return
    reporter = obj.get("reportingComponent") or obj.get("reportingController") or ""
    yield from required_name(
        {"reportingController": reporter}, "reportingController", (), names.qualified
    )
    for key in ("reportingInstance", "action", "reason"):
        value = obj.get(key) or ""
        if not value:
            yield fields.required((key,))
        elif len(value) > _LONGEST_WORD:
            yield fields.invalid((key,), "", f"can have at most {_LONGEST_WORD} characters")
    if len(obj.get("message") or obj.get("note") or "") > _LONGEST_NOTE:
        yield fields.invalid(("message",), "", f"can have at most {_LONGEST_NOTE} characters")


def certificate_request(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    try:
        text = base64.b64decode(spec.get("request") or "", validate=True)
        sound = b"-----BEGIN CERTIFICATE REQUEST-----" in text
    except (ValueError, binascii.Error):
        sound = False
    if not sound:
        yield fields.invalid(
            (*_SPEC, "request"), spec.get("request"),
            "PEM block type must be CERTIFICATE REQUEST",
        )  # fmt: skip
    usages = spec.get("usages") or []
    if not usages:
        yield fields.required((*_SPEC, "usages"))
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            yield fields.not_supported((*_SPEC, "usages", index), usage, _USAGES)
        elif usage in usages[:index]:
            yield fields.duplicate((*_SPEC, "usages", index), usage)
    yield from _signer(spec.get("signerName") or "", (*_SPEC, "signerName"))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        yield fields.invalid(
            (*_SPEC, "expirationSeconds"),
            seconds,
            "may not specify a duration less than 600 seconds (10 minutes)",
        )


def certificate_request_update(new: Json, old: Json) -> Errors:
    """Whatever is asked for stays; who approved or denied can't be taken back."""
    yield from immutable(new.get("spec"), old.get("spec"), _SPEC)


def certificate_request_status(new: Json, old: Json) -> Errors:
    state, before = new.get("status") or {}, old.get("status") or {}
    at: Path = ("status", "conditions")

    def kinds(given: Json) -> list[str]:
        return [c.get("type") or "" for c in given.get("conditions") or ()]

    has = kinds(state)
    for index, condition in enumerate(state.get("conditions") or ()):
        here = (*at, index)
        kind = condition.get("type") or ""
        if not kind:
            yield fields.required((*here, "type"))
        if kind in ("Approved", "Denied", "Failed") and condition.get("status") != "True":
            yield fields.not_supported((*here, "status"), condition.get("status") or "", ("True",))
        elif not condition.get("status"):
            yield fields.required((*here, "status"))
        if kind and kind in has[:index]:
            yield fields.duplicate((*here, "type"), kind)
    if {"Approved", "Denied"} <= set(has):
        yield fields.invalid(at, "Denied", "Approved and Denied conditions are mutually exclusive")
    for kind in ("Approved", "Denied", "Failed"):
        if kind in kinds(before) and kind not in has:
            yield fields.forbidden(
                at, f"updates may not remove a condition of type {kind!r}".replace("'", '"')
            )
    was, now = before.get("certificate"), state.get("certificate")
    if was and now != was:
        yield fields.forbidden(
            ("status", "certificate"), "updates may not change or clear a set certificate"
        )


def _signer(name: str, at: Path) -> Errors:
    domain, slash, path = name.partition("/")
    if not name:
        yield fields.required(at)
        return
    if not slash:
        yield fields.invalid(
            at,
            name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        )
        return
    yield from named(domain, at, names.dns_subdomain)
    if "." not in domain:
        yield fields.invalid(
            at, name, "should be a domain with at least two segments separated by dots"
        )
    if "/" in path:
        yield fields.invalid(
            at,
            name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        )
    elif not path:
        yield fields.invalid(at, name, "validate path: name part must be non-empty")
