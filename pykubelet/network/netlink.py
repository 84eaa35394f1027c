"""A route-netlink socket: sends requests, waits for what the kernel says to each.

Plain and synchronous, because route netlink is: the kernel does the work inside `send`, and the
answers lie ready when it returns. Several requests go in one datagram and are carried out in
order. A socket costs 10 µs to open, so one is opened per operation, in whichever namespace the
calling thread is (`namespaces`), and nothing is kept or shared.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

from pykubelet.errors import Failed, TimedOut
from pykubelet.network.messages import NLM_F_ACK, NLM_F_DUMP, Request, encode_all

_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 10, 11, 12
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_MULTI, _NLM_F_DUMP_INTR = 0x2, 0x10
_NLM_F_ACK_TLVS = 0x200
_HEADER = struct.Struct("=IHHII")
_RECEIVE = 1 << 17  # the kernel fills at most 32 KB of a dump per datagram; extack needs less
_TIMEOUT = 30.0


class NetlinkError(Failed):
    """The kernel refused a request. `errno` is its reason; the text may add the kernel's own."""

    def __init__(self, number: int, what: str, detail: str = "") -> None:
        self.errno = number
        text = f"{what}: {os.strerror(number)}"
        super().__init__(f"{text} ({detail})" if detail else text)


class RouteSocket:
    """Use as a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        try:
            for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            self._socket.settimeout(_TIMEOUT)
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0

    def __enter__(self) -> RouteSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *requests: Request) -> None:
        """Carry out all, in order, as one datagram. The kernel goes on after a refusal; the first
        that its request does not forgive is raised as NetlinkError when all are answered."""
        start = self._sequence + 1
        self._sequence += len(requests)
        self._send(b"".join(encode_all(requests, start)))
        waiting = dict(enumerate(requests, start))
        refused: dict[int, NetlinkError] = {}
        while waiting:
            for kind, sequence, flags, data in self._receive():
                request = waiting.get(sequence)
                if kind != _NLMSG_ERROR or request is None:
                    continue
                del waiting[sequence]
                error = _refusal(data, flags, request)
                if error:
                    refused[sequence] = error
        if refused:
            raise refused[min(refused)]

    def ask(self, request: Request) -> list[Any]:
        """The decoded answers: one for a lookup, all of them for a dump."""
        is_dump = request.flags & NLM_F_DUMP == NLM_F_DUMP
        assert not request.flags & NLM_F_ACK
        for _ in range(5):
            answers, whole = self._ask(request, is_dump)
            if whole:
                break  # else the table changed under the dump: what we have is torn
        return answers

    def _ask(self, request: Request, is_dump: bool) -> tuple[list[Any], bool]:
        self._sequence += 1
        self._send(request.encode(self._sequence))
        answers: list[Any] = []
        whole = True
        while True:
            for kind, sequence, flags, data in self._receive():
                if sequence != self._sequence:
                    continue
                if flags & _NLM_F_DUMP_INTR:
                    whole = False
                if kind == _NLMSG_ERROR:
                    error = _refusal(data, flags, request)
                    if error:
                        raise error
                    return answers, whole
                if kind == _NLMSG_DONE:
                    return answers, whole
                message = request.codec(data)
                message.decode()
                answers.append(message)
                if not is_dump:
                    return answers, whole

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            raise NetlinkError(error.errno or 0, "netlink send") from error

    def _receive(self) -> list[tuple[int, int, int, bytes]]:
        try:
            buffer = self._socket.recv(_RECEIVE)
        except TimeoutError as error:
            raise TimedOut(f"the kernel gave no netlink answer in {_TIMEOUT:g} s") from error
        except OSError as error:
            raise NetlinkError(error.errno or 0, "netlink receive") from error
        found = []
        offset = 0
        while offset + _HEADER.size <= len(buffer):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(buffer, offset)
            found.append((kind, sequence, flags, buffer[offset : offset + length]))
            offset += max((length + 3) & ~3, _HEADER.size)
        return found


def _refusal(data: bytes, flags: int, request: Request) -> NetlinkError | None:
    number = -struct.unpack_from("=i", data, _HEADER.size)[0]
    if number == 0 or number in request.forgives:
        return None
    detail = ""
    if flags & _NLM_F_ACK_TLVS:
        # error code, echoed header, then attributes; NLMSGERR_ATTR_MSG is number 1
        detail = _string_attribute(data, _HEADER.size + 4 + _HEADER.size, 1)
    return NetlinkError(number, request.what, detail)


def _string_attribute(data: bytes, offset: int, wanted: int) -> str:
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        if kind & 0x3FFF == wanted:
            return data[offset + 4 : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += (length + 3) & ~3
    return ""
