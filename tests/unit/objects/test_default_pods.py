"""What a pod gets where it says nothing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pykubelet.objects.defaults.pods import default, pull_policy


def filled(**spec: Any) -> dict[str, Any]:
    made = default({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], **spec}})
    result: dict[str, Any] = made["spec"]
    return result


def test_a_bare_pod_gets_upstreams_defaults_and_the_input_is_left_alone() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    before = copy.deepcopy(pod)
    assert default(pod)["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "busybox",
                "imagePullPolicy": "Always",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }
    assert pod == before


def test_defaulting_twice_changes_nothing() -> None:
    once = default({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1}]}],
                             "hostNetwork": True, "volumes": [{"name": "v"}]}})  # fmt: skip
    assert default(once) == once


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("registry:5000/a", "Always"),
        ("registry:5000/a:1", "IfNotPresent"),
        ("a@sha256:" + "0" * 64, "IfNotPresent"),
        ("a:latest@sha256:" + "0" * 64, "Always"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_limits_are_requests_and_host_ports_are_container_ports_on_the_host_network() -> None:
    spec = filled(
        hostNetwork=True,
        containers=[
            {
                "name": "c",
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "5m"}},
                "ports": [{"containerPort": 80}],
            }
        ],
    )
    (container,) = spec["containers"]
    assert container["resources"]["requests"] == {"cpu": "5m", "memory": "1Gi"}
    assert container["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


def test_probes_and_volumes() -> None:
    spec = filled(
        containers=[{"name": "c", "livenessProbe": {"httpGet": {"port": 80}},
                     "lifecycle": {"preStop": {"httpGet": {"port": 80}}}}],
        volumes=[{"name": "a"}, {"name": "b", "emptyDir": None}, {"name": "c", "secret": {}},
                 {"name": "d", "hostPath": {"path": "/"}},
                 {"name": "e", "projected": {"sources": [
                     {"serviceAccountToken": {"path": "t"}},
                     {"downwardAPI": {"items": [{"fieldRef": {"fieldPath": "x"}}]}}]}}],
    )  # fmt: skip
    assert spec["containers"][0]["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    }  # fmt: skip
    assert spec["containers"][0]["lifecycle"]["preStop"]["httpGet"]["scheme"] == "HTTP"
    a, b, c, d, e = spec["volumes"]
    assert a["emptyDir"] == b["emptyDir"] == {}
    assert c["secret"] == {"defaultMode": 0o644}
    assert d["hostPath"] == {"path": "/", "type": ""}
    token, fields = e["projected"]["sources"]
    assert token["serviceAccountToken"]["expirationSeconds"] == 3600
    assert fields["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] == "v1"


def test_resources_of_the_pod_are_completed() -> None:
    spec = filled(
        resources={"limits": {"cpu": "2", "memory": "1Gi"}},
        containers=[{"name": "c", "resources": {"requests": {"cpu": "500m"}}}],
    )
    assert spec["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    spec = filled(
        resources={"requests": {"cpu": "1"}},
        containers=[{"name": "c", "resources": {"limits": {"cpu": "2"}}}],
    )
    assert spec["resources"]["limits"] == {"cpu": "2"}


def test_the_old_and_the_new_name_of_the_service_account_agree() -> None:
    assert filled(serviceAccount="x")["serviceAccountName"] == "x"
    assert filled(serviceAccountName="x")["serviceAccount"] == "x"
