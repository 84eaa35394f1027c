"""What an API server says when it says no, as exceptions.

Every refusal is an `ApiError` with the Status object's fields; the ones that code reacts to have a
class of their own. What never reached the server is Unavailable or TimedOut (`pykubelet.errors`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykubelet import errors

Json = dict[str, Any]


class ApiError(errors.Failed):
    """`code` is the HTTP status, `reason` upstream's StatusReason, `details` of the Status."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        super().__init__(message or f"{code} {reason}")


class NotFound(ApiError, errors.NotFound):
    """404: no such object, or no such resource."""


class Conflict(ApiError):
    """409: the object has changed meanwhile; read it again."""


class AlreadyExists(ApiError):
    """409: an object of this name is there."""


class Gone(ApiError):
    """410: the resource version is too old; list again."""


class Rejected(ApiError):
    """400, 403 or 422: the same request can't succeed."""


class TooManyRequests(ApiError):
    """429: not now. `retry_after` seconds, where the server says."""

    @property
    def retry_after(self) -> float:
        return float(self.details.get("retryAfterSeconds") or 1)


def from_status(code: int, status: Mapping[str, Any]) -> ApiError:
    """The exception for an HTTP status and its (maybe empty) Status object."""
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or "")
    kind: type[ApiError] = ApiError
    if code == 404:
        kind = NotFound
    elif code == 409:
        kind = AlreadyExists if reason == "AlreadyExists" else Conflict
    elif code == 410:
        kind = Gone
    elif code == 429:
        kind = TooManyRequests
    elif code in (400, 401, 403, 422):
        kind = Rejected
    return kind(code, reason, message, status.get("details"))
