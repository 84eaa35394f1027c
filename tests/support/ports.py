"""Ports that stay free until the program started for them listens there.

The kernel hands out its ephemeral ports again at once, to any outgoing connection on the machine:
a test that asks for port 0, closes the socket and passes the number on loses that race now and
then. These come from below the ephemeral range (and below the node ports' range), and no two
processes of one test run look in the same place.
"""

from __future__ import annotations

import itertools
import os
import socket

_FIRST, _LAST = 12000, 29999  # 10250 and its like are below, node ports and ephemeral ones above
_numbers = itertools.count(os.getpid() * 97)


def free_ports(count: int) -> list[int]:
    """That many different ports on which nobody listens, none given out before by this process."""
    ports: list[int] = []
    while len(ports) < count:
        port = _FIRST + next(_numbers) % (_LAST - _FIRST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
        ports.append(port)
    return ports


def free_port() -> int:
    return free_ports(1)[0]
