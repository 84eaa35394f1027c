"""Protobuf messages made at run time from compact tables, with no generated code.

Generated stubs are large, import slowly, and refuse every protobuf runtime older than the compiler
that made them. What a message *is* takes a few facts only: names, numbers and types. Those are kept
in `*.schema` text files beside the module that speaks the protocol, and this module turns such a
table into message classes of the installed protobuf library (4.25 and newer), each table in a pool
of its own, so that two tables never clash. Who calls the services is none of our business here:
`Method` is all that a gRPC adapter needs.

A table is read line by line; `#` starts a comment, a section's content is indented:

    syntax proto3                     # or proto2; holds until the next such line
    package runtime.v1                # opens a package; a table may have several

    enum Protocol TCP UDP SCTP        # numbered from 0; `NAME=7` sets the number and goes on
        MORE VALUES                   # ... which may go on in indented lines
    message PortMapping
        1 protocol Protocol           # number, name, type
        2 container_port int32?       # `?`: keeps "not set" apart from zero
        3 args [string]               # repeated
        4 labels {string string}      # map
        5 version int64 |target       # `|`: member of the oneof called target
    service RuntimeService
        Version VersionRequest -> VersionResponse
        Events EventsRequest -> stream Event

A type is a scalar of protobuf, a name of the same package, or `some.package.Name` of this table.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from pykubelet.errors import Invalid

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in _Field.Type.items()
    if name not in ("TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM")
}

# A message class of protobuf: its fields exist only at run time.
Message = Any


@dataclass(frozen=True, slots=True)
class Method:
    """One call of a service. `path` is what goes over the wire: `/package.Service/Name`."""

    name: str
    path: str
    request: Message
    response: Message
    request_streams: bool
    response_streams: bool


class Table:
    """The messages and services of one schema text.

    `table["Version"]` is the message class of that name in the table's last package;
    `table["some.package.Name"]` finds one in any. A class takes its fields as keyword arguments,
    nested messages as plain dicts, enums as their names. Raises `Invalid` where the text is wrong.
    """

    def __init__(self, text: str, origin: str = "table") -> None:
        reader = _Reader(origin)
        for number, line in enumerate(text.splitlines(), 1):
            reader.read(number, line.partition("#")[0].rstrip())
        self._pool = descriptor_pool.DescriptorPool()
        for file in reader.finish():
            self._pool.Add(file)
        self._package = reader.file.package
        self._classes: dict[str, Message] = {}

    def __getitem__(self, name: str) -> Message:
        full = name if "." in name else self._full(name)
        if full not in self._classes:
            descriptor = self._pool.FindMessageTypeByName(full)
            self._classes[full] = message_factory.GetMessageClass(descriptor)
        return self._classes[full]

    def methods(self, service: str) -> Mapping[str, Method]:
        """The calls of a service, by name."""
        descriptor = self._pool.FindServiceByName(
            service if "." in service else self._full(service)
        )
        made = {}
        for method in descriptor.methods:
            facts = descriptor_pb2.MethodDescriptorProto()
            method.CopyToProto(facts)
            made[method.name] = Method(
                name=method.name,
                path=f"/{descriptor.full_name}/{method.name}",
                request=self[method.input_type.full_name],
                response=self[method.output_type.full_name],
                request_streams=facts.client_streaming,
                response_streams=facts.server_streaming,
            )
        return made

    def enum(self, name: str) -> Mapping[str, int]:
        """The numbers of an enum, by name."""
        descriptor = self._pool.FindEnumTypeByName(name if "." in name else self._full(name))
        return {value.name: value.number for value in descriptor.values}

    def _full(self, name: str) -> str:
        return f"{self._package}.{name}" if self._package else name


def load(package: str, file: str) -> Table:
    """The table in `file`, which is shipped inside the Python package `package`."""
    # importlib.resources would cost 10 ms and 1.5 MB of modules.
    data = pkgutil.get_data(package, file)
    if data is None:
        raise Invalid("is not part of this installation", where=f"{package}/{file}")
    return Table(data.decode(), file)


class _Reader:
    """Builds one file descriptor a package; types are settled when all names are known."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._line = 0
        self._files: list[Any] = []
        self._kinds: dict[str, int] = {}
        self._open: Any = None
        self._next_value = 0
        self._syntax = "proto3"
        self.file: Any = None

    def read(self, number: int, line: str) -> None:
        self._line = number
        words = line.split()
        if not words:
            return
        try:
            if line[0].isspace():
                self._inside(words)
            else:
                self._section(words)
        except (ValueError, IndexError, KeyError) as error:
            raise self._wrong(f"can't be read: {line.strip()}") from error

    def finish(self) -> Iterator[Any]:
        for place, file in enumerate(self._files):
            file.dependency.extend(earlier.name for earlier in self._files[:place])
            for message in file.message_type:
                self._settle(file.package, message.field)
                for field in message.field:
                    if field.proto3_optional:
                        # proto3 keeps presence in a oneof of one member, after all real ones.
                        field.oneof_index = len(message.oneof_decl)
                        message.oneof_decl.add(name=f"_{field.name}")
                for nested in message.nested_type:
                    self._settle(file.package, nested.field)
            for service in file.service:
                for method in service.method:
                    method.input_type = self._resolve(file.package, method.input_type)[0]
                    method.output_type = self._resolve(file.package, method.output_type)[0]
            yield file

    def _section(self, words: list[str]) -> None:
        keyword, name, *rest = words
        self._open = None
        if keyword == "syntax":
            self._syntax = {"proto2": "proto2", "proto3": "proto3"}[name]
            return
        if keyword == "package" or self.file is None:
            package = name if keyword == "package" else ""
            label = f"{self._origin}.{len(self._files)}.proto"
            self.file = descriptor_pb2.FileDescriptorProto(
                name=label, package=package, syntax=self._syntax
            )
            self._files.append(self.file)
        if keyword == "package":
            return
        full = f".{self.file.package}.{name}" if self.file.package else f".{name}"
        if keyword == "message":
            self._open = self.file.message_type.add(name=name)
            self._kinds[full] = _Field.TYPE_MESSAGE
        elif keyword == "enum":
            self._open = self.file.enum_type.add(name=name)
            self._kinds[full] = _Field.TYPE_ENUM
            self._next_value = 0
            self._values(rest)
        elif keyword == "service":
            self._open = self.file.service.add(name=name)
        else:
            raise self._wrong(f"unknown section {keyword!r}")

    def _inside(self, words: list[str]) -> None:
        if isinstance(self._open, descriptor_pb2.DescriptorProto):
            self._field(self._open, words)
        elif isinstance(self._open, descriptor_pb2.EnumDescriptorProto):
            self._values(words)
        elif isinstance(self._open, descriptor_pb2.ServiceDescriptorProto):
            name, request, response = (part.split() for part in _split_method(words))
            self._open.method.add(
                name=name[0],
                input_type=request[-1],
                output_type=response[-1],
                client_streaming=request[0] == "stream",
                server_streaming=response[0] == "stream",
            )
        else:
            raise self._wrong("an indented line outside of a section")

    def _values(self, words: list[str]) -> None:
        for word in words:
            name, _, number = word.partition("=")
            self._next_value = int(number) if number else self._next_value
            self._open.value.add(name=name, number=self._next_value)
            self._next_value += 1

    def _field(self, message: Any, words: list[str]) -> None:
        number, name = int(words[0]), words[1]
        rest = words[2:]
        member = rest.pop()[1:] if rest[-1].startswith("|") else ""
        kind = " ".join(rest)
        field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
        if kind.startswith("{"):
            key, value = kind.strip("{}").split()
            entry = message.nested_type.add(name=_entry_name(name))
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type_name=key, label=_Field.LABEL_OPTIONAL)
            entry.field.add(name="value", number=2, type_name=value, label=_Field.LABEL_OPTIONAL)
            full = [self.file.package, message.name, entry.name]
            field.type_name = "." + ".".join(part for part in full if part)
            field.label = _Field.LABEL_REPEATED
            self._kinds[field.type_name] = _Field.TYPE_MESSAGE
        elif kind.startswith("["):
            field.type_name = kind.strip("[]")
            field.label = _Field.LABEL_REPEATED
        else:
            field.type_name = kind.rstrip("?")
        field.proto3_optional = kind.endswith("?") and self._syntax == "proto3"
        if member:
            names = [oneof.name for oneof in message.oneof_decl]
            if member not in names:
                message.oneof_decl.add(name=member)
                names.append(member)
            field.oneof_index = names.index(member)

    def _settle(self, package: str, fields: Any) -> None:
        for field in fields:
            if field.type_name in _SCALARS:
                field.type = _SCALARS[field.type_name]
                field.ClearField("type_name")
            else:
                field.type_name, field.type = self._resolve(package, field.type_name)

    def _resolve(self, package: str, name: str) -> tuple[str, int]:
        if name.startswith("."):
            full = name
        elif "." in name or not package:
            full = f".{name}"
        else:
            full = f".{package}.{name}"
        if full not in self._kinds:
            raise Invalid(
                f"no type is called {name}", where=self._origin, remedy="add it to the table"
            )
        return full, self._kinds[full]

    def _wrong(self, what: str) -> Invalid:
        return Invalid(what, where=f"{self._origin}:{self._line}")


def _split_method(words: list[str]) -> tuple[str, str, str]:
    arrow = words.index("->")
    return words[0], " ".join(words[1:arrow]), " ".join(words[arrow + 1 :])


def _entry_name(field: str) -> str:
    """What protobuf demands that the entry message of a map field is called."""
    return "".join(part[:1].upper() + part[1:] for part in field.split("_")) + "Entry"
