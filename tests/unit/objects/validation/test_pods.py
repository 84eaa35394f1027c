"""What is wrong with a pod is said with upstream's path and words."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pykubelet.objects import schema
from pykubelet.objects.defaults.pods import default
from pykubelet.objects.schema import tables
from pykubelet.objects.validation.pods import validate


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], **spec},
    }


def with_container(**more: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "busybox", **more}])


def errors(given: dict[str, Any]) -> list[str]:
    filled = default(given)
    assert [e for e in schema.check("core/v1.Pod", filled) if e.kind != "required"] == []
    return [str(error) for error in validate(filled)]


GOOD = [
    pod(),
    pod(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet", hostname="a", subdomain="b"),
    pod(
        volumes=[
            {"name": "a", "hostPath": {"path": "/x", "type": "DirectoryOrCreate"}},
            {"name": "b", "configMap": {"name": "c", "items": [{"key": "k", "path": "a/b"}]}},
            {"name": "c", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        ],
        initContainers=[
            {"name": "i", "image": "x"},
            {"name": "s", "image": "x", "restartPolicy": "Always",
             "startupProbe": {"tcpSocket": {"port": 5}}},
        ],
        containers=[
            {
                "name": "c",
                "image": "x",
                "command": ["a"],
                "env": [
                    {"name": "A", "value": "$(B)"},
                    {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "C", "valueFrom": {"fieldRef": {
                        "fieldPath": "metadata.labels['a/b']"}}},
                    {"name": "D", "valueFrom": {"resourceFieldRef": {
                        "resource": "limits.cpu", "divisor": "1m"}}},
                    {"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "x"}, "prefix": "P_"}],
                "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "x/y"},
                                 {"name": "b", "mountPath": "/b"}],
                "livenessProbe": {"httpGet": {"port": "http"}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                "ports": [{"name": "http", "containerPort": 80, "hostPort": 8080}],
                "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi",
                              "example.com/gpu": 1}},
                "securityContext": {"runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
            }
        ],
        tolerations=[{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute",
                                              "tolerationSeconds": 5}],
        securityContext={"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize("given", GOOD)
def test_good_pods_pass(given: dict[str, Any]) -> None:
    assert errors(given) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"metadata": {"name": "Web", "namespace": "d"}, "spec": pod()["spec"]},
         'metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain must consist of'),
        ({"metadata": {"namespace": "d"}, "spec": pod()["spec"]},
         "metadata.name: Required value: name or generateName is required"),
        (pod(containers=[]), "spec.containers: Required value"),
        (pod(containers=[{"name": "c"}]), "spec.containers[0].image: Required value"),
        (pod(containers=[{"name": "c", "image": "x"}, {"name": "c", "image": "x"}]),
         'spec.containers[1].name: Duplicate value: "c"'),
        (pod(initContainers=[{"name": "c", "image": "x"}]),
         'spec.initContainers[0].name: Duplicate value: "c"'),
        (pod(initContainers=[{"name": "i", "image": "x", "livenessProbe": {"exec": {"command":
         ["a"]}}}]), "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init "
         "containers without restartPolicy=Always"),
        (pod(restartPolicy="Sometimes"), 'spec.restartPolicy: Unsupported value: "Sometimes": '
         'supported values: "Always", "Never", "OnFailure"'),
        (pod(dnsPolicy="None"), "spec.dnsConfig: Required value: must provide `dnsConfig` when "
         "`dnsPolicy` is None"),
        (pod(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds: Invalid value: 0: must be "
         "between 1 and 2147483647, inclusive"),
        (pod(nodeSelector={"-": "x"}), "spec.nodeSelector: Invalid value: "),
        (pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
         "value must be empty when `operator` is 'Exists'"),
        (pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]),
         "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/a/../b"}}]),
         "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"),
        (pod(volumes=[{"name": "v", "secret": {"secretName": "s", "defaultMode": 0o1000}}]),
         "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and "
         "0777 (octal), both inclusive"),
        (with_container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
         'spec.containers[0].volumeMounts[0].name: Not found: "v"'),
        (with_container(ports=[{"containerPort": 70000}]),
         "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and "
         "65535, inclusive"),
        (with_container(ports=[{"containerPort": 1, "hostPort": 5}, {"containerPort": 2,
         "hostPort": 5}]), 'spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//5"'),
        (with_container(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath":
         "metadata.name"}}}]), 'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be '
         "specified when `value` is not empty"),
        (with_container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]),
         'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error '
         "converting fieldPath: field label not supported: spec.x"),
        (with_container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath":
         "metadata.labels"}}}]), "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: "
         'Unsupported value: "metadata.labels": supported values: "metadata.name", '),
        (with_container(livenessProbe={}), "spec.containers[0].livenessProbe: Required value: must "
         "specify a handler type"),
        (with_container(livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 2}),
         "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"),
        (with_container(readinessProbe={"httpGet": {"port": 0}}),
         "spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and "
         "65535, inclusive"),
        (with_container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
         'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to '
         "cpu limit of 1"),
        (with_container(resources={"limits": {"cpu": "-1"}}),
         'spec.containers[0].resources.limits[cpu]: Invalid value: "-1": must be greater than or '
         "equal to 0"),
        (with_container(resources={"limits": {"gpu": "1"}}),
         'spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": must be a standard '
         "resource for containers"),
        (with_container(imagePullPolicy="Maybe"), 'spec.containers[0].imagePullPolicy: Unsupported '
         'value: "Maybe": supported values: "Always", "IfNotPresent", "Never"'),
        (with_container(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
         "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
        (with_container(securityContext={"seccompProfile": {"type": "Localhost"}}),
         "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must "
         "be set when seccomp type is Localhost"),
        (pod(securityContext={"runAsUser": -1}), "spec.securityContext.runAsUser: Invalid value: "
         "-1: must be between 0 and 2147483647, inclusive"),
        (pod(securityContext={"sysctls": [{"name": "net.x", "value": "1"}]}, hostNetwork=True),
         'spec.securityContext.sysctls[0].name: Invalid value: "net.x": may not be specified when '
         "'hostNetwork' is true"),
        (pod(hostNetwork=True, hostUsers=False), "when `pod.Spec.HostUsers` is false"),
        (pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "z",
         "whenUnsatisfiable": "DoNotSchedule"}]),
         "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"),
        (pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
         {"nodeSelectorTerms": []}}}), "must have at least one node selector term"),
        (pod(hostAliases=[{"ip": "x", "hostnames": ["a"]}]), 'spec.hostAliases.ip: Invalid value: '
         '"x": must be a valid IP address'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(given: dict[str, Any], says: str) -> None:
    said = errors(given)
    assert any(says in one for one in said), said


def _anything(base: str, shape: str, rng: random.Random, depth: int) -> Any:
    if shape.startswith("[]"):
        return [_anything(base, shape[2:], rng, depth) for _ in range(rng.randint(0, 2))]
    if shape.startswith("{}"):
        keys = rng.sample(["cpu", "memory", "a/b", "", "x.y"], rng.randint(0, 2))
        return {key: _anything(base, shape[2:], rng, depth) for key in keys}
    if tables.is_type(base):
        return _structure(base, rng, depth + 1)
    choices = tables.enum_of(base)
    if choices and rng.random() < 0.8:
        return rng.choice(choices)
    match base:
        case "bool":
            return rng.random() < 0.5
        case "int32" | "int64":
            return rng.choice([0, 1, -1, 80, 2**31 - 1])
        case "Quantity":
            return rng.choice(["1", "0", "-1", "100m", "1Gi", 5])
        case "IntOrString":
            return rng.choice([0, 80, "http", ""])
        case "Time" | "MicroTime":
            return "2006-01-02T15:04:05Z"
        case "FieldsV1" | "RawExtension":
            return {}
        case "bytes":
            return "aGk="
    return rng.choice(["", "a", "A", "..", "/", "a/b", "1", "metadata.name", "Always", "é"])


def _structure(name: str, rng: random.Random, depth: int = 0) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for field in tables.type_of(name).fields.values():
        if rng.random() < (0.5 if depth < 4 else 0.25) and depth < 9:
            made[field.name] = _anything(field.base, field.shape, rng, depth)
    return made


@pytest.mark.parametrize("seed", range(60))
def test_whatever_has_the_shape_of_a_pod_is_judged_without_a_crash(seed: int) -> None:
    rng = random.Random(seed)
    given = _structure("core/v1.Pod", rng)
    filled = default(given)
    assert [e for e in schema.check("core/v1.Pod", filled) if e.kind != "required"] == []
    for error in validate(filled):
        assert str(error)
