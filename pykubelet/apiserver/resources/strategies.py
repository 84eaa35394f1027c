"""What is particular to a resource when its objects are written.

A strategy is a value: functions for defaulting, checking and the parts that a client may not set.
`generic` serves every resource that has nothing of its own; `builtin` is the table of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.apiserver.users import User
from pykubelet.objects import names
from pykubelet.objects.fields import FieldError

Json = dict[str, Any]
Errors = Iterable[FieldError]


def nothing(_: Json) -> None:
    return None


def no_status(obj: Json) -> None:
    """What clients say about the state of a new object doesn't count."""
    obj.pop("status", None)


def _no_errors(_: Json) -> Errors:
    return ()


def _no_update_errors(_: Json, __: Json) -> Errors:
    return ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a strategy may know of a request: who asks, when, and for which part of the object."""

    user: User
    now: str
    subresource: str = ""


def _no_stamp(_: Json, __: Json | None, ___: Circumstances) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Strategy:
    """`fill` puts defaults in, in place; `prepare_create` and `prepare_update` (new, old) set what
    clients may not; `validate` and `validate_update` find what is wrong, beyond metadata.
    `validate_create` holds for new objects only, `validate_status` (new, old) for the status."""

    fill: Callable[[Json], None] = nothing
    prepare_create: Callable[[Json], None] = no_status
    prepare_update: Callable[[Json, Json], None] = lambda new, old: None
    validate: Callable[[Json], Errors] = _no_errors
    validate_update: Callable[[Json, Json], Errors] = _no_update_errors
    validate_create: Callable[[Json], Errors] = _no_errors
    validate_status: Callable[[Json, Json], Errors] = _no_update_errors
    stamp: Callable[[Json, Json | None, Circumstances], None] = _no_stamp
    """Sets, in place, what depends on who asks and when: (new, old or None, circumstances)."""
    name_rule: names.Rule = names.dns_subdomain
    fields_of: Callable[[Json], Mapping[str, str]] | None = None
    """What field selectors can ask for besides `metadata.name` and `metadata.namespace`."""
    generation: bool = True
    """Whether `metadata.generation` counts the changes of what is wanted."""
    ttl: float = 0
    """Seconds after which an object goes away by itself; 0: never."""
    create_on_update: bool = False
    """Whether a PUT to a name that isn't there creates it."""
    unconditional_update: bool = True
    """Whether an update without a resourceVersion overwrites what is there."""

    @property
    def selectable(self) -> tuple[str, ...]:
        """The fields that field selectors can ask for."""
        return tuple(self.fields_of({})) if self.fields_of else ()


generic = Strategy()
