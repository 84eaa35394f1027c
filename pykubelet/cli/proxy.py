"""`pykubelet proxy`: services as packet rules, in the foreground."""

from __future__ import annotations

import argparse

SUMMARY = "lead service traffic to endpoints, or take the rules away"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes the packet rules that lead services to their endpoints, by nftables or iptables. "
        "Configuration is upstream's KubeProxyConfiguration; flags go before it. SIGTERM leaves "
        "the rules in place; --cleanup takes them away."
    )
    parser.add_argument("--config", default="", help="a KubeProxyConfiguration file")
    parser.add_argument("--kubeconfig", default="", help="how to reach the API server")
    parser.add_argument("--hostname-override", default="", metavar="NAME",
                        help="this node's name (the host's name)")  # fmt: skip
    parser.add_argument("--proxy-mode", choices=("nftables", "iptables"),
                        help="the best that the host offers, if not given")  # fmt: skip
    parser.add_argument("--cluster-cidr", default="", metavar="NETWORK[,NETWORK]",
                        help="where pods are; others are masqueraded")  # fmt: skip
    parser.add_argument("--cleanup", action="store_true", help="remove all rules and exit")
    parser.add_argument("--v", type=int, default=2, metavar="N", help="4 and more: every change")


def run(args: argparse.Namespace) -> int:
    import logging
    import os
    import signal
    import sys
    import threading
    from dataclasses import replace
    from pathlib import Path

    from pykubelet.errors import Invalid
    from pykubelet.proxy.config import kinds
    from pykubelet.proxy.config.loading import load

    logging.basicConfig(
        level=logging.DEBUG if args.v >= 4 else logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
    )
    if os.geteuid() != 0:
        print("pykubelet proxy: needs root; start it with sudo", file=sys.stderr)
        return 1
    if args.cleanup:
        from pykubelet.proxy.proxy import cleanup

        cleanup()
        return 0
    config = load(args.config)
    for sentence in config.ignored:
        logging.getLogger(__name__).warning("%s", sentence)
    if args.proxy_mode:
        config = replace(config, mode=args.proxy_mode)
    if args.cluster_cidr:
        try:
            config = replace(config, cluster_cidr=kinds.networks(args.cluster_cidr))
        except kinds.Refused as error:
            raise Invalid(
                "a wrong value", where="--cluster-cidr", expected=error.expected,
                found=args.cluster_cidr,
            ) from None  # fmt: skip
    kubeconfig = args.kubeconfig or config.kubeconfig
    if not kubeconfig:
        raise Invalid("no way to the API server", expected="--kubeconfig FILE",
                      remedy="or clientConnection.kubeconfig in the file of --config")  # fmt: skip

    from pykubelet.cli.cluster import api_of
    from pykubelet.proxy.proxy import Proxy

    name = args.hostname_override or config.hostname_override or os.uname().nodename
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    proxy = Proxy(api_of(Path(kubeconfig), "pykubelet-proxy"), config, name.lower())
    proxy.start()
    stop.wait()
    proxy.stop()
    return 0
