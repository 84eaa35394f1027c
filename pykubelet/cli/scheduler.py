"""`pykubelet scheduler`: the scheduler in the foreground, as a service manager wants it."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pykubelet.scheduler.config import Configuration

SUMMARY = "run the scheduler"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Gives each pod a node. Configuration is upstream's KubeSchedulerConfiguration; flags go "
        "before it."
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="a KubeSchedulerConfiguration file"
    )
    parser.add_argument(
        "--kubeconfig", metavar="FILE", default="", help="how to reach the API server"
    )
    parser.add_argument(
        "--leader-elect",
        choices=("true", "false"),
        nargs="?",
        const="true",
        help="whether one of several schedulers leads (default: true)",
    )
    parser.add_argument(
        "--bind-address",
        default="127.0.0.1",
        metavar="IP",
        help="where /healthz and /metrics listen (default: %(default)s)",
    )
    parser.add_argument(
        "--secure-port",
        type=int,
        default=10259,
        metavar="PORT",
        help="their port, 0 for none (default: %(default)s); plain HTTP",
    )
    parser.add_argument("-v", "--v", type=int, default=2, metavar="LEVEL", help="verbosity")


def run(args: argparse.Namespace) -> int:
    from pykubelet.cli.cluster import api_of
    from pykubelet.errors import Invalid
    from pykubelet.scheduler.scheduler import Scheduler
    from pykubelet.scheduler.serving import Server

    logging.basicConfig(
        level=logging.DEBUG if args.v >= 4 else logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
    )
    config = _configuration(args)
    for sentence in config.ignored:
        logging.getLogger(__name__).warning("%s", sentence)
    path = args.kubeconfig or config.kubeconfig
    if not path:
        raise Invalid("no API server is named", expected="--kubeconfig FILE")
    scheduler = Scheduler(api_of(Path(path), "pykubelet-scheduler"), config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = None
    if args.secure_port:
        server = Server(
            args.bind_address,
            args.secure_port,
            ready=scheduler.why_not_ready,
            metrics=scheduler.metrics.text,
            configuration=scheduler.configuration,
        )
    try:
        scheduler.run(stop)
    finally:
        if server:
            server.stop()
    return 0


def _configuration(args: argparse.Namespace) -> Configuration:
    from dataclasses import replace

    from pykubelet.scheduler.config import Configuration, load

    config = load(args.config) if args.config else Configuration()
    if args.leader_elect is not None:
        config = replace(config, leader_elect=args.leader_elect == "true")
    return config
