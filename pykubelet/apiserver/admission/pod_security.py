"""PodSecurity: namespaces say by labels how much their pods may ask of the node.

`enforce` refuses pods, `warn` and `audit` only tell, for pods and for what makes pods. Raising the
level of a namespace warns of the pods in it that would not be let in any more. What each level
forbids is in `pod_standards`. Source: "Pod Security Admission".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pykubelet.apiserver import status
from pykubelet.apiserver.admission import pod_standards as standards
from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin
from pykubelet.objects import fields
from pykubelet.objects.fields import FieldError

Json = dict[str, Any]

_PREFIX = "pod-security.kubernetes.io/"
_MODES = ("enforce", "audit", "warn")
_MOST_PODS = 3000
_TEMPLATES = {
    "replicationcontrollers": ("spec", "template"),
    "podtemplates": ("template",),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")


class Policy:
    """What a namespace's labels ask for one mode: a level, and the version it is meant as of."""

    __slots__ = ("level", "minor", "version")

    def __init__(self, labels: Json, mode: str) -> None:
        self.level = labels.get(f"{_PREFIX}{mode}") or standards.PRIVILEGED
        self.version = labels.get(f"{_PREFIX}{mode}-version") or "latest"
        match = _VERSION.fullmatch(self.version)
        self.minor = int(match[1]) if match else standards.LATEST
        if not match and self.version != "latest":
            self.version = "latest"
        if self.level not in standards.LEVELS:  # labels that can't be read are read strictly
            self.level = standards.RESTRICTED

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    def violations(self, metadata: Json, spec: Json) -> str:
        found = standards.violations(metadata, spec, self.level, self.minor)
        return standards.sentence(found)


async def _check(asked: Asked) -> None:
    if asked.operation not in (CREATE, UPDATE):
        return
    if asked.resource == "namespaces":
        if not asked.subresource:
            _check_namespace(asked)
    elif asked.resource == "pods":
        if asked.subresource in ("", "ephemeralcontainers"):
            _check_pod(asked)
    elif asked.resource in _TEMPLATES and not asked.subresource:
        _check_template(asked)


def _labels(asked: Asked) -> Json:
    namespace = asked.object("namespaces", asked.namespace) or {"metadata": {}}
    return namespace["metadata"].get("labels") or {}


def _check_pod(asked: Asked) -> None:
    labels = _labels(asked)
    if not any(label.startswith(_PREFIX) for label in labels):
        return
    meta, spec = asked.new["metadata"], asked.new.get("spec") or {}
    if asked.operation == UPDATE and not _matters(asked.new, asked.old or {}):
        return
    enforced = Policy(labels, "enforce")
    found = enforced.violations(meta, spec)
    if found:
        raise asked.forbidden(f'violates PodSecurity "{enforced}": {found}')
    warned = Policy(labels, "warn")
    found = warned.violations(meta, spec)
    if found:
        asked.warn(f'would violate PodSecurity "{warned}": {found}')


def _matters(new: Json, old: Json) -> bool:
    """Whether an update of a pod changes anything that the standards look at."""

    def seen(pod: Json) -> Json:
        spec = {k: v for k, v in (pod.get("spec") or {}).items()
                if k not in ("tolerations", "activeDeadlineSeconds")}  # fmt: skip
        for kind in ("containers", "initContainers"):
            if kind in spec:
                spec[kind] = [{**one, "image": ""} for one in spec[kind] or ()]
        return {"annotations": pod["metadata"].get("annotations"), "spec": spec}

    return seen(new) != seen(old)


def _check_template(asked: Asked) -> None:
    labels = _labels(asked)
    if f"{_PREFIX}warn" not in labels and f"{_PREFIX}enforce" not in labels:
        return
    template: Any = asked.new
    for step in _TEMPLATES[asked.resource]:
        template = (template or {}).get(step)
    if not template:
        return
    policy = Policy(labels, "warn")
    found = policy.violations(template.get("metadata") or {}, template.get("spec") or {})
    if found:
        asked.warn(f'would violate PodSecurity "{policy}": {found}')


def _check_namespace(asked: Asked) -> None:
    labels = asked.new["metadata"].get("labels") or {}
    before = ((asked.old or {}).get("metadata") or {}).get("labels") or {}
    changed = {key: value for key, value in labels.items() if before.get(key) != value}
    errors = list(_wrong(changed))
    if errors:
        raise status.invalid(asked.call.resource, asked.name, errors)
    if asked.operation != UPDATE:
        return
    policy = Policy(labels, "enforce")
    if policy.level == standards.PRIVILEGED or str(policy) == str(Policy(before, "enforce")):
        return
    found: dict[str, list[str]] = {}
    for pod in _some(asked.objects("pods", asked.name)):
        why = standards.violations(pod["metadata"], pod.get("spec") or {}, policy.level,
                                   policy.minor)  # fmt: skip
        if why:
            reasons = ", ".join(dict.fromkeys(reason for reason, _ in why))
            found.setdefault(reasons, []).append(pod["metadata"]["name"])
    if found:
        asked.warn(
            f'existing pods in namespace "{asked.name}" violate the new PodSecurity enforce level '
            f'"{policy}"'
        )
    for reasons, names in sorted(found.items(), key=lambda one: min(one[1])):
        others = len(names) - 1
        more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
        asked.warn(f"{min(names)}{more}: {reasons}")


def _some(pods: Iterator[Json]) -> Iterator[Json]:
    for _, pod in zip(range(_MOST_PODS), pods, strict=False):
        yield pod


def _wrong(labels: Json) -> Iterator[FieldError]:
    for mode in _MODES:
        level = labels.get(f"{_PREFIX}{mode}")
        if level is not None and level not in standards.LEVELS:
            yield fields.invalid(
                ("metadata", "labels", f"[{_PREFIX}{mode}]"), level,
                "must be one of " + ", ".join(standards.LEVELS),
            )  # fmt: skip
        version = labels.get(f"{_PREFIX}{mode}-version")
        if version not in (None, "latest") and not _VERSION.fullmatch(version):
            yield fields.invalid(
                ("metadata", "labels", f"[{_PREFIX}{mode}-version]"), version,
                'must be "latest" or "v1.x"',
            )  # fmt: skip


PLUGIN = Plugin("PodSecurity", check=_check)
