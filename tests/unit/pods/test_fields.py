"""The downward API's answers, by value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Invalid
from pykubelet.kubelet.pods.fields import field_value, format_map, quoted, resource_value
from tests.support.world import container, pod

POD = pod(serviceAccountName="robot")
IPS = {"pod_ips": ["10.0.0.7", "fd00::7"], "host_ips": ["192.0.2.1", "2001:db8::1"]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "uid-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['nobody']", ""),
        ("metadata.annotations['note']", 'say "hi"\nthere'),
        ("metadata.labels", 'app="web"\ntier="front"'),
        ("metadata.annotations", r'note="say \"hi\"\nthere"'),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "robot"),
        ("spec.restartPolicy", "Always"),
        ("status.hostIP", "192.0.2.1"),
        ("status.hostIPs", "192.0.2.1,2001:db8::1"),
        ("status.podIP", "10.0.0.7"),
        ("status.podIPs", "10.0.0.7,fd00::7"),
    ],
)
def test_every_field_that_a_pod_may_ask_for(path: str, value: str) -> None:
    assert field_value(POD, path, **IPS) == value


def test_a_field_that_is_not_offered_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match=r"field label not supported: spec\.containers"):
        field_value(POD, "spec.containers")


def test_addresses_that_are_not_known_yet_read_as_empty() -> None:
    assert field_value(POD, "status.podIP") == field_value(POD, "status.hostIPs") == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", '"plain"'),
        ("ünïcode ☃", '"ünïcode ☃"'),
        ("\x00\x1b\x7f", r'"\x00\x1b\x7f"'),
        ("a\tb\\", r'"a\tb\\"'),
        ("\u200b\U000e0001", r'"\u200b\U000e0001"'),
    ],
)
def test_labels_are_quoted_as_a_program_could_read_them_back(text: str, shown: str) -> None:
    assert quoted(text) == shown


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_a_file_of_labels_has_one_line_a_label_whatever_is_in_it(labels: dict[str, str]) -> None:
    values = {f"k{i}": text for i, text in enumerate(labels.values())}
    assert len(format_map(values).split("\n")) == max(1, len(values))


RESOURCES = container(
    resources={
        "limits": {"cpu": "1500m", "memory": "100Mi", "hugepages-2Mi": "4Mi"},
        "requests": {"cpu": "250m"},
    }
)


def resource(name: str, of: object = RESOURCES, **selector: str) -> str:
    it = of if isinstance(of, dict) else None
    allocatable = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "10Gi"}
    selector = {"resource": name, **selector}
    return resource_value(selector, pod(containers=[RESOURCES]), it, allocatable=allocatable)


@pytest.mark.parametrize(
    ("name", "divisor", "value"),
    [
        ("limits.cpu", "", "2"),
        ("limits.cpu", "1m", "1500"),
        ("requests.cpu", "1m", "250"),
        ("requests.cpu", "", "1"),
        ("limits.memory", "", "104857600"),
        ("limits.memory", "1Mi", "100"),
        ("limits.memory", "1Gi", "1"),
        ("requests.memory", "1Mi", "100"),
        ("limits.hugepages-2Mi", "1Mi", "4"),
        ("limits.ephemeral-storage", "1Gi", "10"),
        ("limits.cpu", "0", "2"),
    ],
)
def test_resources_in_units_of_the_divisor_rounded_up(name: str, divisor: str, value: str) -> None:
    assert resource(name, divisor=divisor) == value


def test_a_container_without_a_limit_may_use_what_the_node_can_give() -> None:
    assert resource("limits.cpu", container()) == "4"
    assert resource("limits.memory", container(), divisor="1Gi") == "8"
    assert resource("limits.hugepages-2Mi", container()) == "0"
    assert resource("requests.memory", container()) == "0"


def test_the_pods_own_limit_comes_before_the_nodes() -> None:
    limited = pod(containers=[container()], resources={"limits": {"memory": "1Gi"}})
    selector = {"resource": "limits.memory", "divisor": "1Mi"}
    assert resource_value(selector, limited, container(), allocatable={"memory": "8Gi"}) == "1024"


def test_another_container_is_asked_by_name() -> None:
    assert resource("limits.cpu", None, containerName="main", divisor="1m") == "1500"
    with pytest.raises(Invalid, match="container ghost not found"):
        resource("limits.cpu", None, containerName="ghost")


@pytest.mark.parametrize("name", ["limits.gpu", "cpu", "", "usage.cpu"])
def test_a_resource_that_is_not_offered_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="unsupported container resource"):
        resource(name)
