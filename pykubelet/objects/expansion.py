"""`$(NAME)` in commands, arguments, environment values and sub-paths. Pure.

`$(NAME)` is replaced by the value of NAME; what has no value stays as it is written. `$$` stands
for one `$`, so that `$$(NAME)` is the text `$(NAME)`. Values are not expanded again. Source: the
API reference, Container.command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")


def expand(text: str, mapping: Mapping[str, str] | Callable[[str], str]) -> str:
    """`text` with every reference replaced.

    A mapping leaves names that it does not hold as they are written; a callable answers for all.
    """
    if "$" not in text:
        return text

    def replacement(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        name = match[2]
        if callable(mapping):
            return mapping(name)
        return mapping.get(name, match[0])

    return _REFERENCE.sub(replacement, text)
