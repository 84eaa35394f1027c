"""A container's environment, by value."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Failed
from pykubelet.kubelet.pods.environment import ContainerConfigError, environment
from tests.support.world import Json, World, container, pod


def variables(*env: Json, world: World | None = None, **more: Any) -> dict[str, str]:
    env_from = more.pop("env_from", [])
    fields = more.pop("spec", {})
    one = container(env=list(env), envFrom=env_from)
    listed = environment(pod(containers=[one], **fields), one, sources=world or World(), **more)
    assert len(dict(listed)) == len(listed), "a name came twice"
    return dict(listed)


def var(name: str, value: str) -> Json:
    return {"name": name, "value": value}


def ref(variable: str, kind: str, **selector: Any) -> Json:
    return {"name": variable, "valueFrom": {kind: selector}}


@pytest.fixture
def world() -> World:
    it = World()
    it.put_config_map("settings", mode="fast", level="3")
    it.put_secret("login", user=b"ann", password=b"p=1")
    return it


# -- values -------------------------------------------------------------------------------------


def test_references_reach_what_was_set_before_and_nothing_else() -> None:
    found = variables(var("A", "1"), var("B", "$(A)-$(C)"), var("C", "3"))
    assert found == {"A": "1", "B": "1-$(C)", "C": "3"}


def test_a_doubled_dollar_is_a_dollar() -> None:
    assert variables(var("A", "1"), var("B", "$$(A) $$$(A) $x $"))["B"] == "$(A) $1 $x $"


def test_the_last_of_two_values_counts_and_may_build_on_the_first() -> None:
    assert variables(var("P", "/bin"), var("P", "$(P):/opt")) == {"P": "/bin:/opt"}


def test_fields_and_resources_and_addresses() -> None:
    found = variables(
        ref("NAME", "fieldRef", fieldPath="metadata.name"),
        ref("IP", "fieldRef", fieldPath="status.podIP"),
        ref("HOST", "fieldRef", fieldPath="status.hostIP"),
        ref("CPU", "resourceFieldRef", resource="limits.cpu"),
        var("URL", "http://$(IP)"),
        pod_ips=["10.0.0.7"],
        host_ips=["192.0.2.1"],
    )
    assert found == {
        "NAME": "web", "IP": "10.0.0.7", "HOST": "192.0.2.1", "CPU": "4", "URL": "http://10.0.0.7",
    }  # fmt: skip


def test_a_field_that_is_not_offered_stops_the_container() -> None:
    with pytest.raises(ContainerConfigError, match=r"field label not supported: spec\.x"):
        variables(ref("X", "fieldRef", fieldPath="spec.x"))


# -- ConfigMaps and Secrets -----------------------------------------------------------------------


def test_keys_of_config_maps_and_secrets(world: World) -> None:
    found = variables(
        ref("MODE", "configMapKeyRef", name="settings", key="mode"),
        ref("USER", "secretKeyRef", name="login", key="user"),
        world=world,
    )
    assert found == {"MODE": "fast", "USER": "ann"}


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        (ref("X", "configMapKeyRef", name="no", key="k"), 'configmap "no" not found'),
        (ref("X", "secretKeyRef", name="no", key="k"), 'secret "no" not found'),
        (
            ref("X", "configMapKeyRef", name="settings", key="k"),
            "couldn't find key k in ConfigMap shop/settings",
        ),
        (
            ref("X", "secretKeyRef", name="login", key="k"),
            "couldn't find key k in Secret shop/login",
        ),
    ],
)
def test_what_is_missing_is_said_in_upstreams_words(
    world: World, variable: Json, sentence: str
) -> None:
    with pytest.raises(ContainerConfigError) as caught:
        variables(variable, world=world)
    assert str(caught.value) == sentence
    assert caught.value.reason == "CreateContainerConfigError"


def test_what_is_optional_may_be_missing(world: World) -> None:
    found = variables(
        ref("A", "configMapKeyRef", name="no", key="k", optional=True),
        ref("B", "configMapKeyRef", name="settings", key="k", optional=True),
        ref("C", "secretKeyRef", name="login", key="k", optional=True),
        world=world,
        env_from=[{"secretRef": {"name": "no", "optional": True}}],
    )
    assert found == {}


def test_an_optional_reference_does_not_excuse_a_required_one(world: World) -> None:
    with pytest.raises(ContainerConfigError, match='configmap "no" not found'):
        variables(
            ref("A", "configMapKeyRef", name="no", key="k", optional=True),
            ref("B", "configMapKeyRef", name="no", key="k"),
            world=world,
        )


def test_whole_config_maps_come_first_and_with_their_prefix(world: World) -> None:
    found = variables(
        var("level", "$(level)0"),
        world=world,
        env_from=[
            {"configMapRef": {"name": "settings"}},
            {"secretRef": {"name": "login"}, "prefix": "DB_"},
        ],
    )
    assert found == {"mode": "fast", "level": "30", "DB_user": "ann", "DB_password": "p=1"}


def test_a_later_source_wins(world: World) -> None:
    world.put_config_map("more", mode="slow")
    found = variables(
        world=world,
        env_from=[{"configMapRef": {"name": "settings"}}, {"configMapRef": {"name": "more"}}],
    )
    assert found["mode"] == "slow"


def test_names_that_no_variable_can_have_are_left_out_and_said(world: World) -> None:
    world.config_maps["shop/odd"] = {"data": {"a=b": "1", "data-1": "2", "": "3"}}
    warnings: list[str] = []
    found = variables(
        world=world, env_from=[{"configMapRef": {"name": "odd"}}], warn=warnings.append
    )
    assert found == {"data-1": "2"}
    assert len(warnings) == 1
    assert "a=b" in warnings[0]
    assert "shop/odd" in warnings[0]


def test_binary_data_of_a_config_map_is_no_variable(world: World) -> None:
    world.config_maps["shop/b"] = {"data": {"t": "1"}, "binaryData": {"x": "AAEC"}}
    assert variables(world=world, env_from=[{"configMapRef": {"name": "b"}}]) == {"t": "1"}


@pytest.mark.parametrize("value", [b"\xff\xfe", b"a\0b"])
def test_a_secret_that_is_not_text_is_refused_with_what_to_do(world: World, value: bytes) -> None:
    world.put_secret("key", it=value)
    with pytest.raises(ContainerConfigError, match="mount it as a file"):
        variables(ref("K", "secretKeyRef", name="key", key="it"), world=world)


def test_a_whole_secret_gives_what_is_text_and_the_rest_is_said(world: World) -> None:
    world.put_secret("mixed", password=b"p", keystore=b"\xfe\xed\0")
    warnings: list[str] = []
    found = variables(
        world=world, env_from=[{"secretRef": {"name": "mixed"}}], warn=warnings.append
    )
    assert found == {"password": "p"}
    assert warnings == [
        "Keys [keystore] from the EnvFrom secret shop/mixed were skipped since their values are "
        "not text."
    ]


def test_a_secret_that_is_not_base64_names_the_key(world: World) -> None:
    world.secrets["shop/bad"] = {"data": {"it": "***"}}
    with pytest.raises(ContainerConfigError, match="key it is not base64"):
        variables(ref("K", "secretKeyRef", name="bad", key="it"), world=world)


def test_string_data_of_a_secret_beside_the_manifest_is_taken(world: World) -> None:
    world.secrets["shop/s"] = {
        "data": {"a": base64.b64encode(b"old").decode()},
        "stringData": {"a": "new"},
    }
    assert variables(ref("A", "secretKeyRef", name="s", key="a"), world=world) == {"A": "new"}


def test_a_source_that_can_not_be_asked_is_another_error() -> None:
    class Away(World):
        def config_map(self, namespace: str, name: str) -> Json | None:
            raise Failed("the API server does not answer")

    with pytest.raises(Failed, match="does not answer") as caught:
        variables(ref("A", "configMapKeyRef", name="x", key="k", optional=True), world=Away())
    assert not isinstance(caught.value, ContainerConfigError)


# -- files --------------------------------------------------------------------------------------


def from_file(text: str | None, **selector: Any) -> dict[str, str]:
    selector = {"volumeName": "v", "path": "x.env", "key": "K", **selector}
    return variables(ref("K", "fileKeyRef", **selector), read_file=lambda volume, path: text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("K='v'", "v"),
        ("# c\n\n  OTHER='x'\n\tK='a b'  # why\n", "a b"),
        ("K='two\nlines'\n", "two\nlines"),
        ("K='$(x) \\n \"'", '$(x) \\n "'),
        ("K='first'\nK='second'", "first"),
        ("K='v'\r\n", "v"),
    ],
)
def test_a_variable_from_a_file(text: str, value: str) -> None:
    assert from_file(text) == {"K": value}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("K=v", "line 1: value must be enclosed in single quotes"),
        ("\nK ='v'", "line 2: whitespace before '=' is not allowed"),
        ("K='v' x", "line 1: unexpected content after closing quote"),
        ("K='v", "line 1: unclosed single quote"),
        ("export", "line 1: missing '='"),
        ("='v'", "line 1: empty variable name"),
    ],
)
def test_a_file_that_strays_from_the_syntax_names_the_line(text: str, why: str) -> None:
    with pytest.raises(ContainerConfigError, match=why):
        from_file(text)


def test_a_key_or_file_that_is_missing() -> None:
    assert from_file("OTHER='x'", optional=True) == from_file(None, optional=True) == {}
    with pytest.raises(ContainerConfigError, match=r"key 'K' not found in file 'x\.env'"):
        from_file("OTHER='x'")
    with pytest.raises(ContainerConfigError, match=r"no env file 'x\.env' in volume 'v'"):
        from_file(None)


@given(st.text(st.characters(blacklist_characters="'\r\0", blacklist_categories=("Cs",))))
def test_whatever_stands_between_single_quotes_comes_out(value: str) -> None:
    found = from_file(f"A='x'\nK='{value}' # c\n", optional=True)
    assert found == ({"K": value} if value else {})


# -- services -----------------------------------------------------------------------------------


def service(name: str, namespace: str, ip: str, *ports: Json) -> Json:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": ip, "ports": list(ports) or [{"port": 80, "protocol": "TCP"}]},
    }


API = service("kubernetes", "default", "10.96.0.1", {"name": "https", "port": 443})


def test_the_api_server_is_always_there_and_others_of_the_namespace_if_wanted() -> None:
    others = [API, service("db", "shop", "10.96.0.2"), service("far", "else", "10.96.0.3")]
    found = variables(services=others)
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert found["DB_SERVICE_HOST"] == "10.96.0.2"
    assert "FAR_SERVICE_HOST" not in found
    without = variables(services=others, spec={"enableServiceLinks": False})
    assert "KUBERNETES_SERVICE_HOST" in without
    assert "DB_SERVICE_HOST" not in without


def test_the_variables_of_one_service() -> None:
    udp = {"name": "dns-udp", "port": 53, "protocol": "UDP"}
    found = variables(services=[service("my-dns.v2", "shop", "10.96.0.9", udp)])
    assert found == {
        "MY_DNS_V2_SERVICE_HOST": "10.96.0.9",
        "MY_DNS_V2_SERVICE_PORT": "53",
        "MY_DNS_V2_SERVICE_PORT_DNS_UDP": "53",
        "MY_DNS_V2_PORT": "udp://10.96.0.9:53",
        "MY_DNS_V2_PORT_53_UDP": "udp://10.96.0.9:53",
        "MY_DNS_V2_PORT_53_UDP_PROTO": "udp",
        "MY_DNS_V2_PORT_53_UDP_PORT": "53",
        "MY_DNS_V2_PORT_53_UDP_ADDR": "10.96.0.9",
    }


def test_services_without_an_address_give_nothing_and_ipv6_is_bracketed() -> None:
    headless = [service("h", "shop", "None"), service("x", "shop", "")]
    assert variables(services=headless) == {}
    assert variables(services=[service("s", "shop", "fd00::1")])["S_PORT"] == "tcp://[fd00::1]:80"


def test_values_may_refer_to_services_and_may_replace_their_variables() -> None:
    found = variables(
        var("URL", "https://$(KUBERNETES_SERVICE_HOST)"),
        var("KUBERNETES_SERVICE_HOST", "elsewhere"),
        services=[API],
    )
    assert found["URL"] == "https://10.96.0.1"
    assert found["KUBERNETES_SERVICE_HOST"] == "elsewhere"
