"""Paths to fields, and what is wrong with one.

The shape check (`schema`), the semantic checks (`validation`) and every message that names a place
in an object use these. A path is a tuple of names and indices; written out it is upstream's
`spec.containers[0].ports[1].hostPort`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]


def written(path: Path) -> str:
    """A path as upstream writes it. A key that is no plain name stands in brackets."""
    out = ""
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        elif step.startswith("["):
            out += step
        else:
            out += f".{step}" if out else step
    return out


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field.

    `kind` is, from the shape check, `unknown`, `type`, `required` or `duplicate`; from validation,
    upstream's reason: `FieldValueRequired`, `FieldValueInvalid`, `FieldValueDuplicate`,
    `FieldValueNotSupported`, `FieldValueForbidden`, `FieldValueTooLong`, `FieldValueTooMany`,
    `FieldValueNotFound`, `InternalError`. `message` is upstream's text after the path, where the
    error comes from validation.
    """

    path: Path
    expected: str
    found: str
    kind: str
    message: str = ""

    def __str__(self) -> str:
        if self.message:
            return f"{written(self.path)}: {self.message}"
        if self.kind == "unknown":
            return f"{written(self.path)}: unknown field; expected {self.expected}"
        if self.kind == "required":
            return f"{written(self.path)}: missing; expected {self.expected}"
        return f"{written(self.path)}: expected {self.expected}; found {self.found}"


# -- the errors of validation, in upstream's words ----------------------------------------------


def required(path: Path, detail: str = "") -> FieldError:
    return _error("FieldValueRequired", path, "Required value", detail, expected=detail)


def invalid(path: Path, value: Any, detail: str) -> FieldError:
    return _error("FieldValueInvalid", path, f"Invalid value: {shown(value)}", detail, value)


def duplicate(path: Path, value: Any) -> FieldError:
    return _error(
        "FieldValueDuplicate", path, f"Duplicate value: {shown(value)}", "", value, "each once"
    )


def forbidden(path: Path, detail: str) -> FieldError:
    return _error("FieldValueForbidden", path, "Forbidden", detail)


def not_found(path: Path, value: Any) -> FieldError:
    return _error(
        "FieldValueNotFound", path, f"Not found: {shown(value)}", "", value, "something that exists"
    )


def not_supported(path: Path, value: Any, choices: Iterable[str]) -> FieldError:
    listed = ", ".join(f'"{choice}"' for choice in sorted(choices))
    detail = f"supported values: {listed}" if listed else ""
    what = f"Unsupported value: {shown(value)}"
    return _error("FieldValueNotSupported", path, what, detail, value, f"one of {listed}")


def too_long(path: Path, maximum: int) -> FieldError:
    detail = f"may not be more than {maximum} bytes"
    return _error("FieldValueTooLong", path, "Too long", detail)


def too_many(path: Path, count: int, maximum: int) -> FieldError:
    detail = f"must have at most {maximum} item{'s' if maximum != 1 else ''}"
    return _error("FieldValueTooMany", path, f"Too many: {count}", detail, count)


def shown(value: Any) -> str:
    """A value as upstream's messages show it: JSON, text quoted."""
    if value is None:
        return "null"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _error(
    kind: str, path: Path, what: str, detail: str, value: Any = None, expected: str = ""
) -> FieldError:
    message = f"{what}: {detail}" if detail else what
    return FieldError(
        path, expected or detail, "" if value is None else shown(value), kind, message
    )
