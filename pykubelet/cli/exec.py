"""`pykubelet exec`: run a command in a container, with a terminal where one is wanted.

Through the agent's socket to the runtime's streaming server; the channels are `remotecommand`'s.
Ends with the command's own exit code.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlencode

from pykubelet.cli.agent import Agent, add_socket_option, error_of
from pykubelet.cli.names import Found, find
from pykubelet.client.remotecommand import (
    Channel,
    Channels,
    End,
    ExitStatus,
    Output,
    Reply,
    SpdyChannels,
    WebSocketChannels,
    resize,
)
from pykubelet.errors import Failed

SUMMARY = "run a command in a container"

_PIECE = 32 * 1024


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "pykubelet exec [options] [NAMESPACE/]POD [options] [--] COMMAND [ARGUMENT ...]"
    _add_options(parser)
    parser.add_argument("pod", metavar="[NAMESPACE/]POD", help="a static pod's short name will do")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    parser.epilog = (
        "Without a command, a shell in a terminal is started.\n"
        "Ends with the command's exit code.\n\n"
        "  pykubelet exec web -- ls -l /\n"
        "  pykubelet exec -it web\n"
        "  tar c site | pykubelet exec -i web -- tar x -C /srv"
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--container", default="", help="default: the pod's first")
    parser.add_argument("-n", "--namespace", default="")
    parser.add_argument("-i", "--stdin", action="store_true", help="pass standard input on")
    parser.add_argument("-t", "--tty", action="store_true", help="give the command a terminal")
    add_socket_option(parser)


def _command(args: argparse.Namespace) -> list[str]:
    """The command's own words; options between the pod and them go to `args`."""
    if args.words and args.words[0].startswith("-") and args.words[0] != "--":
        between = argparse.ArgumentParser(prog="pykubelet exec", add_help=False)
        _add_options(between)
        between.add_argument("words", nargs=argparse.REMAINDER)
        between.parse_args(args.words, args)
    words: list[str] = args.words
    return words[1:] if words[:1] == ["--"] else words


def run(args: argparse.Namespace) -> int:
    command = _command(args)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not command:
        command, args.stdin, args.tty = ["sh"], True, args.tty or terminal
    if args.tty and not terminal:
        print("no terminal here: the command gets none either", file=sys.stderr)
    tty = args.tty and terminal
    agent = Agent(args.socket)
    found = find(agent, args.pod, args.container, args.namespace)
    target = _target(found, command, args.stdin, tty)
    sock, channels, early = connect(agent, target, args.stdin, tty)
    with sock, _raw_terminal(tty):
        status = _Session(sock, channels, args.stdin, tty).run(early)
    if status is None:
        raise Failed("the connection broke off; whether the command still runs is unknown")
    if status.code is None:
        raise Failed(status.message)
    return status.code


def _target(found: Found, command: list[str], stdin: bool, tty: bool) -> str:
    path = "/".join(quote(p, safe="") for p in (found.namespace, found.pod, found.container))
    wanted = [("command", word) for word in command] + [("output", "1")]
    wanted += [("input", "1")] if stdin else []
    wanted += [("tty", "1")] if tty else [("error", "1")]
    return f"/exec/{path}?{urlencode(wanted)}"


def connect(
    agent: Agent, target: str, stdin: bool, tty: bool
) -> tuple[socket.socket, Channels, bytes]:
    """An upgraded connection, what is spoken on it, and the first bytes that came along.

    SPDY, and WebSocket where the runtime has given SPDY up. Raises what the agent answered.
    """
    choices: list[tuple[str, Channels]] = [
        ("POST", SpdyChannels(stdin, stdout=True, stderr=True, tty=tty)),
        ("GET", WebSocketChannels()),
    ]
    for method, channels in choices:
        sock = agent.connect()
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Content-Length: 0"]
        lines += [f"{name}: {value}" for name, value in channels.headers().items()]
        try:
            sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            status, headers, rest = _read_answer(sock)
            if status == 101:
                channels.accept(headers)
                return sock, channels, rest
            body = rest + _rest_of(sock)
        except ValueError as error:
            sock.close()
            raise Failed(str(error)) from error
        except OSError as error:
            sock.close()
            raise Failed(f"the agent broke off: {error}") from error
        sock.close()
        if not (method == "POST" and b"pgrade" in body and b"SPDY" in body):
            break
    raise error_of(status, body.decode(errors="replace"))


