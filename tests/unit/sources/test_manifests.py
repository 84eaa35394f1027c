"""What a manifest's text means, and how it is refused."""

from __future__ import annotations

import copy
import json
import random
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.sources.manifests import Manifest, Refusal, parse

Json = dict[str, Any]

PATH = "/etc/kubernetes/manifests/web.yaml"

WEB = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  initContainers:
  - name: init
    image: busybox
  containers:
  - name: main
    image: nginx:1.27
    ports:
    - {name: http, containerPort: 80}
    env:
    - {name: A, value: "1"}
    resources:
      requests: {cpu: 100m, memory: 64Mi}
      limits: {memory: 128Mi}
    readinessProbe:
      httpGet: {path: /, port: http}
    volumeMounts:
    - {name: data, mountPath: /data}
  volumes:
  - name: data
    emptyDir: {}
"""


def only(text: str, path: str = PATH, node: str = "node-1") -> Json:
    result = parse(text, path, node)
    assert isinstance(result, Manifest), result
    (pod,) = result.pods
    return pod


def refused(text: str) -> str:
    result = parse(text, PATH, "node-1")
    assert isinstance(result, Refusal), result
    return "\n".join(result.problems)


def test_a_static_pod_is_named_after_its_node_and_known_by_its_manifest() -> None:
    pod = only(WEB)
    metadata = pod["metadata"]
    assert metadata["name"] == "web-node-1"
    assert metadata["namespace"] == "default"
    assert re.fullmatch("[0-9a-f]{32}", metadata["uid"])
    assert metadata["annotations"][spec.CONFIG_SOURCE] == "file"
    assert re.fullmatch("[0-9a-f]{32}", metadata["annotations"][spec.CONFIG_HASH])
    assert pod["spec"]["nodeName"] == "node-1"
    assert {"operator": "Exists", "effect": "NoExecute"} in pod["spec"]["tolerations"]
    assert pod["spec"]["restartPolicy"] == "Always"


def test_the_identity_is_the_manifests_not_its_spelling() -> None:
    as_json = json.dumps(yaml.safe_load(WEB), indent=3)
    assert only(as_json) == only(WEB) == only("# a comment\n" + WEB)


@pytest.mark.parametrize(("path", "node"), [("/other.yaml", "node-1"), (PATH, "node-2")])
def test_the_same_text_elsewhere_is_another_pod(path: str, node: str) -> None:
    assert only(WEB, path, node)["metadata"]["uid"] != only(WEB)["metadata"]["uid"]


def test_an_edit_of_cpu_and_memory_alone_is_the_same_pod() -> None:
    resized = only(WEB.replace("100m", "200m").replace("128Mi", "256Mi"))
    assert resized["metadata"]["uid"] == only(WEB)["metadata"]["uid"]
    hashes = {p["metadata"]["annotations"][spec.CONFIG_HASH] for p in (resized, only(WEB))}
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('value: "1"', 'value: "2"'),
        ("nginx:1.27", "nginx:1.28"),
        ("app: web", "app: shop"),
        # Requests and limits that are equal throughout make it Guaranteed.
        ("    resources:\n      requests: {cpu: 100m, memory: 64Mi}\n"
         "      limits: {memory: 128Mi}\n", ""),
    ],
)  # fmt: skip
def test_any_other_edit_is_another_pod(old: str, new: str) -> None:
    assert only(WEB.replace(old, new))["metadata"]["uid"] != only(WEB)["metadata"]["uid"]


def test_a_uid_of_its_own_is_kept() -> None:
    pod = only(WEB.replace("name: web", "uid: my-own\n  name: web", 1))
    assert pod["metadata"]["uid"] == "my-own"


def test_a_status_in_the_manifest_is_nothing() -> None:
    assert "status" not in only(WEB + "status: {phase: Succeeded}\n")


def test_one_file_may_hold_pods_and_what_they_refer_to() -> None:
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n"
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: b}\n"
    other = WEB.replace("name: web", "name: other", 1)
    result = parse("---\n".join([WEB, config, secret, other]), PATH, "node-1")
    assert isinstance(result, Manifest)
    assert [p["metadata"]["name"] for p in result.pods] == ["web-node-1", "other-node-1"]
    assert result.config_maps[0]["data"] == {"a": "b"}
    assert len(result.secrets) == 1


def test_a_list_counts_as_its_items() -> None:
    pods = [yaml.safe_load(WEB.replace("name: web", f"name: {n}", 1)) for n in ("a", "b")]
    result = parse(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}), PATH, "n")
    assert isinstance(result, Manifest)
    assert len(result.pods) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "web.yaml: expected at least one Pod; found an empty file"),
        ("# nothing\n", "web.yaml: expected at least one Pod; found an empty file"),
        ("kind: Pod\n", "web.yaml:1: expected a v1 Pod"),
        ("apiVersion: apps/v1\nkind: Deployment\n", "found apps/v1/Deployment"),
        ("- a\n- b\n", "web.yaml:1"),
        ("{", "web.yaml:1"),
        ("a: [1, 2\nb: 3\n", "web.yaml:2"),
        ("a: 1\na: 2\n", "web.yaml:2"),
        (WEB.replace("  name: web\n", ""), "web.yaml:3: metadata.name: required"),
        (WEB.replace("image: nginx:1.27", "image: 5"), "web.yaml:12: spec.containers[0].image"),
        (WEB.replace("image: nginx:1.27", "imgae: x"), "web.yaml:12: spec.containers[0].imgae"),
        (WEB.replace("100m", "lots"), "spec.containers[0].resources.requests"),
        (WEB.replace("name: main", "name: Main"), "spec.containers[0].name"),
        (WEB.replace("{name: data, mount", "{name: nodata, mount"), "nodata"),
        (WEB + "---\n" + WEB, "found two that are named default/web-node-1"),
    ],
)
def test_a_refusal_says_where_and_why(text: str, said: str) -> None:
    """Complaint: a static pod does not start and nothing says why."""
    assert said in refused(text)


def test_every_problem_is_told_at_once() -> None:
    result = parse(WEB.replace("image:", "imgae:"), PATH, "node-1")
    assert isinstance(result, Refusal)
    assert len(result.problems) >= 2
    assert result.sentence.endswith(f"(and {len(result.problems) - 1} more)")


# -- whatever else may lie in a file -----------------------------------------------------------


def holds(result: Manifest | Refusal) -> None:
    """A manifest of whole pods, or a refusal that names the file in every problem."""
    if isinstance(result, Manifest):
        for pod in result.pods:
            assert pod["metadata"]["name"].endswith("-node-1")
            assert pod["spec"]["containers"]
        return
    assert result.problems
    for problem in result.problems:
        assert re.match(rf"{re.escape(PATH)}(:\d+)?: .", problem), problem
    assert result.sentence.startswith(PATH)


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_is_a_manifest_or_a_refusal(text: str) -> None:
    holds(parse(text, PATH, "node-1"))


def test_a_thousand_spoilt_manifests_are_manifests_or_refusals() -> None:
    """Bytes cut, doubled, swapped and replaced; values of other types at any place."""
    dice = random.Random(20)
    for number in range(1000):
        spoil = _spoilt_text if number % 2 else _spoilt_tree
        holds(parse(spoil(dice), PATH, "node-1"))


def _spoilt_text(dice: random.Random) -> str:
    text = WEB
    for _ in range(dice.randint(1, 6)):
        at, to = sorted(dice.randrange(len(text) + 1) for _ in range(2))
        match dice.randrange(4):
            case 0:
                text = text[:at] + text[min(to, at + 9) :]
            case 1:
                text = text[:to] + text[at:to] + text[to:]
            case 2:
                text = text[:at] + dice.choice("\0\t:{}[]\"'&*!|>%@`-#\n\u2028\ud7ff") + text[at:]
            case 3:
                text = text[:at] + text[at:to].swapcase() + text[to:]
        text = text or "x"
    return text


_ODD: list[Any] = [
    None, True, 0, -1, 2**70, 1.5, "", "x" * 300, "é\u202e", [], [None], {}, {"": None}, [[]],
    {"a": {"b": []}}, "$(A)", "0x10", "1e400",
]  # fmt: skip


def _spoilt_tree(dice: random.Random) -> str:
    tree = copy.deepcopy(yaml.safe_load(WEB))
    for _ in range(dice.randint(1, 4)):
        node: Any = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = dice.choice(keys)
            child = node[key]
            if isinstance(child, dict | list) and child and dice.random() < 0.75:
                node = child
                continue
            node[key] = copy.deepcopy(dice.choice(_ODD))
            break
    return json.dumps(tree) if dice.random() < 0.5 else yaml.safe_dump(tree)
