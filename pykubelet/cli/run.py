"""`pykubelet run`: the node agent in the foreground, as a service manager wants it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading

SUMMARY = "run the node agent"


def configure(parser: argparse.ArgumentParser) -> None:
    from pykubelet.kubelet.config.flags import add_flags

    parser.description = (
        "Runs the pods of the manifest folder through the container runtime. Configuration is "
        "upstream's KubeletConfiguration; flags go before it. SIGTERM leaves the pods running."
    )
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    from pykubelet.errors import PykubeletError
    from pykubelet.kubelet.config.loading import load

    config = load(args)
    _log_to_stderr(config.verbosity)
    if os.geteuid() != 0:
        print("pykubelet run: needs root; start it with sudo", file=sys.stderr)
        return 1
    for sentence in config.ignored:
        logging.getLogger(__name__).warning("%s", sentence)
    from pykubelet.kubelet.agent import Agent
    from pykubelet.kubelet.agent import run as run_agent

    stop = threading.Event()
    agent = Agent(config)

    def on_signal(number: int, frame: object) -> None:
        stop.set()
        agent.interrupt()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        run_agent(agent, stop)
    except PykubeletError as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    return 0


def _log_to_stderr(verbosity: int) -> None:
    level = logging.DEBUG if verbosity >= 4 else logging.INFO
    logging.basicConfig(
        level=level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
    )
