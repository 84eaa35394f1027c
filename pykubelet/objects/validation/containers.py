"""The containers of a pod: regular, init (and sidecar), ephemeral."""

from __future__ import annotations

from pykubelet.objects import fields, names
from pykubelet.objects.fields import Path
from pykubelet.objects.validation import environment, handlers
from pykubelet.objects.validation.mounts import mounts
from pykubelet.objects.validation.requirements import requirements
from pykubelet.objects.validation.resolver import address
from pykubelet.objects.validation.rules import (
    Errors,
    Json,
    chosen,
    named,
    port_number,
    required_name,
)
from pykubelet.objects.validation.security import container_context

_POLICIES = ("Always", "Never", "OnFailure")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_RUN_TO_END = "may not be set for init containers without restartPolicy=Always"
_NOT_EPHEMERAL = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle",
                  "resources", "resizePolicy")  # fmt: skip
_MOST_RULES, _MOST_EXIT_CODES = 20, 255


def containers(spec: Json, path: Path, template: bool = False) -> Errors:
    """All containers of a pod spec."""
    volumes = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
    seen: set[str] = set()
    if not spec.get("containers"):
        yield fields.required((*path, "containers"))
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            at = (*path, kind, index)
            yield from _common(container, spec, volumes, at, template)
            name = container.get("name") or ""
            if name and name in seen:
                yield fields.duplicate((*at, "name"), name)
            seen.add(name)
            if kind == "initContainers":
                yield from _init(container, at)
            if kind == "ephemeralContainers":
                yield from _ephemeral(container, spec, at)
    yield from _host_ports(spec, path)


def _common(
    container: Json, spec: Json, volumes: dict[str, Json], path: Path, template: bool
) -> Errors:
    grace = spec.get("terminationGracePeriodSeconds") or 0
    yield from required_name(container, "name", path, names.dns_label)
    image = container.get("image") or ""
    if not image:
        yield fields.required((*path, "image"))
    elif image != image.strip() and not template:
        yield fields.invalid(
            (*path, "image"), image, "must not have leading or trailing whitespace"
        )
    yield from chosen(container, "terminationMessagePolicy", _MESSAGE_POLICIES, path, empty=False)
    yield from chosen(container, "imagePullPolicy", _PULL_POLICIES, path, empty=False)
    yield from _ports(container.get("ports") or (), (*path, "ports"))
    yield from environment.variables(container.get("env") or [], (*path, "env"))
    yield from environment.sources(container.get("envFrom") or [], (*path, "envFrom"))
    yield from mounts(container, volumes, path)
    if "lifecycle" in container:
        yield from handlers.lifecycle(container["lifecycle"], (*path, "lifecycle"), grace)
    yield from handlers.probes(container, path, grace)
    yield from requirements(container.get("resources"), (*path, "resources"))
    yield from _claims(container, spec, (*path, "resources", "claims"))
    yield from _resize(container, (*path, "resizePolicy"))
    yield from _restart(container, path)
    if "securityContext" in container:
        shares = spec.get("hostUsers") is not False
        yield from container_context(
            container["securityContext"], (*path, "securityContext"), shares
        )


def _ports(given: list[Json] | tuple[Json, ...], path: Path) -> Errors:
    seen: set[str] = set()
    for index, port in enumerate(given):
        at = (*path, index)
        name = port.get("name") or ""
        complaints = names.port_name(name) if name else []
        yield from (fields.invalid((*at, "name"), name, said) for said in complaints)
        if name and not complaints and name in seen:
            yield fields.duplicate((*at, "name"), name)
        seen.add(name)
        if not port.get("containerPort"):
            yield fields.required((*at, "containerPort"))
        else:
            yield from port_number(port["containerPort"], (*at, "containerPort"))
        if port.get("hostPort"):
            yield from port_number(port["hostPort"], (*at, "hostPort"))
        if port.get("hostIP"):
            yield from address(port["hostIP"], (*at, "hostIP"))
        yield from chosen(port, "protocol", _PROTOCOLS, at, empty=False)


