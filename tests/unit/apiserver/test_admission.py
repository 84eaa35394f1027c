"""Admission's decisions by values: the pod standards, limit ranges, quotas, mounted tokens."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pykubelet.apiserver.admission import limit_ranger, pod_standards
from pykubelet.apiserver.admission.node_restriction import _is_reserved
from pykubelet.apiserver.admission.plugins import admission, known
from pykubelet.apiserver.admission.service_account import mount_token
from pykubelet.errors import Invalid
from pykubelet.objects import quota

Json = dict[str, Any]

RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
              "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}  # fmt: skip


def container(**context: Any) -> Json:
    return {"name": "c", "image": "x", "securityContext": context}


def found(level: str, minor: int = pod_standards.LATEST, **spec: Any) -> str:
    spec.setdefault("containers", [container()])
    return pod_standards.sentence(pod_standards.violations({}, spec, level, minor))


BASELINE = [
    ({"hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
    ({"containers": [container(privileged=True)]},
     'privileged (container "c" must not set securityContext.privileged=true)'),
    ({"containers": [container(capabilities={"add": ["NET_ADMIN"]})]},
     'non-default capabilities (container "c" must not include "NET_ADMIN" in '
     "securityContext.capabilities.add)"),
    ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
    ({"containers": [{"name": "c", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]},
     'hostPort (container "c" uses hostPorts 443, 80)'),
    ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}},
     "forbidden sysctls (kernel.msgmax)"),
    ({"containers": [container(procMount="Unmasked")]},
     'procMount (container "c" must not set securityContext.procMount to "Unmasked")'),
    ({"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}}},
     'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "x"; user may not be '
     "set)"),
    ({"containers": [container(seccompProfile={"type": "Unconfined"})]},
     'seccompProfile (container "c" must not set securityContext.seccompProfile.type to '
     '"Unconfined")'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), BASELINE, ids=lambda v: str(v)[:40])
def test_what_baseline_forbids(spec: Json, expected: str) -> None:
    assert found("baseline", **spec) == expected
    assert found("privileged", **spec) == ""
    assert found("restricted", **spec)


def test_an_ordinary_pod_is_fine_for_baseline_and_not_for_restricted() -> None:
    assert found("baseline") == ""
    assert found("restricted") == (
        'allowPrivilegeEscalation != false (container "c" must set '
        "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "
        '"c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or '
        'container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or '
        'container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )
    assert found("restricted", containers=[container(**RESTRICTED)]) == ""


def test_the_version_decides_which_rules_there_are() -> None:
    sysctl = {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}}
    assert found("baseline", 31, **sysctl) != ""
    assert found("baseline", 32, **sysctl) == ""
    root = {"hostUsers": False, "containers": [container(**{**RESTRICTED, "runAsNonRoot": None})]}
    assert found("restricted", 34, **root) != ""
    assert found("restricted", 35, **root) == ""


def test_every_container_without_a_token_gets_one_volume() -> None:
    there = {"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    spec: Json = {"containers": [{"name": "a"}, {"name": "b", "volumeMounts": [there]}],
                  "initContainers": [{"name": "i"}]}  # fmt: skip
    mount_token(spec)
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert spec["containers"][0]["volumeMounts"][0]["name"] == volume["name"]
    assert spec["initContainers"][0]["volumeMounts"][0]["readOnly"] is True
    assert spec["containers"][1]["volumeMounts"] == [there]


# -- limit ranges --------------------------------------------------------------------------------


def pod(requests: Json, limits: Json) -> Json:
    resources = {"requests": requests, "limits": limits}
    return {"metadata": {}, "spec": {"containers": [{"name": "c", "resources": resources}]}}


def test_a_limit_range_fills_in_what_a_container_does_not_say() -> None:
    one = pod({"cpu": "1"}, {})
    limits = [{"type": "Container", "default": {"cpu": "2", "memory": "1Gi"},
               "defaultRequest": {"cpu": "100m", "memory": "1Gi"}}]  # fmt: skip
    limit_ranger.fill_requests(one, limits)
    assert one["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "1Gi"},
    }
    assert one["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: memory request for container c; "
        "cpu, memory limit for container c"
    }


@pytest.mark.parametrize(
    ("item", "requests", "limits", "expected"),
    [
        ({"max": {"cpu": "1"}}, {"cpu": "1"}, {"cpu": "2"},
         "maximum cpu usage per Container is 1, but limit is 2"),
        ({"max": {"cpu": "1"}}, {}, {}, "maximum cpu usage per Container is 1.  No limit is specified"),  # noqa: E501
        ({"min": {"memory": "1Gi"}}, {"memory": "512Mi"}, {},
         "minimum memory usage per Container is 1Gi, but request is 512Mi"),
        ({"min": {"cpu": "1"}}, {}, {},
         "minimum cpu usage per Container is 1.  No request is specified"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {"cpu": "1"}, {"cpu": "4"},
         "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {}, {"cpu": "4"},
         "cpu max limit to request ratio per Container is 2, but no request is specified or "
         "request is 0"),
    ],
)  # fmt: skip
def test_a_limit_range_bounds_containers(
    item: Json, requests: Json, limits: Json, expected: str
) -> None:
    given = [{"type": "Container", **item}]
    assert list(limit_ranger.of_pod(pod(requests, limits), given)) == [expected]


def test_a_limit_range_bounds_claims() -> None:
    claim = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    limits = [{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]
    assert list(limit_ranger.of_claim(claim, limits)) == [
        "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    ]


# -- quotas --------------------------------------------------------------------------------------


def test_what_objects_count_for() -> None:
    one = pod({"cpu": "500m", "example.com/gpu": "1"}, {"cpu": "1", "example.com/gpu": "1"})
    assert quota.usage("pods", one) == {
        "count/pods": 1, "pods": 1, "requests.cpu": Fraction(1, 2), "cpu": Fraction(1, 2),
        "requests.example.com/gpu": 1, "limits.cpu": 1,
    }  # fmt: skip
    ended = {**one, "status": {"phase": "Succeeded"}}
    assert quota.usage("pods", ended) == {"count/pods": 1}
    service = {"spec": {"type": "LoadBalancer", "ports": [{}, {}]}}
    assert quota.usage("services", service)["services.nodeports"] == 2
    claim = {"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}}
    assert (
        quota.usage("persistentvolumeclaims", claim)[
            "gold.storageclass.storage.k8s.io/requests.storage"
        ]
        == 1024**3
    )
    assert quota.usage("deployments.apps", {}) == {"count/deployments.apps": 1}


@pytest.mark.parametrize(
    ("scope", "spec", "expected"),
    [
        ({"scopes": ["BestEffort"]}, {}, True),
        ({"scopes": ["NotBestEffort"]}, {}, False),
        ({"scopes": ["Terminating"]}, {"activeDeadlineSeconds": 5}, True),
        ({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}},
         {"priorityClassName": "high"}, True),
        ({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}},
         {"priorityClassName": "low"}, False),
    ],
)  # fmt: skip
def test_a_quota_means_the_pods_in_its_scope(scope: Json, spec: Json, expected: bool) -> None:
    assert quota.covers({"spec": scope}, "pods", {"spec": spec}) is expected


def test_what_a_quota_counts_must_be_said() -> None:
    said = quota.unspecified(pod({"cpu": "1"}, {}), ["requests.cpu", "limits.cpu", "memory"])
    assert said == "must specify limits.cpu for: c; memory for: c"


# -- the rest ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "reserved"),
    [
        ("kubernetes.io/hostname", False),
        ("topology.kubernetes.io/zone", False),
        ("node.kubernetes.io/anything", False),
        ("example.com/mine", False),
        ("mine", False),
        ("node-restriction.kubernetes.io/tenant", True),
        ("node-role.kubernetes.io/control-plane", True),
        ("x.k8s.io/a", True),
    ],
)
def test_labels_that_a_kubelet_may_not_give_itself(label: str, reserved: bool) -> None:
    assert _is_reserved(label) is reserved


def test_plugins_are_switched_by_name() -> None:
    names = [plugin.name for plugin in admission().plugins]
    off = "OwnerReferencesPermissionEnforcement"
    assert names == ["RBACEscalation", *(p.name for p in known() if p.name != off)]
    assert names[-1] == "ResourceQuota"
    chosen = admission(["OwnerReferencesPermissionEnforcement"], ["ServiceAccount"])
    assert "ServiceAccount" not in [plugin.name for plugin in chosen.plugins]
    with pytest.raises(Invalid, match="Nonsense"):
        admission(["Nonsense"])
