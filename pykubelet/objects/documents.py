"""YAML and JSON text into JSON trees, with the line of everything in it.

`read` takes what a person wrote (a manifest, a configuration file, a request body in YAML) and
gives one Document for each object in it. What a scalar means is told by `scalars`; keys become
text, and merge keys (`<<`) are followed.

Text from anywhere must not hurt: the depth, and what aliases may stand for, are bounded while the
tree is built from the parser's events, with no recursion. A key given twice is refused, since one
of the two values would silently be lost. Positions cost several times the reading itself, so a
Document finds them only when asked, that is, when there is something to complain about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from pykubelet.errors import Invalid
from pykubelet.objects import scalars

Json = dict[str, Any]
Path = tuple[str | int, ...]

MAX_DEPTH = 100
"""Levels of nesting. No built-in type comes near; only a recursive custom schema may need many."""
MAX_ALIASED = 100_000
"""How much (values, and 16 characters count as one) aliases may stand for in one document."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "<<"


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file: its tree, and what is needed to find a line in it later."""

    object: Json
    source: str
    """The name of the file, for messages."""
    text: str
    """The text that holds it, alone or as document number `index`."""
    index: int = 0
    first_line: int = 1
    """Where `text` starts in the file."""

    def line(self, path: Path = ()) -> int:
        """The line (from 1) of what stands at `path`, or of the nearest thing above it that the
        text shows. For an entry of a mapping it is the key's line."""
        try:
            return self.first_line + _line(self.text, self.index, path)
        except yaml.YAMLError:
            return self.first_line  # JSON that isn't YAML (a tab, say)

    def where(self, path: Path = ()) -> str:
        """`file:line`, for a message."""
        return f"{self.source}:{self.line(path)}"


def read(text: str | bytes, source: str) -> list[Document]:
    """The objects in a YAML or JSON text, in order. Empty documents are skipped.

    Raises Invalid, with file and line, on anything that isn't a series of mappings.
    """
    text = _decode(text, source)
    if text.lstrip()[:1] == "{":
        try:
            return list(_read_json(text, source))
        except (ValueError, RecursionError):
            pass  # YAML in flow style; or broken, and then the YAML reader tells where
    return list(_read_yaml(text, source))


def _decode(text: str | bytes, source: str) -> str:
    if isinstance(text, bytes):
        try:
            return text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = text[: error.start].count(b"\n") + 1
            raise Invalid(
                "not text",
                where=f"{source}:{line}",
                expected="UTF-8",
                found=f"byte 0x{text[error.start]:02x}",
            ) from None
    return text.removeprefix("\ufeff")


# -- JSON, the quick way -------------------------------------------------------------------------


def _read_json(text: str, source: str) -> Iterator[Document]:
    """Objects one after the other. ValueError or RecursionError where it isn't plain good JSON."""
    decoder = json.JSONDecoder(
        object_pairs_hook=_once_each, parse_constant=_refuse, parse_float=_finite, parse_int=_int
    )
    at = _skip_space(text, 0)
    while at < len(text):
        tree, end = decoder.raw_decode(text, at)
        if not isinstance(tree, dict) or _deeper(tree, MAX_DEPTH):
            raise ValueError
        if "\\u" in text:
            json.dumps(tree, ensure_ascii=False).encode()  # ValueError for half a surrogate pair
        yield Document(tree, source, text[at:end], 0, text.count("\n", 0, at) + 1)
        at = _skip_space(text, end)


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _once_each(items: list[tuple[str, Any]]) -> Json:
    made = dict(items)
    if len(made) != len(items):
        raise ValueError("duplicate key")
    return made


def _refuse(_: str) -> float:
    raise ValueError


def _finite(text: str) -> float:
    number = float(text)
    scalars.whole(number)
    return number


def _int(text: str) -> int | float:
    """64 bits, signed or not, as an integer; what is larger as a float, as Go's decoder does."""
    if len(text) > 20:
        return _finite(text)
    number = int(text)
    return number if -(2**63) <= number < 2**64 else float(text)


def _deeper(tree: object, than: int) -> bool:
    level: list[Any] = [tree]
    for _ in range(than):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


# -- YAML ----------------------------------------------------------------------------------------


def _events(text: str, wanted: int | None = None) -> Iterator[tuple[int, Any]]:
    """The parser's events within documents, each with its document's number."""
    loader = _Loader(text)
    try:
        index = -1
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.DocumentStartEvent):
                index += 1
            elif isinstance(event, yaml.StreamEndEvent):
                return
            if index >= 0 and (wanted is None or index == wanted):
                yield index, event
    finally:
        loader.dispose()


