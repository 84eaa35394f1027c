"""The specification's words: versions, environment, results, error codes."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.network import spec
from pykubelet.network.spec import CniError

ADD = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
}
RESULT = {
    "interfaces": [{"name": "eth0", "mac": "0a:58:0a:00:00:02", "mtu": 1500, "sandbox": "/x"}],
    "ips": [
        {"address": "10.0.0.2/24", "gateway": "10.0.0.1", "interface": 0},
        {"address": "fd00::2/64", "gateway": "fd00::1", "interface": 0},
    ],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1400}],
    "dns": {},
}


def code(function: Any, *arguments: Any) -> int:
    with pytest.raises(CniError) as caught:
        function(*arguments)
    return caught.value.code


def test_the_environment_is_read() -> None:
    call = spec.read_environment({**ADD, "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=web"})
    assert (call.command, call.container, call.interface) == ("ADD", "c1", "eth0")
    assert dict(call.args)["K8S_POD_NAME"] == "web"


@pytest.mark.parametrize(
    "change",
    [
        {"CNI_COMMAND": "FETCH"},
        {"CNI_COMMAND": ""},
        {"CNI_CONTAINERID": ""},
        {"CNI_CONTAINERID": "../../etc"},
        {"CNI_NETNS": ""},
        {"CNI_IFNAME": ""},
        {"CNI_IFNAME": "a-name-too-long-for-it"},
        {"CNI_IFNAME": ".."},
        {"CNI_IFNAME": "a/b"},
        {"CNI_ARGS": "nonsense"},
    ],
)
def test_a_bad_environment_is_error_4(change: dict[str, str]) -> None:
    assert code(spec.read_environment, {**ADD, **change}) == 4


def test_every_missing_variable_is_named() -> None:
    with pytest.raises(CniError, match="CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"):
        spec.read_environment({"CNI_COMMAND": "ADD"})


def test_del_needs_no_namespace_and_gc_no_container() -> None:
    spec.read_environment({**ADD, "CNI_COMMAND": "DEL", "CNI_NETNS": ""})
    spec.read_environment({"CNI_COMMAND": "GC"})
    spec.read_environment({"CNI_COMMAND": "STATUS"})


@pytest.mark.parametrize("version", spec.VERSIONS)
def test_every_version_knows_add(version: str) -> None:
    spec.check_version(version, "ADD")


@pytest.mark.parametrize(
    ("version", "command"),
    [("0.2.0", "ADD"), ("9.9.9", "ADD"), ("0.3.1", "CHECK"), ("1.0.0", "GC"), ("1.0.0", "STATUS")],
)
def test_a_version_or_a_verb_that_it_lacks_is_error_1(version: str, command: str) -> None:
    assert code(spec.check_version, version, command) == 1


def test_not_json_is_error_6() -> None:
    assert code(spec.read_json, b"{nonsense") == 6
    assert code(spec.read_json, b"[]") == 6


def test_before_1_0_each_address_names_its_family() -> None:
    for version in ("0.3.1", "0.4.0"):
        shown = spec.render_result(RESULT, version)
        assert [i["version"] for i in shown["ips"]] == ["4", "6"]
        assert shown["cniVersion"] == version
    assert "version" not in spec.render_result(RESULT, "1.0.0")["ips"][0]


def test_mtu_appears_from_1_1_on() -> None:
    old, new = spec.render_result(RESULT, "1.0.0"), spec.render_result(RESULT, "1.1.0")
    assert "mtu" not in old["interfaces"][0]
    assert "mtu" not in old["routes"][0]
    assert new["interfaces"][0]["mtu"] == 1500
    assert new["routes"][0]["mtu"] == 1400


def test_an_error_is_told_in_the_specifications_shape() -> None:
    assert CniError(7, "bad", "why").to_json("1.0.0") == {
        "cniVersion": "1.0.0",
        "code": 7,
        "msg": "bad",
        "details": "why",
    }


def test_the_versions_are_listed() -> None:
    assert spec.version_result("0.4.0")["supportedVersions"] == [
        "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0",
    ]  # fmt: skip
