"""Which handler answers a path, who is asking, and what an authorizer is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykubelet.errors import Invalid
from pykubelet.kubelet.serve.auth import (
    Identity,
    Standalone,
    Union,
    attributes_of,
    bearer_token,
    identity_of,
    read_tokens,
)
from pykubelet.kubelet.serve.exchange import Exchange
from pykubelet.kubelet.serve.http1 import Request
from pykubelet.kubelet.serve.routes import Routes

CERTIFICATE = {
    "subject": (
        (("organizationName", "system:masters"),),
        (("organizationName", "ops"),),
        (("commonName", "alice"),),
    )
}


def short(_: Exchange) -> None: ...


def precise(_: Exchange) -> None: ...


ROUTES = Routes(
    [
        ("GET POST", "/exec/{ns}/{pod}/{container}", short),
        ("GET POST", "/exec/{ns}/{pod}/{uid}/{container}", precise),
        ("GET", "/logs/{path*}", short),
    ]
)


def test_the_number_of_parts_tells_the_variant_with_uid() -> None:
    match = ROUTES.match("POST", ("exec", "a", "b", "c"))
    assert match
    assert (match.handler, match.params) == (short, {"ns": "a", "pod": "b", "container": "c"})
    match = ROUTES.match("GET", ("exec", "a", "b", "u", "c"))
    assert match
    assert match.handler is precise
    assert match.params["uid"] == "u"


def test_a_starred_part_takes_the_rest_even_when_there_is_none() -> None:
    match = ROUTES.match("GET", ("logs", "pods", "x.log"))
    assert match
    assert match.params == {"path": "pods/x.log"}
    match = ROUTES.match("HEAD", ("logs",))
    assert match
    assert match.params == {"path": ""}


def test_a_wrong_method_is_told_from_an_unknown_path() -> None:
    match = ROUTES.match("POST", ("logs",))
    assert match
    assert match.handler is None
    assert match.methods == ("GET",)
    assert ROUTES.match("GET", ("nowhere",)) is None
    assert ROUTES.match("GET", ("exec", "a", "b")) is None


def test_a_certificate_names_its_user_and_groups() -> None:
    identity = identity_of(CERTIFICATE)
    assert identity == Identity("alice", ("system:masters", "ops", "system:authenticated"))
    assert identity_of({"subject": ()}) is None


def test_a_token_or_a_certificate_is_somebody_and_anything_else_nobody() -> None:
    known = Standalone({"s3cret": Identity("bob")})
    assert known.authenticate(None, "s3cret") == Identity("bob")
    assert known.authenticate(None, "s3cre") is None
    assert known.authenticate(None, "") is None
    assert known.authenticate(None, "\u00fc\u20ac") is None
    both = Union([Standalone(), known])
    assert both.authenticate(None, "s3cret") == Identity("bob")
    assert Standalone().authenticate(CERTIFICATE, "") is not None


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("", ""), ("Bearer", "")],
)
def test_only_a_bearer_header_carries_a_token(header: str, token: str) -> None:
    assert bearer_token(Request("GET", "/", headers={"authorization": header})) == token


@pytest.mark.parametrize(
    ("method", "path", "verb", "subresources"),
    [
        ("GET", "/stats/summary", "get", ("stats",)),
        ("GET", "/metrics/cadvisor", "get", ("metrics",)),
        ("GET", "/logs/", "get", ("log",)),
        ("POST", "/exec/a/b/c", "create", ("proxy",)),
        ("GET", "/pods", "get", ("pods", "proxy")),
        ("GET", "/healthz/ping", "get", ("healthz", "proxy")),
        ("GET", "/statsx", "get", ("proxy",)),
    ],
)
def test_an_authorizer_is_asked_what_upstream_asks(
    method: str, path: str, verb: str, subresources: tuple[str, ...]
) -> None:
    asked = attributes_of(Request(method, path), Identity("x"))
    assert (asked.verb, asked.subresources) == (verb, subresources)


def test_a_token_file_is_read_as_kube_apiservers(tmp_path: Path) -> None:
    file = tmp_path / "tokens.csv"
    file.write_text('# ours\nabc,alice,1,"ops,dev"\n\ndef, bob, 2\n')
    assert read_tokens(file) == {
        "abc": Identity("alice", ("ops", "dev", "system:authenticated"), "1"),
        "def": Identity("bob", ("system:authenticated",), "2"),
    }
    file.write_text("abc,alice,1\njust-a-token\n")
    with pytest.raises(Invalid, match=r"tokens\.csv:2"):
        read_tokens(file)
