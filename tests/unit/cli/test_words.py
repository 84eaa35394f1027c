"""What commands make of words: ages, tables, names, chains."""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pykubelet.cli import logs, why
from pykubelet.cli.names import find
from pykubelet.cli.output import Cell, ago, print_table
from pykubelet.errors import Invalid, NotFound
from pykubelet.kubelet.pods.chain import Chain, Step


@pytest.mark.parametrize(
    ("since", "said"),
    [
        ("1970-01-01T00:16:00Z", "40s"),
        ("1970-01-01T00:00:00Z", "16m"),
        ("1970-01-01T01:00:00Z", "0s"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_an_age_is_told_in_one_unit(since: str, said: str) -> None:
    assert ago(since, 1000.0) == said


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800)]
)
def test_a_length_of_time_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert logs._seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5x", "-1", "1.5h"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        logs._seconds(text)


def test_in_a_pipe_a_table_is_plain_and_every_row_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("NAME", "A", ""), [("x", Cell("longer", "bad"), "word " * 60), ("yy", "", "")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "NAME  A"
    assert lines[1].startswith("x     longer  word word")
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)


TERMINAL = """
from pykubelet.cli.output import Cell, print_table
print_table(("NAME", ""), [("x", Cell("word " * 30, "bad"))])
"""


@pytest.mark.parametrize(("no_color", "colours"), [("", True), ("1", False)])
def test_in_a_terminal_a_table_fits_and_has_colours_unless_told_not_to(
    no_color: str, colours: bool
) -> None:
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "NO_COLOR": no_color, "COLUMNS": "60"}
    subprocess.run([sys.executable, "-c", TERMINAL], stdout=follower, env=env, check=True)
    os.close(follower)
    said = b""
    try:
        while piece := os.read(leader, 4096):
            said += piece
    except OSError:
        pass  # how a pty says that nobody is left
    os.close(leader)
    assert (b"\x1b[31m" in said) is colours
    if not colours:
        assert all(len(line) <= 60 for line in said.splitlines())
        assert len(said.splitlines()) > 2


class Pods:
    """As much of an Agent as `find` needs."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self._pods = list(pods)

    def get(self, *_: str) -> dict[str, Any]:
        return {"items": self._pods}


def pod(name: str, namespace: str = "default", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {
            "nodeName": "Node-1",
            "initContainers": [{"name": "setup"}],
            "containers": [{"name": "app"}, {"name": "side"}],
        },
    }


def test_a_static_pod_is_found_by_the_name_in_its_manifest() -> None:
    agent: Any = Pods(pod("web-node-1"), pod("db-node-1"))
    assert find(agent, "web").pod == "web-node-1"
    assert find(agent, "default/web-node-1").pod == "web-node-1"
    found = find(agent, "db")
    assert (found.container, found.others) == ("app", ("side",))
    assert find(agent, "db", "setup").container == "setup"


def test_the_default_container_is_as_annotated() -> None:
    note = {"kubectl.kubernetes.io/default-container": "side"}
    agent: Any = Pods(pod("x", annotations=note))
    assert find(agent, "x").container == "side"


def test_a_name_that_fits_none_or_several_is_told() -> None:
    agent: Any = Pods(pod("web-node-1"), pod("web-node-1", "shop"), pod("website-node-1"))
    with pytest.raises(Invalid, match="shop/web-node-1"):
        find(agent, "web")
    assert find(agent, "shop/web").namespace == "shop"
    assert find(agent, "web", namespace="shop").namespace == "shop"
    with pytest.raises(NotFound, match="website-node-1"):
        find(agent, "websit")
    with pytest.raises(NotFound, match="it has app, side, setup"):
        find(agent, "shop/web", "nginx")


def test_a_chain_is_shown_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    chain = Chain(
        "web",
        "default/web",
        (
            Step("file", "done", "was read", "1970-01-01T00:00:00Z"),
            Step("container app", "failed", "exited with code 2", details=("last words\nof it",)),
            Step("probes", "waiting", "begin later"),
        ),
        next="Started again",
        seconds=12.3,
    )
    why.show(chain, now=300.0)
    assert capsys.readouterr().out.splitlines() == [
        "default/web",
        "  ✔ file           was read  (5m ago)",
        "  ✘ container app  exited with code 2",
        "                   last words",
        "                   of it",
        "  ○ probes         begin later",
        "Next: Started again (in 12 s)",
    ]


@pytest.mark.parametrize(
    ("target", "is_file"),
    [
        ("web", False),
        ("default/web", False),
        ("/etc/x", True),
        ("./x", True),
        ("m/x.yaml", True),
    ],
)
def test_a_path_is_told_from_a_pod(target: str, is_file: bool) -> None:
    assert why._is_path(target) is is_file


def test_a_file_is_judged_without_an_agent(tmp_path: Path) -> None:
    """Complaint 9: a static pod does not start and nothing says why."""
    good = tmp_path / "web.yaml"
    good.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
        "spec:\n  containers:\n  - name: c\n    image: x\n"
    )
    assert why.look_at_file(good).well
    good.write_text(good.read_text() + "    imagePullPolice: Never\n")
    chain = why.look_at_file(good)
    assert chain.stands
    assert f"{good}:8" in chain.stands.sentence
    assert "imagePullPolice" in chain.stands.sentence
    good.write_text("a: [")
    assert not why.look_at_file(good).well
    good.write_bytes(b"\xff\xfe")
    assert not why.look_at_file(good).well
    assert "ignored" in str(why.look_at_file(tmp_path / "web.yaml~").stands)
    assert "not there" in str(why.look_at_file(tmp_path / "none.yaml").stands)
