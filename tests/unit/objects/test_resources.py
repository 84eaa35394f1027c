"""Requests, limits and QoS of whole pods."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pykubelet.objects import resources


def container(name: str = "c", restart: str = "", **sets: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name, "resources": sets}
    return {**made, "restartPolicy": restart} if restart else made


def asking(cpu: str, **more: Any) -> dict[str, Any]:
    return container(requests={"cpu": cpu}, **more)


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


def test_regular_containers_add_up_and_init_containers_take_turns() -> None:
    one = pod(asking("1"), asking("500m"), initContainers=[asking("2"), asking("3")])
    assert resources.requests(one) == {"cpu": 3}
    assert resources.requests(pod(asking("1"), asking("500m"))) == {"cpu": Fraction(3, 2)}


def test_a_sidecar_counts_beside_all_that_start_after_it() -> None:
    one = pod(asking("1"), initContainers=[asking("2"), asking("1", restart="Always"), asking("2")])
    assert resources.requests(one) == {"cpu": 3}  # the second plain init beside the sidecar
    two = pod(asking("5"), initContainers=[asking("1", restart="Always"), asking("2")])
    assert resources.requests(two) == {"cpu": 6}


def test_overhead_raises_requests_and_only_limits_that_exist() -> None:
    one = pod(
        container(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "2"}),
        overhead={"cpu": "100m", "memory": "1Mi"},
    )
    assert resources.requests(one) == {"cpu": Fraction(11, 10), "memory": 2**30 + 2**20}
    assert resources.limits(one) == {"cpu": Fraction(21, 10)}


def test_resources_of_the_pod_take_the_place_of_the_sums() -> None:
    one = pod(
        container(requests={"cpu": "1", "example.com/gpu": "1"}),
        resources={"requests": {"cpu": "3"}, "limits": {"cpu": "4", "memory": "1Gi"}},
    )
    assert resources.requests(one) == {"cpu": 3, "memory": 2**30, "example.com/gpu": 1}
    assert resources.limits(one) == {"cpu": 4, "memory": 2**30}


def test_a_limit_without_a_request_is_the_request() -> None:
    assert resources.container_requests(container(limits={"cpu": "1"})) == {"cpu": 1}


FULL = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (pod(container()), "BestEffort"),
        (pod(container(requests={"cpu": "0"})), "BestEffort"),
        (pod(container(requests={"example.com/gpu": "1"})), "BestEffort"),
        (pod(asking("1m")), "Burstable"),
        (pod(container(limits=FULL)), "Guaranteed"),
        (pod(container(limits=FULL, requests={"cpu": "1000m", "memory": "1024Mi"})), "Guaranteed"),
        (pod(container(limits=FULL, requests={"cpu": "1m"})), "Burstable"),
        (pod(container(limits=FULL), container()), "Burstable"),
        (pod(container(limits=FULL), initContainers=[container()]), "Burstable"),
        (pod(container(), resources={"limits": FULL}), "Guaranteed"),
        (pod(container(limits=FULL), resources={"requests": {"cpu": "5"}}), "Burstable"),
    ],
)
def test_the_qos_class_follows_from_the_spec(spec: dict[str, Any], expected: str) -> None:
    assert resources.qos_class(spec) == expected
