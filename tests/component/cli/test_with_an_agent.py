"""Commands against the agent's real socket, answered from values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykubelet.cli import logs
from pykubelet.cli.main import main
from pykubelet.errors import NotFound
from pykubelet.kubelet.serve.backend import LogSource
from pykubelet.kubelet.serve.glance import glance
from tests.support.serving import Serving, Values

POD = {
    "metadata": {"name": "web-n1", "namespace": "default", "uid": "u"},
    "spec": {"nodeName": "n1", "containers": [{"name": "app"}, {"name": "side"}]},
    "status": {
        "phase": "Running",
        "podIP": "10.1.0.2",
        "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [
            {"name": "app", "ready": True, "restartCount": 1, "state": {"running": {}}},
            {"name": "side", "ready": True, "restartCount": 0, "state": {"running": {}}},
        ],
    },
}
NODE = {
    "metadata": {"name": "n1"},
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}
Type = Callable[..., tuple[int, str, str]]


class Explained(Values):
    refused: dict[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.pod_list = [POD]
        self.refused = {}

    def status(self) -> dict[str, object]:
        about = {"version": "9.9", "startedAt": "2026-01-01T00:00:00Z"}
        return glance(NODE, self.pod_list, {"u": "all containers run"}, self.refused, about)

    def why(self, target: str) -> dict[str, object]:
        if target != "web":
            raise NotFound(f"there is no pod {target}")
        step = {"name": "file", "state": "done", "sentence": "was read"}
        return {"target": target, "pod": "default/web-n1", "steps": [step], "next": "Nothing."}


@pytest.fixture
def values() -> Explained:
    return Explained()


@pytest.fixture
def type_(values: Explained, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Type]:
    """Run a command line against the agent: exit code, output, complaints."""
    with Serving(values) as serving:
        path = serving.unix(tmp_path / "agent.sock", allowed_uids=frozenset({0}))
        serving.start()

        def run(verb: str, *words: str) -> tuple[int, str, str]:
            code = main([verb, "--socket", str(path), *words])
            said = capfd.readouterr()
            return code, said.out, said.err

        yield run


def test_status_shows_the_node_and_each_pod_in_a_line(type_: Type) -> None:
    code, out, _ = type_("status")
    assert code == 0
    assert out.splitlines()[0].startswith("n1  Ready  pykubelet 9.9")
    line = next(line for line in out.splitlines() if "web-n1" in line)
    assert line.split()[:5] == ["default", "web-n1", "Running", "2/2", "1"]
    assert line.endswith("all containers run")


def test_status_as_json_and_as_names_is_for_programs(type_: Type) -> None:
    assert json.loads(type_("status", "-o", "json")[1])["pods"][0]["ip"] == "10.1.0.2"
    assert type_("status", "-o", "name")[1] == "default/web-n1\n"
    assert type_("status", "-o", "name", "-n", "other")[1] == ""


def test_a_refused_manifest_is_trouble_that_status_tells(type_: Type, values: Explained) -> None:
    values.refused = {"/m/x.yaml": "/m/x.yaml:3: unknown field"}
    code, out, _ = type_("status")
    assert code == 1
    assert "refused /m/x.yaml:3: unknown field" in out


def test_an_empty_node_says_how_to_begin(type_: Type, values: Explained) -> None:
    values.pod_list = []
    code, out, _ = type_("status")
    assert code == 0
    assert "No pods. Put a manifest into" in out


def test_why_tells_the_story(type_: Type) -> None:
    code, out, _ = type_("why", "web")
    assert (code, "✔ file  was read" in out, "Next: Nothing." in out) == (0, True, True)
    code, _, err = type_("why", "nobody")
    assert (code, err) == (4, "pykubelet why: there is no pod nobody\n")
    assert json.loads(type_("why", "web", "-o", "json")[1])["pod"] == "default/web-n1"


def test_version_asks_the_agent_too(type_: Type) -> None:
    assert json.loads(type_("version", "-o", "json")[1])["agent"] == "9.9"


def test_logs_are_those_of_the_first_container_and_the_others_are_mentioned(
    type_: Type, values: Explained, tmp_path: Path
) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(b"2026-01-01T00:00:00Z stdout F %d\n" % n for n in range(9)))
    values.logs["default/web-n1/app"] = LogSource(path, lambda: False)
    code, out, err = type_("logs", "web", "--tail", "2")
    assert (code, out) == (0, "7\n8\n")
    assert err == "container app; also there: side (-c NAME)\n"
    assert type_("logs", "-f", "web", "-c", "app")[1:] == ("".join(f"{n}\n" for n in range(9)), "")
    assert type_("logs", "web", "-c", "side")[0] == 4
    assert type_("logs", "web", "app", "--since-time", "nonsense")[0] == 2


def test_logs_can_be_read_while_no_agent_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "LINKS", tmp_path)
    (tmp_path / f"web-n1_default_app-{'a' * 64}.log").write_bytes(
        b"2026-01-01T00:00:00Z stdout F still here\n"
    )
    gone = ["--socket", str(tmp_path / "none")]
    assert main(["logs", *gone, "web", "--timestamps"]) == 0
    said = capfd.readouterr()
    assert said.out == "2026-01-01T00:00:00Z still here\n"
    assert "isn't running" in said.err
    assert main(["logs", *gone, "db"]) == 3
    assert main(["logs", *gone, "-f", "web"]) == 2
