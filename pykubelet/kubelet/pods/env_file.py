"""Environment files, as `fileKeyRef` reads them: a small, strict part of POSIX shell syntax. Pure.

`NAME='value'` a line; between the quotes everything is literal, newlines too; a comment may follow
the closing quote. Blank lines and lines that start with `#` are skipped. `NAME= 'x'` sets NAME to
nothing, as a shell would. Source: KEP-3721.
"""

from __future__ import annotations

from pykubelet.errors import Invalid


def value_of(text: str, key: str) -> str | None:
    """The value of the first `key` in an environment file; None where it has none.

    Raises Invalid, naming the line, for a file that strays from the syntax before `key` is found.
    """
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at].removesuffix("\r").lstrip(" \t")
        at += 1
        if not line or line.startswith("#"):
            continue
        name, equals, rest = line.partition("=")
        if not equals:
            raise _wrong(at, "missing '='")
        if not name:
            raise _wrong(at, "empty variable name")
        if name != name.rstrip(" \t"):
            raise _wrong(at, "whitespace before '=' is not allowed")
        if rest.startswith((" ", "\t")):
            if name == key:
                return ""
            continue
        if not rest.startswith("'"):
            raise _wrong(at, "value must be enclosed in single quotes")
        opened, value, rest = at, "", rest[1:]
        while "'" not in rest:
            if at == len(lines):
                raise _wrong(opened, "unclosed single quote")
            value, rest = f"{value}{rest}\n", lines[at].removesuffix("\r")
            at += 1
        last, _, after = rest.partition("'")
        if after.strip(" \t") and not after.lstrip(" \t").startswith("#"):
            raise _wrong(at, "unexpected content after closing quote")
        if name == key:
            return value + last
    return None


def _wrong(line: int, why: str) -> Invalid:
    return Invalid(f"invalid environment variable format at line {line}: {why}")
