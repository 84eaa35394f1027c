"""Refusals: Status objects with upstream's codes, reasons and words.

Whatever goes wrong while a request is served is raised as a `Refusal`; the server turns it into a
response. Source: API conventions, "Response Status Kind", and apimachinery's errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.resources.registry import Resource
from pykubelet.errors import PykubeletError
from pykubelet.objects.fields import FieldError, written

Json = dict[str, Any]


class Refusal(PykubeletError):
    """A request that isn't granted, and the Status that says so."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = {key: value for key, value in details.items() if value}

    def status(self) -> Json:
        made: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            made["reason"] = self.reason
        if self.details:
            made["details"] = self.details
        return {**made, "code": self.code}

    def response(self) -> Response:
        headers: tuple[tuple[str, str], ...] = ()
        if "retryAfterSeconds" in self.details:
            headers = (("Retry-After", str(self.details["retryAfterSeconds"])),)
        return Response(self.code, orjson.dumps(self.status()) + b"\n", headers=headers)


def success(**more: Any) -> Json:
    """The Status of something done that has no other answer."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", **more}


def not_found(resource: Resource, name: str) -> Refusal:
    return Refusal(404, "NotFound", f'{resource.qualified} "{name}" not found', name=name,
                   group=resource.group, kind=resource.plural)  # fmt: skip


def no_such_resource() -> Refusal:
    return Refusal(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> Refusal:
    return Refusal(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists',
                   name=name, group=resource.group, kind=resource.plural)  # fmt: skip


def conflict(
    resource: Resource,
    name: str,
    why: str = "the object has been modified; please apply your changes to the latest version and "
    "try again",
    causes: Sequence[Json] = (),
) -> Refusal:
    return Refusal(409, "Conflict",
                   f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}',
                   name=name, group=resource.group, kind=resource.plural,
                   causes=list(causes))  # fmt: skip


def invalid(resource: Resource, name: str, errors: Iterable[FieldError]) -> Refusal:
    """Validation failed. Same errors are told once."""
    told = list(dict.fromkeys((e.kind, e.message or str(e), written(e.path)) for e in errors))
    texts = [f"{path}: {message}" if path else message for _, message, path in told]
    message = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    causes = [{"reason": reason, "message": text, "field": path} for reason, text, path in told]
    return Refusal(422, "Invalid", f'{kind} "{name}" is invalid: {message}', name=name,
                   group=resource.group, kind=resource.kind, causes=causes)  # fmt: skip


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def unauthorized() -> Refusal:
    return Refusal(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, name: str, why: str) -> Refusal:
    shown = f'{resource.qualified} "{name}" is forbidden: {why}'
    if not name:
        shown = f"{resource.qualified} is forbidden: {why}"
    return Refusal(403, "Forbidden", shown, name=name, group=resource.group, kind=resource.plural)


def not_allowed() -> Refusal:
    return Refusal(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )


def not_acceptable(accepted: Iterable[str]) -> Refusal:
    return Refusal(
        406,
        "NotAcceptable",
        "only the following media types are accepted: " + ", ".join(accepted),
    )


def unsupported_media_type(accepted: Iterable[str]) -> Refusal:
    return Refusal(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted),
    )


def too_large(most: int) -> Refusal:
    return Refusal(
        413,
        "RequestEntityTooLarge",
        f"Request entity too large: an object has at most {most} bytes",
    )


def expired(message: str) -> Refusal:
    return Refusal(410, "Expired", message)


def too_large_version(wanted: int, current: int) -> Refusal:
    return Refusal(504, "Timeout", f"Too large resource version: {wanted}, current: {current}",
                   retryAfterSeconds=1,
                   causes=[{"reason": "ResourceVersionTooLarge",
                            "message": "Too large resource version"}])  # fmt: skip


def unavailable(message: str) -> Refusal:
    return Refusal(503, "ServiceUnavailable", message, retryAfterSeconds=1)


def internal(message: str) -> Refusal:
    return Refusal(500, "InternalError", f"Internal error occurred: {message}",
                   causes=[{"message": message}])  # fmt: skip
