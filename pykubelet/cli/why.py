"""`pykubelet why`: the whole story of a pod or a manifest file.

The agent tells it where one runs. Where none does, the file itself is looked at here, with the same
rules: why a manifest is refused can be known without any daemon.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from pykubelet.cli.agent import Agent, add_socket_option
from pykubelet.cli.exits import NO_AGENT, OK, TROUBLE
from pykubelet.cli.output import ago, paint, print_json
from pykubelet.errors import Unavailable
from pykubelet.kubelet.pods.chain import Chain, State, chain_from_json
from pykubelet.kubelet.pods.why import FileFacts, explain

SUMMARY = "the whole story of a pod or manifest: where it stands, why, and what happens next"

_MARKS: dict[State, tuple[str, str]] = {
    "done": ("✔", "good"),
    "now": ("●", "busy"),
    "waiting": ("○", "dim"),
    "failed": ("✘", "bad"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", metavar="POD-OR-FILE", help="a pod (NAME or NAMESPACE/NAME) or a manifest's path"
    )
    parser.add_argument("-o", "--output", choices=("json",))
    add_socket_option(parser)
    parser.epilog = "Ends with 0 when all is well with it, with 1 when it is not (yet)."


def run(args: argparse.Namespace) -> int:
    is_file = "/" in args.target and _is_path(args.target)
    target = os.path.abspath(args.target) if is_file else args.target
    agent = True
    try:
        chain = chain_from_json(Agent(args.socket).get("why", target=target))
    except Unavailable:
        if not is_file:
            raise
        agent = False
        chain = look_at_file(Path(target))
    if args.output == "json":
        print_json({**chain.to_json(), "agent": agent})
    else:
        show(chain, time.time())
        if not agent:
            print()
            print("The agent isn't running, so nothing will happen to it. Start it with:")
            print("  systemctl start pykubelet    (or: pykubelet run)")
    if not agent and chain.well:
        return NO_AGENT
    return OK if chain.well else TROUBLE


def look_at_file(path: Path) -> Chain:
    """What can be said of a manifest file without an agent: is it there, read, and acceptable?"""
    from pykubelet.kubelet.sources.manifests import Refusal, parse
    from pykubelet.kubelet.sources.settling import is_ignored

    if is_ignored(path.name):
        return explain(str(path), FileFacts(str(path), ignored=True))
    try:
        modified = path.stat().st_mtime
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return explain(str(path), FileFacts(str(path), exists=False))
    except (OSError, UnicodeDecodeError) as error:
        return explain(str(path), FileFacts(str(path), problems=(f"{path}: {error}",)))
    parsed = parse(text, str(path), os.uname().nodename.lower())
    problems = parsed.problems if isinstance(parsed, Refusal) else ()
    return explain(str(path), FileFacts(str(path), modified_at=modified, problems=problems))


def show(chain: Chain, now: float) -> None:
    """The chain, one step a line."""
    title = chain.pod or chain.target
    print(paint(title, "strong"))
    width = max((len(step.name) for step in chain.steps), default=0)
    for step in chain.steps:
        mark, style = _MARKS[step.state]
        age = ago(step.since, now) if step.since else ""
        when = paint(f"  ({age} ago)", "dim") if age else ""
        sentence = step.sentence if step.state != "waiting" else paint(step.sentence, "dim")
        print(f"  {paint(mark, style)} {step.name:<{width}}  {sentence}{when}")
        for detail in step.details:
            for line in detail.splitlines():
                print(f"    {'':<{width}}  {line}")
    if chain.next:
        soon = f" (in {chain.seconds:.0f} s)" if chain.seconds else ""
        print(f"{paint('Next:', 'strong')} {chain.next}{soon}")


def _is_path(target: str) -> bool:
    """`a/b` is a pod unless it exists or looks like a manifest; `/a/b` and `./b` are paths."""
    return (
        target.startswith(("/", "./", "../"))
        or target.endswith((".yaml", ".yml", ".json"))
        or os.path.exists(target)
    )
