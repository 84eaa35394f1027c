"""A few questions to the kernel's packet filter, asked directly: they cost microseconds, where a
process costs milliseconds, and a process may not be installed.

Counts, numbers and tuples are read, so a few lines of netlink do; nft and iptables write. Message
and attribute numbers are those of linux/netfilter/{nfnetlink,nf_tables,nfnetlink_conntrack}.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from pykubelet.errors import Failed, TimedOut

NFNETLINK = 12
NFTABLES = 10 << 8
ANY, INET, IP, IP6 = 0, 1, 2, 10
NEW_GENERATION = NFTABLES | 15
_GET_TABLE, _GET_RULE, _GET_ELEMENTS = (NFTABLES | n for n in (1, 7, 13))
_NEW_RULE, _NEW_ELEMENTS = (NFTABLES | n for n in (6, 12))
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
_TABLE_NAME, _CHAIN_NAME, _SET_NAME, _ELEMENTS = 1, 2, 2, 3
_GENERATION_ID, _PROCESS_ID, _PROCESS_NAME = 1, 2, 3
_TIMEOUT = 10.0
_BUFFER = 1 << 18

Message = tuple[int, memoryview]


def table_exists(table: str) -> bool:
    """An inet table of nftables."""
    found = ask(_GET_TABLE, INET, _text(_TABLE_NAME, table))
    return any(kind != _ERROR for kind, _ in found)


def rule_count(table: str, chain: str = "", family: int = INET) -> int:
    """Of one chain, or of all."""
    asked = _text(_TABLE_NAME, table) + (_text(_CHAIN_NAME, chain) if chain else b"")
    return sum(kind == _NEW_RULE for kind, _ in ask(_GET_RULE, family, asked, dump=True))


def element_count(table: str, name: str) -> int:
    """Of a set or map."""
    asked = _text(_TABLE_NAME, table) + _text(_SET_NAME, name)
    return sum(
        sum(1 for _ in attributes(elements))
        for kind, body in ask(_GET_ELEMENTS, INET, asked, dump=True)
        if kind == _NEW_ELEMENTS
        for attribute, elements in attributes(body)
        if attribute == _ELEMENTS
    )


def read_generation(body: memoryview) -> tuple[int, int, str]:
    """Of a NEW_GENERATION message: (number, id of the process that made it, its name)."""
    found = dict(attributes(body))
    number = int.from_bytes(found.get(_GENERATION_ID, b""), "big")
    process = int.from_bytes(found.get(_PROCESS_ID, b""), "big")
    name = bytes(found.get(_PROCESS_NAME, b"")).rstrip(b"\0").decode(errors="replace")
    return number, process, name


# -- messages -----------------------------------------------------------------------------------


def ask(kind: int, family: int, asked: bytes = b"", *, dump: bool = False) -> list[Message]:
    """What comes back: (type, attributes) of each message. An error to a dump is an empty one; to a
    single question it is a message of type NLMSG_ERROR. Raises Failed where the kernel can't be
    asked at all."""
    found: list[Message] = []
    try:
        with connect() as connection:
            connection.send(message(kind, family, asked, _DUMP if dump else 0))
            while True:
                for answer, body in messages(connection.recv(_BUFFER)):
                    if answer == _DONE or (dump and answer == _ERROR):
                        return found
                    found.append((answer, body))
                if not dump:
                    return found
    except TimeoutError as error:
        raise TimedOut(f"the kernel's packet filter did not answer in {_TIMEOUT:g} s") from error
    except OSError as error:
        raise Failed(f"the kernel's packet filter can't be asked: {error.strerror}") from error


def connect() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    connection = socket.socket(socket.AF_NETLINK, kind, NFNETLINK)
    connection.settimeout(_TIMEOUT)
    return connection


def message(kind: int, family: int, asked: bytes, flags: int = 0) -> bytes:
    body = struct.pack("=BBH", family, 0, 0) + asked
    return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, 1, 0) + body


def messages(data: bytes) -> Iterator[Message]:
    """(type, attributes) of each message in what was received."""
    view = memoryview(data)
    at = 0
    while at + 16 <= len(view):
        length, kind = struct.unpack_from("=IH", view, at)
        if length < 16:
            return
        yield kind, view[at + 20 : at + length]
        at += (length + 3) & ~3


def attributes(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    at, end = 0, len(view)
    while at + 4 <= end:
        length, kind = struct.unpack_from("=HH", view, at)
        if length < 4:
            return
        yield kind & 0x3FFF, view[at + 4 : at + length]
        at += (length + 3) & ~3


def attribute(kind: int, content: bytes | memoryview) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind) + content + b"\0" * (-len(content) % 4)


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")
