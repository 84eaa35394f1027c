"""What a plain YAML scalar stands for, as upstream's reader (sigs.k8s.io/yaml) resolves it.

YAML 1.1 with Go's habits: `yes`, `on` and `y` are booleans, `0x1f`, `0o17`, `017` and `1_000` are
integers, `1:30` and timestamps are text. A whole float is an integer once it is JSON. The caller is
`documents`.
"""

from __future__ import annotations

import base64
import math
import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **{
        form: value
        for word, value in (
            ("y", True),
            ("yes", True),
            ("on", True),
            ("true", True),
            ("n", False),
            ("no", False),
            ("off", False),
            ("false", False),
            ("null", None),
        )
        for form in (word, word.capitalize(), word.upper())
    },
    "~": None,
    "": None,
}
_STARTS_NUMBER = frozenset("+-.0123456789")
_INT = re.compile(
    r"[-+]?(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)"
    r"|(?P<dec>0|[1-9][0-9]*))"
)
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TAGS = "tag:yaml.org,2002:"


def plain(text: str) -> Scalar:
    """The value of an unquoted, untagged scalar. Raises ValueError where JSON has no such value."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _STARTS_NUMBER:
        return text
    number = _number(text)
    return text if number is None else number


def tagged(tag: str, text: str) -> Scalar:
    """The value of a scalar with an explicit tag. Raises ValueError where the two don't fit."""
    name = tag.removeprefix(_TAGS) if tag.startswith(_TAGS) else tag
    if name in ("!", "str", "timestamp"):
        return text
    if name == "binary":
        return base64.b64decode(text, validate=False).decode()
    value = plain(text)
    match name:
        case "null" if value is None:
            return None
        case "bool" if isinstance(value, bool):
            return value
        case "int" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "float" if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    raise ValueError(f"{text!r} tagged {tag}")


def whole(number: float) -> int | float:
    """A JSON number from a float: an integer where it is one. ValueError unless finite."""
    if not math.isfinite(number):
        raise ValueError(f"{number}, which JSON has no number for")
    return int(number) if number.is_integer() and abs(number) < 2**63 else number


def _number(text: str) -> int | float | None:
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text}, which JSON has no number for")
    bare = text.replace("_", "")
    if match := _INT.fullmatch(bare):
        kind = match.lastgroup or "dec"
        if len(match[kind]) <= 64:
            value = int(match[kind], _BASES[kind]) * (-1 if bare[0] == "-" else 1)
            if -(2**63) <= value < 2**64:
                return value
    if _FLOAT.fullmatch(bare):
        return whole(float(bare))
    return None
