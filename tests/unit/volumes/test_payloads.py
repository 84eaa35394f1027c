"""What the file-writing volume types put into their files, by value."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykubelet.kubelet.volumes.model import File, Volume, VolumeError
from pykubelet.kubelet.volumes.projected import single_user
from pykubelet.kubelet.volumes.registry import TYPES
from tests.support.world import Json, World, container, pod


@pytest.fixture
def world() -> World:
    it = World()
    it.put_config_map("settings", mode="fast", level="3")
    it.config_maps["shop/settings"]["binaryData"] = {"logo": "AAEC"}
    it.put_secret("login", user=b"ann", key=b"\xff\0")
    return it


def payload(world: World, key: str, source: Json, of: Json | None = None) -> dict[str, File]:
    kind = TYPES[key]
    assert kind.payload is not None
    return dict(
        kind.payload(
            Volume(
                pod=of or pod(),
                name="v",
                source=source,
                folder=Path("/nowhere"),
                state=Path("/nowhere"),
                sources=world,
            )
        )
    )


def refusal(world: World, key: str, source: Json) -> VolumeError:
    with pytest.raises(VolumeError) as caught:
        payload(world, key, source)
    assert caught.value.volume == "v"
    return caught.value


# -- configMap and secret -----------------------------------------------------------------------


def test_every_key_is_a_file() -> None:
    world = World()
    world.put_config_map("c", a="1")
    assert payload(world, "configMap", {"name": "c"}) == {"a": File(b"1", 0o644)}


def test_text_and_binary_keys_of_a_config_map(world: World) -> None:
    found = payload(world, "configMap", {"name": "settings", "defaultMode": 0o400})
    assert found == {
        "mode": File(b"fast", 0o400),
        "level": File(b"3", 0o400),
        "logo": File(b"\0\1\2", 0o400),
    }


def test_items_choose_keys_paths_and_modes(world: World) -> None:
    items = [{"key": "user", "path": "who/name"}, {"key": "key", "path": "key", "mode": 0o400}]
    found = payload(world, "secret", {"secretName": "login", "items": items})
    assert found == {"who/name": File(b"ann", 0o644), "key": File(b"\xff\0", 0o400)}


@pytest.mark.parametrize(
    ("key", "source", "sentence"),
    [
        ("configMap", {"name": "no"}, 'configmap "no" not found'),
        ("secret", {"secretName": "no"}, 'secret "no" not found'),
        (
            "configMap",
            {"name": "settings", "items": [{"key": "k", "path": "p"}]},
            "configmap references non-existent config key: k",
        ),
        (
            "secret",
            {"secretName": "login", "items": [{"key": "k", "path": "p"}]},
            "references non-existent secret key: k",
        ),
    ],
)
def test_what_is_missing_is_said_in_upstreams_words(
    world: World, key: str, source: Json, sentence: str
) -> None:
    error = refusal(world, key, source)
    assert str(error) == f'MountVolume.SetUp failed for volume "v" : {sentence}'
    assert error.waiting_may_help
    assert error.reason == "FailedMount"


def test_what_is_optional_may_be_missing(world: World) -> None:
    assert payload(world, "configMap", {"name": "no", "optional": True}) == {}
    items = [{"key": "k", "path": "p"}, {"key": "user", "path": "u"}]
    source = {"secretName": "login", "optional": True, "items": items}
    assert payload(world, "secret", source) == {"u": File(b"ann", 0o644)}


def test_a_value_that_is_not_base64_names_the_key(world: World) -> None:
    world.secrets["shop/bad"] = {"data": {"k": "?"}}
    error = refusal(world, "secret", {"secretName": "bad"})
    assert "the value of key k is not base64" in str(error)


# -- downwardAPI --------------------------------------------------------------------------------


def test_fields_and_resources_as_files(world: World) -> None:
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {
            "path": "cpu",
            "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"},
            "mode": 0o400,
        },
    ]
    assert payload(world, "downwardAPI", {"items": items}) == {
        "labels": File(b'app="web"\ntier="front"', 0o644),
        "cpu": File(b"4", 0o400),
    }


def test_a_field_that_is_not_offered_can_not_come_by_waiting(world: World) -> None:
    items = [{"path": "x", "fieldRef": {"fieldPath": "spec.x"}}]
    error = refusal(world, "downwardAPI", {"items": items})
    assert "field label not supported: spec.x" in str(error)
    assert not error.waiting_may_help


# -- projected ----------------------------------------------------------------------------------


def test_all_five_sources_in_one_folder(world: World) -> None:
    world.bundles["roots"] = "PEM"
    sources = [
        {"configMap": {"name": "settings", "items": [{"key": "mode", "path": "mode"}]}},
        {"secret": {"name": "login", "items": [{"key": "user", "path": "user"}]}},
        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
        {"clusterTrustBundle": {"name": "roots", "path": "ca.pem"}},
    ]
    assert payload(world, "projected", {"sources": sources, "defaultMode": 0o440}) == {
        "mode": File(b"fast", 0o440),
        "user": File(b"ann", 0o440),
        "n": File(b"web", 0o440),
        "token": File(b"a-token", 0o440),
        "ca.pem": File(b"PEM", 0o440),
    }
    assert world.tokens_asked == [("vault", 600)]


TOKEN = {"sources": [{"serviceAccountToken": {"path": "token"}}]}


def test_a_token_belongs_to_the_pods_one_user_or_group_alone(world: World) -> None:
    same = pod(securityContext={"runAsUser": 1000})
    assert payload(world, "projected", TOKEN, same)["token"] == File(b"a-token", 0o600, 1000)
    group = pod(securityContext={"fsGroup": 2000})
    assert payload(world, "projected", TOKEN, group)["token"] == File(b"a-token", 0o600)
    assert payload(world, "projected", TOKEN)["token"] == File(b"a-token", 0o644)


def test_the_pods_one_user() -> None:
    other = container("b", securityContext={"runAsUser": 5})
    assert single_user(pod(containers=[container(), other])) is None
    assert single_user(pod(containers=[other])) == 5
    assert single_user(pod(containers=[container(), other], securityContext={"runAsUser": 5})) == 5


def test_where_nobody_issues_tokens_that_is_said(world: World) -> None:
    world.token = None
    error = refusal(world, "projected", TOKEN)
    assert "failed to fetch token: there is no API server" in str(error)


def test_everything_that_is_missing_is_said_at_once(world: World) -> None:
    sources = [
        {"configMap": {"name": "no"}},
        {"secret": {"name": "nor"}},
        {"clusterTrustBundle": {"signerName": "s", "path": "p"}},
    ]
    error = refusal(world, "projected", {"sources": sources})
    assert str(error) == (
        'MountVolume.SetUp failed for volume "v" : [configmap "no" not found, '
        'secret "nor" not found, trust bundle of signer "s" not found]'
    )


def test_a_trust_bundle_that_need_not_be_there_is_an_empty_file(world: World) -> None:
    sources = [{"clusterTrustBundle": {"name": "x", "path": "p", "optional": True}}]
    assert payload(world, "projected", {"sources": sources}) == {"p": File(b"", 0o644)}


def test_a_projection_that_is_not_known_is_refused_by_name(world: World) -> None:
    error = refusal(world, "projected", {"sources": [{"podCertificate": {}}]})
    assert "podCertificate" in str(error)
    assert not error.waiting_may_help