def _read_answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(_PIECE)
        if not piece:
            raise Failed("the agent ended without an answer")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (li.partition(":") for li in lines)}
    return int(first.split(" ")[1]), headers, rest


def _rest_of(sock: socket.socket) -> bytes:
    sock.shutdown(socket.SHUT_WR)
    rest = b""
    while piece := sock.recv(_PIECE):
        rest += piece
    return rest


class _Session:
    """Carries bytes between the terminal and the container until the command has ended."""

    def __init__(self, sock: socket.socket, channels: Channels, stdin: bool, tty: bool) -> None:
        self._sock = sock
        self._channels = channels
        self._stdin = stdin
        self._tty = tty

    def run(self, early: bytes) -> ExitStatus | None:
        self._sock.settimeout(None)
        self._sock.sendall(self._channels.begin())
        end = self._take(early) if early else None
        with _window_changes(self._tty) as changes:
            poll = select.poll()
            poll.register(self._sock, select.POLLIN)
            speaking = False
            while end is None:
                if not speaking and self._channels.ready:
                    speaking = True
                    self._begin_to_speak(poll, changes)
                ready = {descriptor for descriptor, _ in poll.poll()}
                if changes in ready:
                    os.read(changes, 512)
                    self._send_size()
                if 0 in ready and not self._pass_stdin():
                    poll.unregister(0)
                if self._sock.fileno() in ready:
                    try:
                        data = self._sock.recv(_PIECE)
                    except OSError:
                        data = b""
                    end = self._take(data) if data else End(None)
        return end.status

    def _begin_to_speak(self, poll: select.poll, changes: int) -> None:
        if self._stdin:
            poll.register(0, select.POLLIN)
        if self._tty:
            poll.register(changes, select.POLLIN)
            self._send_size()

    def _take(self, data: bytes) -> End | None:
        try:
            events = self._channels.receive(data)
        except ValueError as error:
            raise Failed(f"the runtime's stream makes no sense: {error}") from error
        for event in events:
            if isinstance(event, Output):
                stream = sys.stderr if event.channel is Channel.STDERR else sys.stdout
                stream.buffer.write(event.data)
                stream.buffer.flush()
            elif isinstance(event, Reply):
                self._sock.sendall(event.data)
            else:
                return event
        return None

    def _pass_stdin(self) -> bool:
        """Whether more may come."""
        data = os.read(0, _PIECE)
        try:
            if data:
                self._sock.sendall(self._channels.send(Channel.STDIN, data))
            else:
                self._sock.sendall(self._channels.end(Channel.STDIN))
        except OSError:
            return False  # the command has ended: reading will tell
        return bool(data)

    def _send_size(self) -> None:
        size = os.get_terminal_size(sys.stdout.fileno())
        self._sock.sendall(self._channels.send(Channel.RESIZE, resize(size.columns, size.lines)))


@contextmanager
def _raw_terminal(tty: bool) -> Iterator[None]:
    """Every key goes to the container as it is; the terminal is put back whatever happens."""
    if not tty:
        yield
        return
    import termios
    import tty as modes

    before = termios.tcgetattr(0)
    try:
        modes.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _window_changes(tty: bool) -> Iterator[int]:
    """A descriptor that turns readable when the terminal's size changes; -1 without a terminal."""
    if not tty:
        yield -1
        return
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.signal(signal.SIGWINCH, lambda *_: os.write(writing, b"w"))
    try:
        yield reading
    finally:
        signal.signal(signal.SIGWINCH, before)
        os.close(reading)
        os.close(writing)