def _host_ports(spec: Json, path: Path) -> Errors:
    """No two containers that run at once have the same port of the host."""
    taken: set[str] = set()
    running = [("containers", i, c) for i, c in enumerate(spec.get("containers") or ())]
    running += [
        ("initContainers", i, c)
        for i, c in enumerate(spec.get("initContainers") or ())
        if c.get("restartPolicy") == "Always"
    ]
    for kind, index, container in running:
        for number, port in enumerate(container.get("ports") or ()):
            at = (*path, kind, index, "ports", number)
            if spec.get("hostNetwork") and port.get("hostPort") != port.get("containerPort"):
                yield fields.invalid(
                    (*at, "containerPort"),
                    port.get("containerPort"),
                    "must match `hostPort` when `hostNetwork` is true",
                )
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if key in taken:
                yield fields.duplicate((*at, "hostPort"), key)
            taken.add(key)


def _init(container: Json, path: Path) -> Errors:
    if container.get("restartPolicy") == "Always":
        return
    for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if key in container:
            yield fields.forbidden((*path, key), _RUN_TO_END)


def _ephemeral(container: Json, spec: Json, path: Path) -> Errors:
    for key in _NOT_EPHEMERAL:
        if container.get(key):
            yield fields.forbidden((*path, key), "cannot be set for an Ephemeral Container")
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for key in ("subPath", "subPathExpr"):
            if mount.get(key):
                yield fields.forbidden(
                    (*path, "volumeMounts", index, key), "cannot be set for an Ephemeral Container"
                )
    target = container.get("targetContainerName")
    known = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    if target and target not in [one.get("name") for one in known]:
        yield fields.not_found((*path, "targetContainerName"), target)


def _claims(container: Json, spec: Json, path: Path) -> Errors:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    for index, claim in enumerate((container.get("resources") or {}).get("claims") or ()):
        if not claim.get("name"):
            yield fields.required((*path, index))
        elif claim["name"] not in known:
            yield fields.not_found((*path, index), claim["name"])


def _resize(container: Json, path: Path) -> Errors:
    seen: set[str] = set()
    for index, one in enumerate(container.get("resizePolicy") or ()):
        name = one.get("resourceName") or ""
        if name in seen:
            yield fields.duplicate((*path, index), name)
        seen.add(name)
        yield from chosen(one, "resourceName", ("cpu", "memory"), path, empty=False)
        yield from chosen(
            one, "restartPolicy", ("NotRequired", "RestartContainer"), path, empty=False
        )


def _restart(container: Json, path: Path) -> Errors:
    """A policy of its own, and rules by exit code (KEP-5307)."""
    yield from chosen(container, "restartPolicy", _POLICIES, path)
    rules = container.get("restartPolicyRules") or ()
    at = (*path, "restartPolicyRules")
    if rules and not container.get("restartPolicy"):
        yield fields.required(
            (*path, "restartPolicy"), "must specify restartPolicy when restart rules are used"
        )
    if len(rules) > _MOST_RULES:
        yield fields.too_many(at, len(rules), _MOST_RULES)
    for index, rule in enumerate(rules):
        here = (*at, index)
        yield from chosen(rule, "action", ("Restart", "RestartAllContainers"), here, empty=False)
        codes = rule.get("exitCodes")
        if codes is None:
            yield fields.required((*here, "exitCodes"), "must be specified")
            continue
        yield from chosen(codes, "operator", ("In", "NotIn"), (*here, "exitCodes"), empty=False)
        values = codes.get("values") or ()
        if not values:
            yield fields.required((*here, "exitCodes", "values"), "must specify at least one value")
        elif len(values) > _MOST_EXIT_CODES:
            yield fields.too_many((*here, "exitCodes", "values"), len(values), _MOST_EXIT_CODES)


def image_pull_secrets(given: list[Json] | tuple[Json, ...], path: Path) -> Errors:
    for index, reference in enumerate(given):
        if reference.get("name"):
            yield from named(reference["name"], (*path, index, "name"), names.dns_subdomain)
