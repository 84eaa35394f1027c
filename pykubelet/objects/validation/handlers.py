"""Probes and lifecycle hooks, and the actions that both are made of."""

from __future__ import annotations

from pykubelet.objects import fields, names
from pykubelet.objects.fields import FieldError, Path
from pykubelet.objects.validation.rules import (
    Errors,
    Json,
    chosen,
    exactly_one,
    named,
    not_negative,
    port_number,
    port_number_or_name,
    positive,
    present,
)

_TIMES = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
          "failureThreshold")  # fmt: skip
_PROBE_ACTIONS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_ACTIONS = ("exec", "httpGet", "tcpSocket", "sleep")


def probes(container: Json, path: Path, grace: int) -> Errors:
    """All three of a container."""
    for name in ("livenessProbe", "startupProbe", "readinessProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        at = (*path, name)
        yield from action(probe, _PROBE_ACTIONS, at, grace)
        yield from not_negative(probe, _TIMES, at)
        if name == "readinessProbe":
            if probe.get("terminationGracePeriodSeconds") is not None:
                yield fields.invalid(
                    (*at, "terminationGracePeriodSeconds"),
                    probe["terminationGracePeriodSeconds"],
                    "must not be set for readinessProbes",
                )
            continue
        yield from positive(probe, "terminationGracePeriodSeconds", at)
        if probe.get("successThreshold") != 1:
            yield fields.invalid(
                (*at, "successThreshold"), probe.get("successThreshold", 0), "must be 1"
            )


def lifecycle(given: Json, path: Path, grace: int) -> Errors:
    for hook in ("postStart", "preStop"):
        if hook in given:
            yield from action(given[hook], _HOOK_ACTIONS, (*path, hook), grace)


def action(given: Json, choices: tuple[str, ...], path: Path, grace: int) -> Errors:
    """The one action of a probe or hook. `grace` is the pod's grace period in seconds."""
    for found in exactly_one(given, choices, path, "handler type", "must specify a handler type"):
        if isinstance(found, FieldError):
            yield found
            continue
        at = (*path, found)
        does = given[found]
        match found:
            case "exec":
                yield from present(does, ("command",), at)
            case "httpGet":
                yield from present(does, ("path",), at)
                yield from port_number_or_name(does.get("port"), (*at, "port"))
                yield from chosen(does, "scheme", ("HTTP", "HTTPS"), at, empty=False)
                for header in does.get("httpHeaders") or ():
                    yield from named(
                        header.get("name") or "", (*at, "httpHeaders"), names.http_header
                    )
            case "tcpSocket":
                yield from port_number_or_name(does.get("port"), (*at, "port"))
            case "grpc":
                yield from port_number(does.get("port") or 0, (*at, "port"))
            case "sleep" if not 0 <= does.get("seconds", 0) <= grace:
                yield fields.invalid(
                    at,
                    does.get("seconds", 0),
                    f"must be non-negative and less than terminationGracePeriodSeconds ({grace})",
                )
