"""Hears at once when somebody changes nftables rules, ours or any.

The kernel tells of each transaction with one message (NFT_MSG_NEWGEN) that names the process. A
filter in the kernel keeps all the others away, of which a large transaction has thousands. iptables
over nftables is heard too; iptables' own tables of old tell nobody.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import socket
import struct
import threading
from collections.abc import Callable

from pykubelet.proxy import nfnetlink

log = logging.getLogger(__name__)

_GROUP = 7  # NFNLGRP_NFTABLES
_ADD_MEMBERSHIP, _SOL_NETLINK = 1, 270
_SO_ATTACH_FILTER = 26
#: Reads the 16 bits of nlmsg_type, in network order as such filters do, and keeps one kind.
_FILTER = (
    (0x28, 0, 0, 4),
    (0x15, 0, 1, socket.ntohs(nfnetlink.NEW_GENERATION)),
    (0x06, 0, 0, 0xFFFFFFFF),
    (0x06, 0, 0, 0),
)


class Watching:
    """`heard(process id, process name)` is called, on a thread of its own, for each transaction.
    (0, "") where some were missed."""

    def __init__(self, heard: Callable[[int, str], None]) -> None:
        self._heard = heard
        self._socket: socket.socket | None = None
        self._closing, self._closed = os.pipe()
        self._thread = threading.Thread(target=self._run, name="rule-watch", daemon=True)

    def start(self) -> bool:
        """In the network namespace of the calling thread. Whether anything can be heard."""
        connection = nfnetlink.connect()
        try:
            program = b"".join(struct.pack("=HBBI", *line) for line in _FILTER)
            buffer = ctypes.create_string_buffer(program)
            prog = struct.pack("@HP", len(_FILTER), ctypes.addressof(buffer))
            connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, prog)
            connection.bind((0, 0))
            connection.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
        except OSError as error:
            connection.close()
            log.info("changes by others are only seen by the periodic check: %s", error.strerror)
            return False
        connection.setblocking(False)
        self._socket = connection
        self._thread.start()
        return True

    def stop(self) -> None:
        os.close(self._closed)
        if self._thread.is_alive():
            self._thread.join(5)
        os.close(self._closing)
        if self._socket:
            self._socket.close()

    def _run(self) -> None:
        assert self._socket
        while True:
            ready, _, _ = select.select([self._socket.fileno(), self._closing], [], [])
            if self._closing in ready:
                return
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                continue
            except OSError:  # ENOBUFS: more than the socket could hold
                self._heard(0, "")
                continue
            for kind, body in nfnetlink.messages(data):
                if kind == nfnetlink.NEW_GENERATION:
                    _, process, name = nfnetlink.read_generation(body)
                    self._heard(process, name)