def _read_yaml(text: str, source: str) -> Iterator[Document]:
    builder = _Builder(source)
    try:
        for index, event in _events(text):
            if isinstance(event, yaml.DocumentStartEvent):
                builder = _Builder(source)
            elif isinstance(event, yaml.DocumentEndEvent):
                if builder.root is None:
                    continue
                if not isinstance(builder.root, dict):
                    raise Invalid(
                        "not an object",
                        where=f"{source}:{builder.first_line}",
                        expected="a mapping (key: value)",
                        found=_describe(builder.root),
                    )
                yield Document(builder.root, source, text, index)
            else:
                builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        last = len(text.splitlines()) or 1  # at the end of the text, the mark is one line beyond
        where = f"{source}:{min(mark.line + 1, last)}" if mark else source
        raise Invalid("not YAML", where=where, expected="well-formed YAML", found=said) from None
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise Invalid("not YAML", where=source, expected="well-formed YAML", found=said) from None


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet."""

    value: Any
    line: int
    anchor: str | None
    key: str | None = None
    merges: list[Any] | None = None
    weight: int = 1


class _Builder:
    """One document's tree, from events."""

    def __init__(self, source: str) -> None:
        self.root: Any = None
        self.first_line = 1
        self._source = source
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._aliased = 0

    def take(self, event: Any) -> None:
        kind = type(event)
        line = event.start_mark.line + 1
        if not self._open:
            self.first_line = line
        if kind is yaml.ScalarEvent:
            value = self._scalar(event, line)
            weight = 1 + len(event.value) // 16
            if event.anchor:
                self._anchors[event.anchor] = value, weight
            self._add(value, weight, line)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._start({} if kind is yaml.MappingStartEvent else [], event, line)
        elif kind is yaml.AliasEvent:
            self._alias(event.anchor, line)
        else:
            self._end()

    def _start(self, value: Any, event: Any, line: int) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise self._wrong("nested too deep", line, f"at most {MAX_DEPTH} levels", "more")
        if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise self._wrong("unknown tag", line, "a plain mapping or list", event.tag)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(value, line, event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        for merged in done.merges or ():
            for key, value in merged.items():
                done.value.setdefault(key, value)
        if done.anchor:
            self._anchors[done.anchor] = done.value, done.weight
        self._add(done.value, done.weight, done.line)

    def _alias(self, name: str, line: int) -> None:
        known = self._anchors.get(name)
        if known is None:
            found = f"*{name} inside itself" if name in self._anchors else f"*{name}"
            raise self._wrong("unknown alias", line, "an anchor that came before", found)
        value, weight = known
        self._aliased += weight
        if self._aliased > MAX_ALIASED:
            raise self._wrong(
                "aliases stand for too much", line, f"at most {MAX_ALIASED} values", f"*{name}"
            )
        self._add(value, weight, line)

    def _add(self, value: Any, weight: int, line: int) -> None:
        if not self._open:
            self.root = value
            return
        into = self._open[-1]
        into.weight += weight
        if isinstance(into.value, list):
            into.value.append(value)
        elif into.key is None:
            into.key = self._key(value, line)
            if into.key in into.value:
                raise self._wrong("duplicate key", line, "each key once", repr(into.key))
        elif into.key == _MERGE:
            into.key = None
            into.merges = self._merges(value, line)
        else:
            into.value[into.key] = value
            into.key = None

    def _merges(self, value: Any, line: int) -> list[Any]:
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(item, dict) for item in sources):
            raise self._wrong("nothing to merge", line, "a mapping, or a list of them", "<<")
        return sources

    def _scalar(self, event: Any, line: int) -> scalars.Scalar:
        try:
            if event.tag is not None:
                return scalars.tagged(event.tag, event.value)
            return scalars.plain(event.value) if event.implicit[0] else str(event.value)
        except ValueError as error:
            raise self._wrong("no such value", line, "a JSON value", str(error)) from None

    def _key(self, value: Any, line: int) -> str:
        match value:
            case str():
                return value
            case bool():
                return "true" if value else "false"
            case int() | float():
                return json.dumps(value)
        raise self._wrong("not a key", line, "text", _describe(value))

    def _wrong(self, what: str, line: int, expected: str, found: str) -> Invalid:
        return Invalid(what, where=f"{self._source}:{line}", expected=expected, found=found)


def _describe(value: object) -> str:
    match value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "nothing (null)"
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else shown[:57] + "..."


# -- Lines ---------------------------------------------------------------------------------------


def _line(text: str, index: int, path: Path) -> int:
    """The line (from 0) of `path`, or of its longest prefix that is written out."""
    here: list[str | int | None] = []  # the path of what comes next; None: a key comes next
    best, best_length = 0, -1

    def seen(line: int, length: int) -> None:
        nonlocal best, best_length
        if length > best_length and tuple(here[:length]) == path[:length]:
            best, best_length = line, length

    for _, event in _events(text, index):
        if isinstance(event, yaml.DocumentStartEvent | yaml.DocumentEndEvent):
            continue
        line = event.start_mark.line
        if isinstance(event, yaml.CollectionEndEvent):
            here.pop()
        elif here and here[-1] is None:
            here[-1] = str(event.value) if isinstance(event, yaml.ScalarEvent) else ""
            seen(line, len(here))
            continue
        else:
            seen(line, len(here))
            if isinstance(event, yaml.MappingStartEvent):
                here.append(None)
                continue
            if isinstance(event, yaml.SequenceStartEvent):
                here.append(0)
                continue
        # A value is complete: what comes next is the next item, or the next key.
        if best_length == len(path):
            break
        if here:
            here[-1] = here[-1] + 1 if isinstance(here[-1], int) else None
    return best
