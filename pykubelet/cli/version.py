"""`pykubelet version`: ours, the Kubernetes API level, and the agent's where one runs."""

from __future__ import annotations

import argparse
import platform

from pykubelet.cli.agent import Agent, add_socket_option
from pykubelet.cli.exits import OK
from pykubelet.cli.output import print_json
from pykubelet.errors import PykubeletError
from pykubelet.version import KUBERNETES_VERSION, VERSION

SUMMARY = "the versions of the parts"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("json",))
    add_socket_option(parser)


def run(args: argparse.Namespace) -> int:
    versions = {
        "pykubelet": VERSION,
        "kubernetes": KUBERNETES_VERSION,
        "python": platform.python_version(),
    }
    try:
        status = Agent(args.socket, timeout=3).get("status")
    except PykubeletError:
        pass  # no agent, or none that we may ask: then it has no version to tell
    else:
        versions["agent"] = (status.get("agent") or {}).get("version", "")
        versions["runtime"] = status["node"].get("runtime", "")
    if args.output == "json":
        print_json(versions)
        return OK
    for part, version in versions.items():
        print(f"{part:<11} {version}")
    return OK
