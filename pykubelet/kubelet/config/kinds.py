"""The kinds of value that a setting can have, and how each is read from a file, from a flag, and
written back.

A kind reads what YAML or JSON decoded (`read`) or what a person typed after a flag (`read_text`)
into the value that the agent works with, and writes that value in upstream's spelling (`write`).
It refuses with `Refused`, which knows what was expected, what was found and where below the field;
`reading` and `flags` add the file and line, or the flag's name.
"""

from __future__ import annotations

import ipaddress
import json
import os.path
from collections.abc import Mapping
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.kubelet.config import durations
from pykubelet.objects import quantity

Path = tuple[str | int, ...]


class Refused(Exception):
    """A value that can't be taken. `path` leads from the field to the part that is wrong."""

    def __init__(self, expected: str, found: Any, path: Path = ()) -> None:
        super().__init__(f"expected {expected}, found {shown(found)}")
        self.expected = expected
        self.found = shown(found)
        self.path = path

    def below(self, step: str | int) -> Refused:
        error = Refused(self.expected, None, (step, *self.path))
        error.found = self.found
        return error


class Unknown(Refused):
    """A field that upstream does not have. `path` ends with it; `known` are its neighbours."""

    def __init__(self, known: tuple[str, ...], path: Path) -> None:
        super().__init__("a field that upstream has", path[-1], path)
        self.known = known

    def below(self, step: str | int) -> Unknown:
        return Unknown(self.known, (step, *self.path))


def shown(value: Any) -> str:
    """A found value as it looks in the file, cut to what fits into a sentence."""
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


class Kind:
    """Any JSON value, taken as it is."""

    name = "any value"

    def read(self, value: Any) -> Any:
        return value

    def read_text(self, text: str) -> Any:
        return self.read(text)

    def write(self, value: Any) -> Any:
        return value


class Bool(Kind):
    name = "true or false"

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise Refused(self.name, value)
        return value

    def read_text(self, text: str) -> bool:
        if text.lower() not in ("true", "false", "1", "0", "t", "f"):
            raise Refused(self.name, text)
        return text.lower() in ("true", "1", "t")


