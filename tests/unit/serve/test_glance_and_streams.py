"""The node at a glance, and the request that goes on to the runtime."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pykubelet.errors import NotFound
from pykubelet.kubelet.serve import nodelogs
from pykubelet.kubelet.serve.glance import glance
from pykubelet.kubelet.serve.http1 import parse_head
from pykubelet.kubelet.serve.streams import upgrade_request

NODE = {
    "metadata": {"name": "n1"},
    "status": {
        "conditions": [{"type": "Ready", "status": "True", "message": "fine"}],
        "addresses": [
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "Hostname", "address": "n1"},
        ],
        "nodeInfo": {"containerRuntimeVersion": "containerd://1.6.20"},
    },
}


def pod(name: str, *states: dict[str, object], **status: object) -> dict[str, object]:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"u-{name}"},
        "spec": {"containers": [{"name": f"c{i}"} for i, _ in enumerate(states)]},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": f"c{i}", "state": state, "ready": "running" in state, "restartCount": 2}
                for i, state in enumerate(states)
            ],
            **status,
        },
    }


def test_a_glance_counts_ready_containers_and_restarts() -> None:
    seen = glance(NODE, [pod("b", {"running": {}}, {"waiting": {}}), pod("a")], {"u-b": "said"}, {})
    assert seen["node"]["ready"]
    assert seen["node"]["addresses"] == ["10.0.0.1"]
    assert [p["name"] for p in seen["pods"]] == ["a", "b"]
    b = seen["pods"][1]
    assert (b["ready"], b["containers"], b["restarts"], b["sentence"]) == (1, 2, 4, "said")


def test_the_phase_is_the_most_telling_word() -> None:
    crashing = pod("a", {"waiting": {"reason": "CrashLoopBackOff"}})
    creating = pod("b", {"waiting": {"reason": "ContainerCreating"}}, phase="Pending")
    evicted = pod("c", reason="Evicted", phase="Failed")
    phases = {
        p["name"]: p["phase"] for p in glance(NODE, [crashing, creating, evicted], {}, {})["pods"]
    }
    assert phases == {"a": "CrashLoopBackOff", "b": "Pending", "c": "Evicted"}


def test_refused_manifests_are_part_of_the_picture() -> None:
    seen = glance({}, [], {}, {"/m/b.yaml": "no", "/m/a.yaml": "neither"}, {"version": "1"})
    assert [r["path"] for r in seen["refused"]] == ["/m/a.yaml", "/m/b.yaml"]
    assert seen["agent"] == {"version": "1"}
    assert not seen["node"]["ready"]


def test_the_upgrade_goes_on_with_its_headers_but_without_our_credentials() -> None:
    request = parse_head(
        b"POST /exec/a/b/c?command=ls HTTP/1.1\r\nHost: node:10250\r\n"
        b"Authorization: Bearer s3cret\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"
    )
    sent = upgrade_request(request, urlsplit("http://127.0.0.1:4321/exec/TOKEN")).decode()
    assert sent.startswith("POST /exec/TOKEN HTTP/1.1\r\nHost: 127.0.0.1:4321\r\n")
    assert "Upgrade: SPDY/3.1\r\n" in sent
    assert "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n" in sent
    assert "s3cret" not in sent
    assert sent.count("Host:") == sent.count("Content-Length:") == 1


def test_node_logs_are_served_from_their_folder_and_nowhere_else(tmp_path: Path) -> None:
    folder, outside = tmp_path / "log", tmp_path / "secret"
    folder.mkdir()
    outside.write_text("key")
    (folder / "a<b.log").write_text("hello")
    (folder / "way-out").symlink_to(outside)
    (folder / "inside").symlink_to(folder / "a<b.log")
    listing = nodelogs.find(folder, "")
    assert isinstance(listing, str)
    assert "a&lt;b.log" in listing
    found = nodelogs.find(folder, "inside")
    assert not isinstance(found, str)
    with found:
        assert found.read() == b"hello"
    for bad in ("../secret", "way-out", "none", "\x00", "a<b.log/x"):
        with pytest.raises(NotFound):
            nodelogs.find(folder, bad)
