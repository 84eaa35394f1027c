"""`pykubelet status`: the node and its pods at a glance."""

from __future__ import annotations

import argparse
import time
from typing import Any

from pykubelet.cli.agent import Agent, add_socket_option
from pykubelet.cli.exits import OK, TROUBLE
from pykubelet.cli.output import Cell, ago, paint, print_json, print_table

Json = dict[str, Any]

SUMMARY = "the node and its pods at a glance"

_GOOD = ("Running", "Succeeded", "Completed")
_BUSY = ("Pending", "Terminating")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", help="only the pods of this namespace")
    parser.add_argument(
        "-o", "--output", choices=("json", "name"), help="json, or only the pods' names"
    )
    add_socket_option(parser)
    parser.epilog = (
        "Ends with 1 when the node is not ready, a pod is in trouble or a manifest is refused.\n"
        "`pykubelet why POD` tells the whole story of one."
    )


def run(args: argparse.Namespace) -> int:
    status = Agent(args.socket).get("status")
    if args.namespace:
        status["pods"] = [p for p in status["pods"] if p["namespace"] == args.namespace]
    if args.output == "json":
        print_json(status)
    elif args.output == "name":
        for pod in status["pods"]:
            print(f"{pod['namespace']}/{pod['name']}")
    else:
        _show(status, time.time())
    return OK if _well(status) else TROUBLE


def _well(status: Json) -> bool:
    return (
        bool(status["node"]["ready"])
        and not status["refused"]
        and all(_style(pod) != "bad" for pod in status["pods"])
    )


def _show(status: Json, now: float) -> None:
    _show_node(status["node"], status.get("agent") or {}, now)
    print()
    if status["pods"]:
        print_table(
            ("NAMESPACE", "NAME", "PHASE", "READY", "RESTARTS", "AGE", "IP", ""),
            [
                (
                    pod["namespace"],
                    Cell(pod["name"], "strong"),
                    Cell(pod["phase"], _style(pod)),
                    f"{pod['ready']}/{pod['containers']}",
                    str(pod["restarts"]),
                    ago(pod["startTime"], now) or "-",
                    pod["ip"] or "-",
                    Cell(pod["sentence"], "dim"),
                )
                for pod in status["pods"]
            ],
        )
    else:
        folder = (status.get("agent") or {}).get("manifests", "the manifest folder")
        print(f"No pods. Put a manifest into {folder} and it runs.")
    if status["refused"]:
        print()
        for refused in status["refused"]:
            print(paint("refused ", "bad") + refused["sentence"])


def _show_node(node: Json, agent: Json, now: float) -> None:
    ready = paint("Ready", "good") if node["ready"] else paint("NotReady", "bad")
    facts = [", ".join(node["addresses"]), node["runtime"]]
    if agent.get("version"):
        facts.append(f"pykubelet {agent['version']}")
    if agent.get("startedAt"):
        facts.append(f"up {ago(agent['startedAt'], now)}")
    print(f"{paint(node['name'], 'strong')}  {ready}  " + "  ".join(fact for fact in facts if fact))
    if not node["ready"] and node["reason"]:
        print(f"  {node['reason']}")
    for condition in node["conditions"]:
        if condition["type"] != "Ready" and condition["status"] == "True":
            print(paint(f"  {condition['type']}", "bad") + f"  {condition['message']}")
    for note in agent.get("notes") or ():
        print(paint("  note", "busy") + f"  {note}")


def _style(pod: Json) -> str:
    if pod["phase"] in ("Succeeded", "Completed"):
        return "good"
    if pod["phase"] == "Running":
        return "good" if pod["ready"] == pod["containers"] else "busy"
    return "busy" if pod["phase"] in _BUSY else "bad"
