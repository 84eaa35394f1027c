"""HTTP GET as the kubelet does it, for probes and hooks.

Sockets directly, for two reasons: the timeout holds for the whole exchange, however slowly the
server drips, and an exchange costs a quarter of what a general client's would. What is sent and how
the answer is judged are upstream's rules: certificates are not verified, a redirect is followed on
the same host name only, one to elsewhere counts as an answer, at most 10 KiB of the body are read.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from pykubelet.errors import Failed, Invalid, TimedOut
from pykubelet.kubelet.probes import targets
from pykubelet.kubelet.probes.state import Outcome
from pykubelet.kubelet.probes.targets import Target

Json = dict[str, Any]

USER_AGENT = "kube-probe/1.36"
BODY_LIMIT = 10 * 1024
_HEAD_LIMIT = 64 * 1024
_REDIRECTS = 10
_SAFE = "/?:@!$&'()*+,;=-._~%#[]"


class PlainAnswer(Failed):
    """The server answered a TLS greeting with plain HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`stopped` is the address of a redirect that was not followed."""

    status: int
    body: bytes = b""
    stopped: str = ""


def probe(action: Json, target: Target, timeout: float) -> tuple[Outcome, str]:
    """An httpGet probe: 200 to 399 is a success."""
    try:
        url = url_of(action, target)
    except Invalid as error:
        return Outcome.UNKNOWN, str(error)
    try:
        answer = get(url, headers_of(action), timeout)
    except Failed as error:
        return Outcome.FAILURE, f'Get "{url}": {error}'
    if 200 <= answer.status < 400:
        if answer.stopped:
            return Outcome.SUCCESS, f"redirect to {answer.stopped} not followed: another host"
        return Outcome.SUCCESS, ""
    return Outcome.FAILURE, f"HTTP probe failed with statuscode: {answer.status}"


def url_of(action: Json, target: Target, scheme: str = "") -> str:
    """The URL that an httpGet action asks for. Raises Invalid."""
    scheme = scheme or str(action.get("scheme") or "HTTP").lower()
    name = targets.bracketed(targets.host(action, target))
    number = targets.port(action.get("port"), target.container)
    path = quote(str(action.get("path") or "/"), safe=_SAFE)
    return f"{scheme}://{name}:{number}{path if path.startswith('/') else '/' + path}"


def headers_of(action: Json) -> list[tuple[str, str]]:
    """Upstream's own headers, unless the action gives them; given as empty, they are left out."""
    given = [(h["name"], h.get("value") or "") for h in action.get("httpHeaders") or ()]
    names = {name.lower() for name, _ in given}
    ours = [("User-Agent", USER_AGENT), ("Accept", "*/*")]
    return [(n, v) for n, v in ours if n.lower() not in names] + [
        (n, v) for n, v in given if v or n.lower() not in ("user-agent", "accept")
    ]


def get(url: str, headers: Sequence[tuple[str, str]], timeout: float) -> Answer:
    """One GET, redirects included, within `timeout` seconds.

    Raises TimedOut, PlainAnswer, or Failed with the reason.
    """
    deadline = time.monotonic() + timeout
    first = urlsplit(url)
    here, sent = first, headers
    for _ in range(_REDIRECTS):
        status, location, body = _exchange(here, sent, deadline)
        if status not in (301, 302, 303, 307, 308) or not location:
            return Answer(status, body)
        try:
            there = urlsplit(urljoin(here.geturl(), location))
            there_name, _ = there.hostname, there.port
        except ValueError:
            raise Failed(f"redirected to {location!r}, which is no address") from None
        if there_name != first.hostname or there.scheme not in ("http", "https"):
            return Answer(status, body, there.geturl())
        if there.netloc != here.netloc:  # a Host header was meant for the first server only
            sent = [(n, v) for n, v in sent if n.lower() != "host"]
        here = there
    raise Failed(f"stopped after {_REDIRECTS} redirects")


def _exchange(
    url: SplitResult, headers: Sequence[tuple[str, str]], deadline: float
) -> tuple[int, str, bytes]:
    """Status, Location and the beginning of the body of one request."""
    tls = url.scheme == "https"
    port = url.port or (443 if tls else 80)
    try:
        with socket.create_connection((url.hostname or "", port), _left(deadline)) as plain:
            if not tls:
                return _talk(plain, url, headers, deadline)
            plain.settimeout(_left(deadline))
            with _context().wrap_socket(plain, server_hostname=_server_name(url)) as connection:
                return _talk(connection, url, headers, deadline)
    except TimeoutError:
        raise TimedOut("timed out") from None
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
            raise PlainAnswer("the server answered HTTPS with HTTP") from None
        raise Failed(f"TLS: {error.reason or error}") from None
    except (OSError, UnicodeError) as error:
        raise Failed(getattr(error, "strerror", None) or str(error)) from None


def _talk(
    connection: socket.socket, url: SplitResult, headers: Sequence[tuple[str, str]], deadline: float
) -> tuple[int, str, bytes]:
    connection.settimeout(_left(deadline))
    connection.sendall(_request(url, headers))
    rest = b""
    while True:
        head, rest = _head(connection, rest, deadline)
        status, fields = _parse(head)
        if status >= 200 or status == 101:  # anything else below 200 is only an announcement
            break
    body = b"" if status in (101, 204, 304) else _body(connection, rest, fields, deadline)
    return status, fields.get("location", ""), body


def _request(url: SplitResult, headers: Sequence[tuple[str, str]]) -> bytes:
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    own_host = next((value for name, value in headers if name.lower() == "host" and value), "")
    lines = [f"GET {path} HTTP/1.1", f"Host: {own_host or url.netloc}"]
    lines += [f"{n}: {v}" for n, v in headers if n.lower() not in ("host", "connection")]
    lines.append("Connection: close")
    if any("\r" in line or "\n" in line for line in lines):
        raise Failed("a header must not hold a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def _head(connection: socket.socket, data: bytes, deadline: float) -> tuple[bytes, bytes]:
    while b"\r\n\r\n" not in data and b"\n\n" not in data:
        if len(data) > _HEAD_LIMIT:
            raise Failed("the answer's headers are too long")
        more = _receive(connection, deadline)
        if not more:
            raise Failed("the server closed the connection without an answer")
        data += more
    for end in (b"\r\n\r\n", b"\n\n"):
        head, found, rest = data.partition(end)
        if found:
            return head, rest
    return data, b""  # not reached


def _parse(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").splitlines() or [""]
    words = first.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        raise Failed(f"the answer is not HTTP: {first[:60]!r}")
    fields = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return int(words[1]), fields


def _body(connection: socket.socket, data: bytes, fields: dict[str, str], deadline: float) -> bytes:
    """Read on so that the server can end in peace, not because the body matters."""
    length = fields.get("content-length", "")
    enough = min(int(length), BODY_LIMIT) if length.isdecimal() else BODY_LIMIT
    chunked = "chunked" in fields.get("transfer-encoding", "").lower()
    while len(data) < enough and not (chunked and data.endswith(b"0\r\n\r\n")):
        more = _receive(connection, deadline)
        if not more:
            break
        data += more
    return data[:BODY_LIMIT]


def _receive(connection: socket.socket, deadline: float) -> bytes:
    connection.settimeout(_left(deadline))
    return connection.recv(16384)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _server_name(url: SplitResult) -> str | None:
    """SNI is for names; OpenSSL refuses some spellings of addresses."""
    name = url.hostname or ""
    return None if ":" in name or name.replace(".", "").isdecimal() else name


@lru_cache(maxsize=1)
def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
