"""`pykubelet logs`: what a container has printed.

Through the agent where one runs; without one, straight from the log files that the runtime keeps
on writing, since the moment in which the agent is down is when one wants to read them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pykubelet.cli.agent import Agent, add_socket_option
from pykubelet.cli.exits import OK
from pykubelet.cli.names import find
from pykubelet.errors import Invalid, Unavailable

SUMMARY = "what a container has printed"

LINKS = Path("/var/log/containers")
"""`<pod>_<namespace>_<container>-<id>.log`, a link for every container's newest log."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pod", metavar="[NAMESPACE/]POD", help="a static pod's short name will do")
    parser.add_argument("container", nargs="?", default="", help="default: the pod's first")
    parser.add_argument("-c", "--container", dest="named", default="", metavar="NAME")
    parser.add_argument("-n", "--namespace", default="")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until it ends")
    parser.add_argument("-p", "--previous", action="store_true", help="of the run before this one")
    parser.add_argument("--tail", type=_count, metavar="N", help="only the last N lines")
    parser.add_argument("--since", type=_seconds, metavar="AGE", help="not older than 90s, 5m, 2h")
    parser.add_argument("--since-time", metavar="TIME", help="not older than this RFC 3339 time")
    parser.add_argument("--timestamps", action="store_true", help="begin each line with its time")
    parser.add_argument("--limit-bytes", type=_count, metavar="N", help="at most N bytes")
    parser.add_argument("--stream", choices=("stdout", "stderr"), help="only this one")
    add_socket_option(parser)


def run(args: argparse.Namespace) -> int:
    container = args.named or args.container
    query = {
        "follow": args.follow,
        "previous": args.previous,
        "tailLines": "" if args.tail is None else str(args.tail),
        "sinceSeconds": args.since,
        "sinceTime": args.since_time,
        "timestamps": args.timestamps,
        "limitBytes": args.limit_bytes,
        "stream": (args.stream or "").capitalize(),
    }
    agent = Agent(args.socket)
    try:
        found = find(agent, args.pod, container, args.namespace)
    except Unavailable as error:
        _print(_from_files(args, container, query, error))
        return OK
    if found.others:
        print(f"container {found.container}; also there: {', '.join(found.others)} (-c NAME)",
              file=sys.stderr)  # fmt: skip
    _print(agent.stream("containerLogs", found.namespace, found.pod, found.container, **query))
    return OK


def _print(pieces: Iterable[bytes]) -> None:
    out = sys.stdout.buffer
    for piece in pieces:
        out.write(piece)
        out.flush()


def _from_files(
    args: argparse.Namespace, container: str, query: dict[str, Any], error: Unavailable
) -> Iterator[bytes]:
    from pykubelet.kubelet.serve import logs

    namespace, _, pod = args.pod.rpartition("/")
    path = _newest(pod, namespace or args.namespace, container)
    if path is None:
        raise Unavailable(f"{error}; and there is no log of {args.pod} in {LINKS}")
    print(f"{error}; reading {path}", file=sys.stderr)
    if args.follow or args.previous:
        raise Invalid("--follow and --previous need the agent")
    given = {k: ["true" if v is True else str(v)] for k, v in query.items() if v}
    with logs.open_log(path) as reader:
        yield from logs.read(reader, logs.LogOptions.from_query(given))


def _newest(pod: str, namespace: str, container: str) -> Path | None:
    """The newest log that fits; a static pod's name may lack the node's."""
    pattern = re.compile(
        rf"{re.escape(pod)}(-[a-z0-9.-]+)?_{re.escape(namespace) or '[^_]+'}_"
        rf"{re.escape(container) or '.+'}-[0-9a-f]{{64}}\.log"
    )
    fitting = [p for p in LINKS.glob("*.log") if pattern.fullmatch(p.name) and p.exists()]
    return max(fitting, key=lambda p: p.stat().st_mtime, default=None)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def _seconds(text: str) -> int:
    """An age such as 90s, 5m, 1h30m or plain seconds."""
    if text.isdigit():
        return int(text)
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise argparse.ArgumentTypeError(f"{text!r} is no age; 90s, 5m and 1h30m are")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)
