"""Pull secrets: which fit an image, and in what order they are tried."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pykubelet.errors import Invalid
from pykubelet.kubelet.runtime.credentials import lookup
from pykubelet.kubelet.runtime.node_credentials import read
from pykubelet.kubelet.runtime.references import parse


def encoded(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.b64encode(text.encode()).decode()


def secret(registries: Any, *, old: bool = False) -> dict[str, Any]:
    kind = "dockercfg" if old else "dockerconfigjson"
    content = registries if old or isinstance(registries, str) else {"auths": registries}
    return {
        "metadata": {"name": "s"},
        "type": f"kubernetes.io/{kind}",
        "data": {f".{kind}": encoded(content)},
    }


def users(image: str, *secrets: dict[str, Any]) -> list[str]:
    return [auth["username"] for auth in lookup(parse(image), secrets)]


def named(*keys: str) -> dict[str, Any]:
    """A secret whose user names are its registries."""
    return secret({key: {"username": key, "password": "p"} for key in keys})


@pytest.mark.parametrize("old", [True, False])
def test_both_kinds_of_secret_are_read(old: bool) -> None:
    given = secret({"quay.io": {"auth": encoded("me:pass:word")}}, old=old)
    assert lookup(parse("quay.io/a"), [given]) == [{"username": "me", "password": "pass:word"}]


def test_tokens_are_passed_on() -> None:
    given = secret({"quay.io": {"identitytoken": "i", "registrytoken": "r"}})
    [auth] = lookup(parse("quay.io/a"), [given])
    assert (auth["identity_token"], auth["registry_token"]) == ("i", "r")


@pytest.mark.parametrize(
    ("key", "image", "fits"),
    [
        ("quay.io", "quay.io/a/b:1", True),
        ("https://quay.io", "quay.io/a", True),
        ("https://quay.io/v2/", "quay.io/a", True),
        ("quay.io/team", "quay.io/team/app", True),
        ("quay.io/team", "quay.io/other/app", False),
        ("quay.io", "evil-quay.io/a", False),
        ("quay.io", "quay.io.evil.com/a", False),
        ("quay.io", "quay.io:5000/a", False),
        ("quay.io:5000", "quay.io:5000/a", True),
        ("*.io", "quay.io/a", True),
        ("*.example.com", "a.example.com/x", True),
        ("*.example.com", "a.b.example.com/x", False),
        ("prefix*.example.com", "prefix-1.example.com/x", True),
        ("https://index.docker.io/v1/", "busybox", True),
        ("index.docker.io", "team/app", True),
        ("https://index.docker.io/v1/", "quay.io/a", False),
        ("docker.io", "busybox", True),
    ],
)
def test_a_key_fits_by_host_part_and_path(key: str, image: str, fits: bool) -> None:
    assert users(image, named(key)) == ([key] if fits else [])


def test_the_longest_key_is_tried_first_and_all_that_fit_are_tried() -> None:
    given = named("quay.io", "quay.io/team/app", "quay.io/team", "gcr.io")
    assert users("quay.io/team/app:1", given) == ["quay.io/team/app", "quay.io/team", "quay.io"]


def test_two_secrets_for_one_registry_are_tried_in_order_and_once_each() -> None:
    first, second = (secret({"quay.io": {"username": u, "password": "p"}}) for u in ("new", "old"))
    assert users("quay.io/a", first, second, first) == ["new", "old"]


def test_secrets_of_other_types_are_passed_over() -> None:
    assert lookup(parse("quay.io/a"), [{"type": "Opaque", "data": {"x": "eA=="}}, {}]) == []


@pytest.mark.parametrize(
    "content", ["not json", '["a"]', '{"auths": {"quay.io": {"auth": "!!"}}}', '{"auths": ["a"]}',
                '{"auths": {"quay.io": {"auth": "bm9jb2xvbg=="}}}'],
)  # fmt: skip
def test_a_secret_that_can_not_be_read_is_named(content: str) -> None:
    with pytest.raises(Invalid, match='pull secret "s"'):
        lookup(parse("quay.io/a"), [secret(content)])


def test_the_nodes_own_come_after_the_pods() -> None:
    pods = [secret({"quay.io": {"username": "pod", "password": "p"}})]
    nodes = [secret({"quay.io/team/app": {"username": "node", "password": "p"}})]
    found = lookup(parse("quay.io/team/app"), pods, nodes)
    assert [auth["username"] for auth in found] == ["pod", "node"]


def test_the_nodes_file_is_read_as_a_secret(tmp_path: Path) -> None:
    for name, content in (
        (".dockercfg", {"quay.io": {"auth": encoded("old:p")}}),
        ("config.json", {"auths": {"quay.io": {"auth": encoded("new:p")}}}),
    ):
        (tmp_path / name).write_text(json.dumps(content))
        [auth] = lookup(parse("quay.io/a"), (), read([tmp_path / "absent", tmp_path]))
        assert auth["username"] == ("old" if name == ".dockercfg" else "new")


def test_a_broken_file_of_the_node_is_said_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config.json").write_text("{")
    assert read([tmp_path]) == []
    assert f"{tmp_path}/config.json" in caplog.text
