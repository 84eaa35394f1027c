"""Pods and pod templates as a whole. The parts are in the modules beside this one."""

from __future__ import annotations

from pykubelet.objects import fields, names
from pykubelet.objects.fields import FieldError, Path
from pykubelet.objects.validation.containers import containers, image_pull_secrets
from pykubelet.objects.validation.meta import all_of, annotation_map, labels, metadata
from pykubelet.objects.validation.requirements import amount, requirements, resource_name
from pykubelet.objects.validation.resolver import names_of_pod
from pykubelet.objects.validation.rules import (
    INT32_MAX,
    Errors,
    Json,
    between,
    chosen,
    named,
    not_negative,
    optional_name,
    required_name,
    unique,
)
from pykubelet.objects.validation.scheduling import affinity, node_labels, spread, tolerations
from pykubelet.objects.validation.security import pod_context
from pykubelet.objects.validation.volumes import volumes

_MIRROR = "kubernetes.io/config.mirror"
_NOT_ON_WINDOWS = ("hostPID", "hostIPC", "shareProcessNamespace")


def validate(pod: Json) -> list[FieldError]:
    """Everything wrong with a pod that has been defaulted; nothing if it is good."""
    return all_of(metadata(pod, names.dns_subdomain, namespaced=True), checks(pod))


def checks(pod: Json) -> Errors:
    """The same without what is common to the metadata of all objects."""
    yield from _annotations(pod)
    yield from spec(pod.get("spec") or {}, ("spec",))


def template(given: Json, path: Path) -> Errors:
    """A `PodTemplateSpec`, as controllers have it."""
    meta = given.get("metadata") or {}
    yield from labels(meta.get("labels"), (*path, "labels"))
    yield from annotation_map(meta.get("annotations"), (*path, "annotations"))
    yield from spec(given.get("spec") or {}, (*path, "spec"), in_template=True)
    if (given.get("spec") or {}).get("ephemeralContainers"):
        yield fields.forbidden(
            (*path, "spec", "ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        )


def spec(given: Json, path: Path, in_template: bool = False) -> Errors:
    """A pod spec."""
    yield from volumes(given.get("volumes") or [], (*path, "volumes"))
    yield from containers(given, path, in_template)
    yield from chosen(given, "restartPolicy", ("Always", "Never", "OnFailure"), path, empty=False)
    yield from names_of_pod(given, path)
    yield from node_labels(given.get("nodeSelector"), (*path, "nodeSelector"))
    yield from pod_context(given.get("securityContext") or {}, given, (*path, "securityContext"))
    yield from image_pull_secrets(given.get("imagePullSecrets") or (), (*path, "imagePullSecrets"))
    yield from affinity(given.get("affinity") or {}, (*path, "affinity"))
    yield from tolerations(given.get("tolerations") or [], (*path, "tolerations"))
    yield from spread(
        given.get("topologySpreadConstraints") or [], (*path, "topologySpreadConstraints")
    )
    for key in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        yield from optional_name(given, key, path, names.dns_subdomain)
    yield from between(given, "activeDeadlineSeconds", 1, INT32_MAX, path)
    yield from not_negative(given, ("terminationGracePeriodSeconds",), path)
    yield from chosen(given, "preemptionPolicy", ("Never", "PreemptLowerPriority"), path)
    for index, gate in enumerate(given.get("readinessGates") or ()):
        yield from named(
            gate.get("conditionType") or "",
            (*path, "readinessGates", index, "conditionType"),
            names.qualified,
        )
    gates = given.get("schedulingGates") or []
    for index, gate in enumerate(gates):
        yield from named(gate.get("name") or "", (*path, "schedulingGates", index), names.qualified)
    yield from unique(gates, "name", (*path, "schedulingGates"))
    for name, value in (given.get("overhead") or {}).items():
        yield from resource_name(name, (*path, "overhead", f"[{name}]"))
        yield from amount(name, value, (*path, "overhead", f"[{name}]"))
    if "resources" in given:
        yield from requirements(given["resources"], (*path, "resources"), whole_pod=True)
    yield from _claims(given.get("resourceClaims") or [], (*path, "resourceClaims"))
    yield from _operating_system(given, path)


def _annotations(pod: Json) -> Errors:
    written = (pod.get("metadata") or {}).get("annotations") or {}
    if _MIRROR in written and not (pod.get("spec") or {}).get("nodeName"):
        yield fields.invalid(
            ("metadata", "annotations", f"[{_MIRROR}]"),
            written[_MIRROR],
            "must set spec.nodeName if mirror pod annotation is set",
        )


def _claims(claims: list[Json], path: Path) -> Errors:
    for index, claim in enumerate(claims):
        at = (*path, index)
        yield from required_name(claim, "name", at, names.dns_label)
        given = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if key in claim]
        for key in given:
            yield from named(claim[key], (*at, key), names.dns_subdomain)
        if len(given) != 1:
            yield fields.invalid(
                at,
                claim,
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
                if given
                else "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            )
    yield from unique(claims, "name", path)


def _operating_system(given: Json, path: Path) -> Errors:
    system = given.get("os")
    if system is None:
        return
    yield from chosen(system, "name", ("linux", "windows"), (*path, "os"), empty=False)
    if system.get("name") == "windows":
        for key in _NOT_ON_WINDOWS:
            if given.get(key):
                yield fields.forbidden((*path, key), "cannot be set for a windows pod")
