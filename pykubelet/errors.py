"""The small family of errors that cross room boundaries.

An adapter maps what its library raises to one of these at the rim, so that the rooms inside catch
only these. Each says what happened; the ones that a person has to act on say also where, what was
expected, what was found and what to do.
"""

from __future__ import annotations


class PykubeletError(Exception):
    """Anything that this project raises on purpose."""


class Invalid(PykubeletError):
    """Input that can't be accepted as it stands; retrying the same input can't help."""

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        found: str = "",
        remedy: str = "",
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found
        self.remedy = remedy
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.found:
            parts.append(f"found {self.found}")
        if self.remedy:
            parts.append(self.remedy)
        return "; ".join(parts)


class Failed(PykubeletError):
    """An operation on the outside world failed; the same call may succeed later."""


class NotFound(Failed):
    """The thing named is not there (any more). For a removal this means success."""


class TimedOut(Failed):
    """No answer within the deadline: whether it happened is unknown, so look before acting."""


class Unavailable(Failed):
    """The peer (runtime, server, store) can't be reached at all."""
