"""Where a handler knocks, and what it sends."""

from __future__ import annotations

import pytest

from pykubelet.errors import Invalid
from pykubelet.kubelet.probes import grpc_, http, targets
from pykubelet.kubelet.probes.targets import Target

WEB = {"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}


@pytest.mark.parametrize("value", [8080, "8080", "http"])
def test_a_port_is_given_as_number_digits_or_name(value: int | str) -> None:
    assert targets.port(value, WEB) == 8080


@pytest.mark.parametrize("value", ["https", 0, 70000, None, True, ""])
def test_no_port_is_refused(value: object) -> None:
    with pytest.raises(Invalid):
        targets.port(value, WEB)


def test_the_url_defaults_to_the_pods_address_and_the_root() -> None:
    assert http.url_of({"port": "http"}, Target("c", "10.0.0.1", WEB)) == "http://10.0.0.1:8080/"


def test_the_url_keeps_query_host_scheme_and_brackets() -> None:
    action = {"port": 1, "path": "a b?x=1&y=%20", "host": "::1", "scheme": "HTTPS"}
    assert http.url_of(action, Target("c", "")) == "https://[::1]:1/a%20b?x=1&y=%20"


def test_a_pod_without_address_has_no_url() -> None:
    with pytest.raises(Invalid, match="no address"):
        http.url_of({"port": 1}, Target("c", ""))


def test_our_headers_give_way_to_the_manifests_and_to_its_empty_ones() -> None:
    assert http.headers_of({}) == [("User-Agent", "kube-probe/1.36"), ("Accept", "*/*")]
    given = [{"name": "accept", "value": ""}, {"name": "user-agent", "value": "me"}]
    assert http.headers_of({"httpHeaders": given}) == [("user-agent", "me")]


def test_the_health_messages_are_those_of_the_protocol() -> None:
    assert grpc_.request("") == b""
    assert grpc_.request("db") == b"\x0a\x02db"
    assert grpc_.request("x" * 200)[:3] == b"\x0a\xc8\x01"
    assert [grpc_.status(b) for b in (b"", b"\x08\x01", b"\x08\x02")] == [0, 1, 2]
