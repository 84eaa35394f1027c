"""The command line's way to the agent: HTTP over its root-only socket.

No TLS, no token, no API server: whoever is root on the node is known by the kernel. Every command
that talks to the agent does it through here, and gets the same clear errors.
"""

from __future__ import annotations

import argparse
import errno
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pykubelet.errors import Failed, Invalid, NotFound, TimedOut, Unavailable

Json = dict[str, Any]

SOCKET = Path("/run/pykubelet/agent.sock")

_ERRORS = {400: Invalid, 404: NotFound, 503: Unavailable, 504: TimedOut}


def add_socket_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--socket",
        type=Path,
        default=Path(os.environ.get("PYKUBELET_SOCKET", SOCKET)),
        metavar="FILE",
        help="the agent's socket (default: $PYKUBELET_SOCKET or %(default)s)",
    )


class Agent:
    """Raises Unavailable where no agent listens, and what `pykubelet.errors` has for the rest."""

    def __init__(self, path: Path = SOCKET, timeout: float = 30.0) -> None:
        self.path = path
        self._timeout = timeout

    def get(self, *parts: str, **query: Any) -> Json:
        """The JSON at a path; `parts` are encoded, empty values of `query` are left out."""
        response = self._request(_target(parts, query))
        try:
            tree: Json = json.loads(response.read())
        except (ValueError, http.client.HTTPException, OSError) as error:
            raise Failed(f"the agent's answer can't be read: {error}") from error
        return tree

    def stream(self, *parts: str, **query: Any) -> Iterator[bytes]:
        """The body of a path as it comes, for as long as it takes."""
        response = self._request(_target(parts, query), patient=True)
        while True:
            try:
                piece = response.read1(64 * 1024)
            except http.client.IncompleteRead as error:
                yield error.partial
                raise Failed("the agent ended in the middle of its answer") from None
            except OSError as error:
                raise Failed(f"the agent is gone: {error}") from error
            if not piece:
                return
            yield piece

    def connect(self) -> socket.socket:
        """A connected socket, for streams that leave HTTP behind."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self._timeout)
        try:
            sock.connect(str(self.path))
        except OSError as error:
            sock.close()
            raise _unreachable(self.path, error) from error
        return sock

    def _request(self, target: str, patient: bool = False) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("localhost", timeout=self._timeout)
        sock = connection.sock = self.connect()
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            if response.status != 200:
                raise error_of(response.status, response.read().decode(errors="replace"))
        except TimeoutError:
            raise TimedOut(f"the agent did not answer within {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"the agent broke off: {error or type(error).__name__}") from error
        if patient:
            sock.settimeout(None)
        return response


def error_of(status: int, body: str) -> Exception:
    """What an error answer means, in our own words."""
    message = body.strip() or f"the agent answered {status}"
    return _ERRORS.get(status, Failed)(message)


def _target(parts: tuple[str, ...], query: dict[str, Any]) -> str:
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    given = {key: value for key, value in query.items() if value not in (None, "", False)}
    given = {key: "true" if value is True else value for key, value in given.items()}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _unreachable(path: Path, error: OSError) -> Unavailable:
    if error.errno in (errno.EACCES, errno.EPERM):
        return Unavailable(f"only root may ask the agent ({path}); try sudo")
    return Unavailable(
        f"the agent isn't running: nobody answers at {path}; "
        "start it with: systemctl start pykubelet (or: pykubelet run)"
    )