class Integer(Kind):
    def __init__(self, low: int = -(2**63), high: int = 2**63 - 1) -> None:
        self.low, self.high = low, high
        self.name = _between("a whole number", low, high, -(2**63), 2**63 - 1)

    def read(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refused(self.name, value)
        if not self.low <= value <= self.high:
            raise Refused(self.name, value)
        return value

    def read_text(self, text: str) -> int:
        try:
            return self.read(int(text))
        except ValueError:
            raise Refused(self.name, text) from None


class Number(Kind):
    """A number above `low` and up to `high`."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.name = f"a number above {low:g}, up to {high:g}"

    def read(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Refused(self.name, value)
        if not self.low < value <= self.high:
            raise Refused(self.name, value)
        return float(value)

    def read_text(self, text: str) -> float:
        try:
            return self.read(float(text))
        except ValueError:
            raise Refused(self.name, text) from None


class Text(Kind):
    name = "text"

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Refused(self.name, value)
        return value


class Choice(Text):
    def __init__(self, *choices: str) -> None:
        self.choices = choices
        self.name = "one of " + ", ".join(choice or '""' for choice in choices)

    def read(self, value: Any) -> str:
        if value not in self.choices:
            raise Refused(self.name, value)
        return str(value)


class AbsolutePath(Text):
    """A path from the root, without `..` and `//`. The empty text stands for "none" if allowed."""

    def __init__(self, optional: bool = False) -> None:
        self.optional = optional
        self.name = "an absolute path" + (" or nothing" if optional else "")

    def read(self, value: Any) -> str:
        text = super().read(value)
        if not text and self.optional:
            return ""
        if not text.startswith("/") or "\0" in text or ".." in text.split("/"):
            raise Refused(self.name, value)
        return os.path.normpath(text)


class IPAddress(Text):
    name = "an IP address"

    def read(self, value: Any) -> str:
        try:
            return str(ipaddress.ip_address(super().read(value)))
        except ValueError:
            raise Refused(self.name, value) from None


class Network(Text):
    """One address range, or an IPv4 and an IPv6 one with a comma between."""

    name = "an address range such as 10.244.0.0/24"

    def read(self, value: Any) -> str:
        try:
            ranges = [ipaddress.ip_network(p.strip()) for p in super().read(value).split(",") if p]
        except ValueError:
            raise Refused(self.name, value) from None
        return ",".join(map(str, ranges))


class Endpoint(Text):
    """A unix socket; a bare path is taken as one, which people often write."""

    name = "an endpoint such as unix:///run/containerd/containerd.sock"

    def __init__(self, optional: bool = False) -> None:
        self.optional = optional

    def read(self, value: Any) -> str:
        text = super().read(value)
        if not text and self.optional:
            return ""
        path = text.removeprefix("unix://")
        if not path.startswith("/"):
            raise Refused(self.name, value)
        return f"unix://{path}"


class Duration(Kind):
    """Seconds inside, Go's spelling outside."""

    def __init__(self, low: float = 0.0, high: float = float("inf"), zero: bool = False) -> None:
        """`zero`: 0 is allowed too, though it is below `low`."""
        self.low, self.high, self.zero = low, high, zero
        self.name = "a duration such as 1m30s"
        if high != float("inf"):
            self.name += f", from {durations.spell(low)} to {durations.spell(high)}"
        elif low > 0:
            self.name += f", {'0 or ' if zero else ''}at least {durations.spell(low)}"

    def read(self, value: Any) -> float:
        try:
            seconds = durations.parse(value) if isinstance(value, str) else None
        except ValueError:
            seconds = None
        # Upstream takes a bare 0 as well, and people write it.
        if value == 0 and not isinstance(value, (bool, float)):
            seconds = 0.0
        if seconds is None or not (
            self.low <= seconds <= self.high or (self.zero and seconds == 0)
        ):
            raise Refused(self.name, value)
        return seconds

    def write(self, value: Any) -> str:
        return durations.spell(value)


class Size(Kind):
    """Bytes inside, a quantity outside."""

    name = "a size such as 10Mi"

    def read(self, value: Any) -> int:
        try:
            size = quantity.to_int(quantity.parse(value))
        except Invalid:
            raise Refused(self.name, value) from None
        if size <= 0:
            raise Refused(self.name, value)
        return size

    def write(self, value: Any) -> str:
        return quantity.spell(value, "binary")


class Quantity(Text):
    """A quantity that is kept as text, because its reader knows what it measures."""

    name = "a quantity such as 500m or 1Gi"

    def read(self, value: Any) -> str:
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise Refused(self.name, value)
        if not quantity.is_quantity(value) or quantity.parse(value) < 0:
            raise Refused(self.name, value)
        return str(value)


class Threshold(Quantity):
    """An eviction threshold: a quantity, or a share such as `10%`."""

    name = "a quantity such as 100Mi, or a percentage such as 10%"

    def read(self, value: Any) -> str:
        if isinstance(value, str) and value.endswith("%"):
            try:
                share = float(value[:-1])
            except ValueError:
                raise Refused(self.name, value) from None
            if not 0 <= share <= 100:
                raise Refused(self.name, value)
            return value
        return super().read(value)


class ListOf(Kind):
    """A list; after a flag, with commas between."""

    def __init__(self, item: Kind) -> None:
        self.item = item
        self.name = f"a list, each item {item.name}"

    def read(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Refused(self.name, value)
        items = []
        for number, item in enumerate(value):
            try:
                items.append(self.item.read(item))
            except Refused as error:
                raise error.below(number) from None
        return tuple(items)

    def read_text(self, text: str) -> tuple[Any, ...]:
        return tuple(self.item.read_text(item.strip()) for item in text.split(",") if item.strip())

    def write(self, value: Any) -> list[Any]:
        return [self.item.write(item) for item in value]


class MapOf(Kind):
    """A map from names to values; after a flag, `name=value,...` (`name<value` for thresholds)."""

    def __init__(self, item: Kind, keys: tuple[str, ...] = (), sign: str = "=") -> None:
        self.item, self.keys, self.sign = item, keys, sign
        self.name = f"a map, each value {item.name}"

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Refused(self.name, value)
        found = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise Refused("a name as key", key, (str(key),))
            if self.keys and key not in self.keys:
                raise Refused("one of " + ", ".join(self.keys), key, (key,))
            try:
                found[key] = self.item.read(item)
            except Refused as error:
                raise error.below(key) from None
        return found

    def read_text(self, text: str) -> dict[str, Any]:
        pairs = {}
        for pair in filter(None, map(str.strip, text.split(","))):
            key, sign, value = pair.partition(self.sign)
            if not sign:
                raise Refused(f"name{self.sign}value, with commas between", pair)
            pairs[key.strip()] = value.strip()
        return self.read(pairs)

    def write(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self.item.write(item) for key, item in value.items()}


class Record(Kind):
    """A map with known fields; `required` ones have to be there."""

    name = "a map"

    def __init__(self, fields: Mapping[str, Kind], required: tuple[str, ...] = ()) -> None:
        self.fields, self.required = fields, required

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Refused(f"a map with {', '.join(self.fields)}", value)
        found = {}
        for key, item in value.items():
            if key not in self.fields:
                raise Unknown(tuple(self.fields), (key,))
            try:
                found[key] = self.fields[key].read(item)
            except Refused as error:
                raise error.below(key) from None
        for key in self.required:
            if key not in found:
                raise Refused(f"{key}, which is required", value)
        return found


class Taint(Record):
    """A node taint; after a flag, `key=value:Effect` or `key:Effect`."""

    def __init__(self) -> None:
        effects = Choice("NoSchedule", "PreferNoSchedule", "NoExecute")
        fields = {"key": Text(), "value": Text(), "effect": effects}
        super().__init__(fields, required=("key", "effect"))

    def read_text(self, text: str) -> dict[str, Any]:
        left, colon, effect = text.rpartition(":")
        if not colon:
            raise Refused("key=value:Effect", text)
        key, _, value = left.partition("=")
        return self.read({"key": key, "value": value, "effect": effect})


def _between(what: str, low: int, high: int, lowest: int, highest: int) -> str:
    if low == lowest and high == highest:
        return what
    if high == highest:
        return f"{what}, {low} or more"
    return f"{what} from {low} to {high}"
