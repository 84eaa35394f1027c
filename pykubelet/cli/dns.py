"""`pykubelet dns`: cluster DNS in the foreground."""

from __future__ import annotations

import argparse

SUMMARY = "answer for the cluster's names"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Answers DNS for services and pods from the API server, and forwards everything else to "
        "the host's real resolvers."
    )
    parser.add_argument(
        "--kubeconfig", help="how to reach the API server; without one, only forward"
    )
    parser.add_argument("--domain", default="cluster.local", help="the cluster's domain")
    parser.add_argument("--listen", action="append", metavar="ADDRESS",
                        help="address to answer at; can be given again (127.0.0.1)")  # fmt: skip
    parser.add_argument("--port", type=int, default=53)
    parser.add_argument("--upstream", action="append", metavar="ADDRESS[#PORT]",
                        help="resolver for other names; the host's own if not given")  # fmt: skip
    parser.add_argument("--resolv-conf", default="/etc/resolv.conf",
                        help="where the host's resolvers are named")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    import asyncio
    import logging
    import signal
    import sys
    from pathlib import Path

    from pykubelet.dns.service import ClusterDns
    from pykubelet.network import resolv_conf

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname).1s %(message)s")
    api = None
    if args.kubeconfig:
        from pykubelet.cli.cluster import api_of

        api = api_of(Path(args.kubeconfig), "pykubelet-dns")
    upstream = args.upstream or list(resolv_conf.read(args.resolv_conf).servers)
    dns = ClusterDns(
        api,
        domain=args.domain,
        listen=args.listen or ["127.0.0.1"],
        upstream=upstream,
        port=args.port,
    )

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await dns.run(stop)

    try:
        asyncio.run(serve())
    except OSError as error:
        print(f"pykubelet dns: {error}", file=sys.stderr)
        return 1
    return 0
