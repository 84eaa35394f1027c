"""`pykubelet controller-manager`: the controllers in the foreground, as a service manager wants
them."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from pykubelet.cli.exits import OK

SUMMARY = "run the controllers"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Keeps what is there the same as what is wanted: Deployments, Jobs, nodes, namespaces and "
        "all the rest."
    )
    parser.epilog = (
        "all but one of the controllers, on this machine alone:\n"
        "  pykubelet controller-manager --kubeconfig admin.conf --controllers '*,-cronjob' "
        "--leader-elect=false"
    )
    add = parser.add_argument
    add(
        "--kubeconfig", type=Path, metavar="FILE", required=True, help="how to reach the API server"
    )
    add("--controllers", default="*", metavar="LIST",
        help="names, -name for without, * for the usual ones (default: %(default)s)")  # fmt: skip
    add("--leader-elect", choices=("true", "false"), nargs="?", const="true", default="true",
        help="whether one of several managers leads (default: %(default)s)")  # fmt: skip
    add("--bind-address", default="127.0.0.1", metavar="IP",
        help="where /healthz and /metrics listen (default: %(default)s)")  # fmt: skip
    add("--secure-port", type=int, default=10257, metavar="PORT",
        help="their port, 0 for none (default: %(default)s); plain HTTP")  # fmt: skip
    add("--root-ca-file", type=Path, metavar="FILE",
        help="the authority that pods are to trust, published in every namespace")  # fmt: skip
    add("--cluster-cidr", default="", metavar="CIDR,...",
        help="where nodes get their pods' ranges from, one a family")  # fmt: skip
    add("-v", "--v", type=int, default=2, metavar="LEVEL", help="verbosity")


def run(args: argparse.Namespace) -> int:
    from pykubelet.cli.cluster import api_of
    from pykubelet.controllers.manager import Manager, Options
    from pykubelet.controllers.serving import Server

    logging.basicConfig(
        level=logging.DEBUG if args.v >= 4 else logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
    )
    options = Options(_list(args.controllers), args.leader_elect == "true", _of_controllers(args))
    manager = Manager(api_of(args.kubeconfig, "pykubelet-controller-manager"), options)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = None
    if args.secure_port:
        server = Server(
            args.bind_address,
            args.secure_port,
            live=manager.live,
            ready=manager.ready,
            metrics=manager.metrics,
        )
    try:
        manager.run(stop)
    finally:
        if server:
            server.stop()
    return OK


def _of_controllers(args: argparse.Namespace) -> dict[str, Any]:
    """What controllers read from their options."""
    from pykubelet.errors import Invalid

    found: dict[str, Any] = {"cluster_cidrs": tuple(_list(args.cluster_cidr))}
    if args.root_ca_file:
        try:
            found["root_ca"] = args.root_ca_file.read_text()
        except OSError as error:
            where, why = str(args.root_ca_file), error.strerror or ""
            raise Invalid("can't be read", where=where, found=why) from error
    return found


def _list(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
