"""Every built-in kind: good objects pass defaulting and validation, bad ones are refused with
upstream's paths and words, and nothing that has a kind's shape can make its checks fail."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pykubelet.apiserver.resources.builtin import strategy_of
from pykubelet.apiserver.resources.registry import Resource, builtin
from pykubelet.apiserver.resources.strategies import Circumstances
from pykubelet.apiserver.users import User
from pykubelet.objects import documents
from pykubelet.objects.schema import tables
from pykubelet.objects.schema.decoding import decode

Json = dict[str, Any]
REGISTRY = builtin()
JANE = Circumstances(User("jane", ("dev",)), "2026-01-01T00:00:00Z")


def made(resource: Resource, given: Json) -> Json:
    """An object as the server has it just before validation."""
    typed, findings = decode(resource.type_name, given)
    assert not findings.wrong, findings.wrong
    obj = {**typed, "apiVersion": resource.group_version, "kind": resource.kind}
    obj.setdefault("metadata", {}).setdefault("uid", "1")
    obj["metadata"].setdefault("namespace", "default")
    strategy = strategy_of(resource)
    strategy.prepare_create(obj)
    strategy.stamp(obj, None, JANE)
    strategy.fill(obj)
    return obj


def resource_of(given: Json) -> Resource:
    found = REGISTRY.of_kind(given["apiVersion"], given["kind"])
    assert found is not None
    return found


def complaints(text: str) -> list[str]:
    given = documents.read(text.encode(), "test")[0].object
    resource = resource_of(given)
    obj, strategy = made(resource, given), strategy_of(resource)
    return [str(e) for e in (*strategy.validate(obj), *strategy.validate_create(obj))]


def change(before: str, *edits: tuple[str, str]) -> list[str]:
    """What is wrong with an update of an object: `edits` are (old text, new text)."""
    after = before
    for old, new in edits:
        assert old in after
        after = after.replace(old, new)
    objects = [documents.read(text.encode(), "test")[0].object for text in (before, after)]
    resource = resource_of(objects[0])
    old_object, new_object = (made(resource, one) for one in objects)
    strategy = strategy_of(resource)
    return [str(e) for e in strategy.validate_update(new_object, old_object)]


POD = "{containers: [{name: c, image: busybox}]}"
TEMPLATE = f"{{metadata: {{labels: {{a: b}}}}, spec: {POD}}}"
BATCH_POD = "{restartPolicy: Never, containers: [{name: c, image: busybox}]}"
SELECTOR = "{matchLabels: {a: b}}"
DEPLOYMENT = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, "
    f"spec: {{replicas: 1, selector: {SELECTOR}, template: {TEMPLATE}}}}}"
)
STATEFUL_SET = f"""
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: s}}
spec:
  serviceName: s
  selector: {SELECTOR}
  template:
    metadata: {{labels: {{a: b}}}}
    spec: {{containers: [{{name: c, image: x, volumeMounts: [{{name: data, mountPath: /d}}]}}]}}
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, targetPort: http}], selector: {a: b}}
"""
JOB = (
    "{apiVersion: batch/v1, kind: Job, metadata: {name: j}, "
    f"spec: {{template: {{spec: {BATCH_POD}}}}}}}"
)
CRON_JOB = (
    "{apiVersion: batch/v1, kind: CronJob, metadata: {name: j}, spec: {schedule: '*/5 * * * 1-5', "
    f"jobTemplate: {{spec: {{template: {{spec: {BATCH_POD}}}}}}}}}}}"
)
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: p}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: p}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  hostPath: {path: /data}
"""
INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i}
spec:
  rules:
  - host: "*.example.com"
    http:
      paths: [{path: /a, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nn}
spec:
  podSelector: {}
  ingress:
  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]
    ports: [{port: 80, endPort: 90}]
"""
SCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: h}
spec:
  maxReplicas: 3
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}
  behavior: {scaleDown: {stabilizationWindowSeconds: 60}}
"""
QUOTA = """
apiVersion: v1
kind: ResourceQuota
metadata: {name: q}
spec: {hard: {pods: 3, requests.cpu: 2, limits.memory: 1Gi, count/deployments.apps: 4}}
"""
LIMITS = """
apiVersion: v1
kind: LimitRange
metadata: {name: l}
spec: {limits: [{type: Container, max: {cpu: 2}, min: {cpu: 100m}, default: {cpu: 1}}]}
"""
BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: p}
spec: {minAvailable: 50%, selector: {matchLabels: {a: b}}}
"""
WEBHOOKS = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: w}
webhooks:
- name: a.example.com
  sideEffects: None
  admissionReviewVersions: [v1]
  clientConfig: {service: {namespace: nn, name: s, path: /x}}
  rules: [{operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]
"""
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: things, kind: Thing}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {
      size: {type: integer, minimum: 0}}}}}}
"""
CSR = """
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: c}
spec:
  request: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0=
  signerName: kubernetes.io/kube-apiserver-client
  usages: [client auth]
"""
OTHERS = """
apiVersion: v1
kind: ReplicationController
metadata: {name: r}
spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: d}
spec:
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {name: e}
subsets: [{addresses: [{ip: 10.1.2.3}], ports: [{port: 80}]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: e}
addressType: IPv4
endpoints: [{addresses: [10.1.2.3], conditions: {ready: true}}]
ports: [{port: 80}]
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: i}
spec: {controller: example.com/c}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: s}
provisioner: example.com/disk
---
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: disk.example.com}
spec: {}
---
apiVersion: storage.k8s.io/v1
kind: CSINode
metadata: {name: nn}
spec: {drivers: [{name: disk.example.com, nodeID: a}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: r}
roleRef: {kind: Role, name: r}
subjects: [{kind: User, name: jane}, {kind: ServiceAccount, name: s}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: r}
rules: [{verbs: [get], nonResourceURLs: [/x]}]
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: p}
value: 5
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: r}
handler: runc
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: l}
spec: {holderIdentity: a, leaseDurationSeconds: 40}
---
apiVersion: v1
kind: Node
metadata: {name: nn}
spec: {podCIDR: 10.0.0.0/24, podCIDRs: [10.0.0.0/24], taints: [{key: a, effect: NoSchedule}]}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: p}
spec: {type: Limited, limited: {limitResponse: {type: Queue, queuing: {}}}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: f}
spec:
  priorityLevelConfiguration: {name: p}
  rules:
  - subjects: [{kind: User, user: {name: jane}}]
    nonResourceRules: [{verbs: ["*"], nonResourceURLs: ["*"]}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.example.com}
spec:
  group: example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  service: {namespace: nn, name: s}
  caBundle: aGk=
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: v}
spec:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}
  validations: [{expression: object.spec.replicas < 5}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: v}
spec: {policyName: v, validationActions: [Deny]}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [10.96.0.0/12]}
---
apiVersion: networking.k8s.io/v1
kind: IPAddress
metadata: {name: 10.96.0.1}
spec: {parentRef: {resource: services, namespace: default, name: kubernetes}}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {a: b}
---
apiVersion: v1
kind: Event
metadata: {name: e}
involvedObject: {kind: Pod, namespace: default, name: p}
"""
GOOD = [DEPLOYMENT, STATEFUL_SET, SERVICE, JOB, CRON_JOB, CLAIM, VOLUME, INGRESS, POLICY, SCALER,
        QUOTA, LIMITS, BUDGET, WEBHOOKS, DEFINITION, CSR, *OTHERS.split("---")]  # fmt: skip


@pytest.mark.parametrize("text", GOOD, ids=lambda text: " ".join(text.split())[:70])
def test_a_good_object_is_accepted(text: str) -> None:
    assert complaints(text) == []


@pytest.mark.parametrize("text", GOOD, ids=lambda text: " ".join(text.split())[:70])
def test_nothing_that_is_unchanged_is_refused_as_an_update(text: str) -> None:
    assert change(text) == []


BAD = [
    (DEPLOYMENT, ("a: b}}, spec", "a: c}}, spec"),
     'spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template '
     "`labels`"),
    (DEPLOYMENT, ("replicas: 1", "replicas: -1"),
     "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    (DEPLOYMENT, ("replicas: 1", "strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}"),
     "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is "
     "'Recreate'"),
    (DEPLOYMENT, ("replicas: 1", "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}"),
     "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` "
     "is 0"),
    (STATEFUL_SET, ("selector: {matchLabels: {a: b}}", "selector: {}"),
     "spec.selector: Invalid value: {}: empty selector is invalid for statefulset"),
    (SERVICE, ("[{port: 80, targetPort: http}]", "[]"), "spec.ports: Required value"),
    (SERVICE, ("port: 80", "port: 80, nodePort: 30000"),
     "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
    (SERVICE, ("ports:", "externalTrafficPolicy: Local, ports:"),
     'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for '
     "externally-accessible services"),
    (SERVICE, ("port: 80", "port: 0"),
     "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    (JOB, ("restartPolicy: Never", "restartPolicy: Always"),
     'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'),
    (JOB, ("spec: {template", "spec: {completionMode: Indexed, parallelism: 1, template"),
     "spec.completions: Required value: when completion mode is Indexed"),
    (CRON_JOB, ("*/5 * * * 1-5", "*/5 * * *"),
     'spec.schedule: Invalid value: "*/5 * * *": expected exactly 5 fields, found 4: [*/5 * * *]'),
    (CRON_JOB, ("*/5 * * * 1-5", "61 * * * *"),
     'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61'),
    (CLAIM, ("[ReadWriteOnce]", "[]"),
     "spec.accessModes: Required value: at least 1 access mode is required"),
    (CLAIM, ("storage: 1Gi", "storage: 0"),
     'spec.resources[storage]: Invalid value: "0": must be greater than zero'),
    (VOLUME, ("\n  hostPath: {path: /data}", ""),
     "spec: Required value: must specify a volume type"),
    (INGRESS, ("path: /a", "path: a"),
     'spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path'),
    (INGRESS, ("pathType: Prefix, ", ""),
     "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"),
    (POLICY, ("10.1.0.0/16", "11.1.0.0/16"),
     'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.1.0.0/16": must be a strict '
     "subset of `cidr`"),
    (SCALER, ("maxReplicas: 3", "maxReplicas: 3\n  minReplicas: 4"),
     "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"),
    (QUOTA, ("pods: 3", "pods: 3, nonsense: 1"),
     'spec.hard[nonsense]: Invalid value: "nonsense": must be a standard resource for quota'),
    (LIMITS, ("min: {cpu: 100m}", "min: {cpu: 3}"),
     'spec.limits[0].min[cpu]: Invalid value: "3": min value 3 is greater than max value 2'),
    (BUDGET, ("minAvailable", "maxUnavailable: 1, minAvailable"),
     "minAvailable and maxUnavailable cannot be both set"),
    (WEBHOOKS, ("name: a.example.com", "name: a"),
     'webhooks[0].name: Invalid value: "a": should be a domain with at least three segments '
     "separated by dots"),
    (WEBHOOKS, ("sideEffects: None", ""),
     'webhooks[0].sideEffects: Required value: must specify one of "None", "NoneOnDryRun"'),
    (DEFINITION, ("things.example.com", "stuff.example.com"),
     'metadata.name: Invalid value: "stuff.example.com": must be '
     'spec.names.plural+"."+spec.group'),
    (DEFINITION, ("size: {type: integer, minimum: 0}", "size: {minimum: 0}"),
     "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[size].type: Required "
     "value: must not be empty for specified object fields"),
    (CSR, ("client auth", "flying"), 'spec.usages[0]: Unsupported value: "flying"'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "edit", "expected"), BAD, ids=lambda v: str(v)[-50:])
def test_a_bad_object_is_refused_with_path_and_reason(
    text: str, edit: tuple[str, str], expected: str
) -> None:
    assert edit[0] in text
    found = complaints(text.replace(*edit, 1))
    assert any(expected in one for one in found), found


@pytest.mark.parametrize(
    ("text", "edit", "expected"),
    [
        (DEPLOYMENT, ("a: b", "a: c"), "spec.selector: Invalid value: "),
        (STATEFUL_SET, ("serviceName: s", "serviceName: t"),
         "spec: Forbidden: updates to statefulset spec for fields other than"),
        (JOB, ("busybox", "alpine"), "spec.template: Invalid value: "),
        (CLAIM, ("1Gi", "2Gi"), "spec: Forbidden: spec is immutable after creation except "
         "resources.requests and volumeAttributesClassName for bound claims"),
        (VOLUME, ("/data", "/other"), "spec.persistentvolumesource: Forbidden: "
         "spec.persistentvolumesource is immutable after creation"),
        (OTHERS.split("---")[5], ("example.com/disk", "example.com/tape"),
         "provisioner: Forbidden: updates to provisioner are forbidden."),
        (OTHERS.split("---")[8], ("name: r}\nsubjects", "name: s}\nsubjects"),
         "roleRef: Invalid value: "),
        (OTHERS.split("---")[10], ("value: 5", "value: 6"),
         "value: Forbidden: may not be changed in an update."),
    ],
    ids=lambda v: str(v)[-40:],
)  # fmt: skip
def test_what_is_settled_stays(text: str, edit: tuple[str, str], expected: str) -> None:
    found = change(text, edit)
    assert any(one.startswith(expected) for one in found), found


def test_who_asks_for_a_certificate_is_written_down() -> None:
    given = documents.read(CSR.encode(), "test")[0].object
    given["spec"]["username"] = "somebody else"
    spec = made(resource_of(given), given)["spec"]
    assert (spec["username"], spec["groups"]) == ("jane", ["dev"])


def test_an_approval_changes_conditions_and_nothing_else() -> None:
    given = documents.read(CSR.encode(), "test")[0].object
    resource = resource_of(given)
    old = made(resource, given)
    new = {**old, "status": {"certificate": "eA==", "conditions": [
        {"type": "Approved", "status": "True"}, {"type": "Failed", "status": "True"}]}}  # fmt: skip
    approval = Circumstances(User("admin"), "2026-01-01T00:00:00Z", "approval")
    strategy_of(resource).stamp(new, old, approval)
    assert [c["type"] for c in new["status"]["conditions"]] == ["Approved"]
    assert "certificate" not in new["status"]
    assert new["status"]["conditions"][0]["lastUpdateTime"] == "2026-01-01T00:00:00Z"


# -- anything ------------------------------------------------------------------------------------

_TEXTS = ("", "a", "a/b", "x.y.z", "10.0.0.1", "10.0.0.0/8", "Always", "/x", "50%", "*", "A B")


def _anything(base: str, shape: str, rng: random.Random, depth: int) -> Any:
    if shape.startswith("[]"):
        return [_anything(base, shape[2:], rng, depth) for _ in range(rng.randint(0, 2))]
    if shape.startswith("{}"):
        keys = rng.sample(["cpu", "storage", "a/b", "", "x.y"], rng.randint(0, 2))
        return {key: _anything(base, shape[2:], rng, depth) for key in keys}
    if tables.is_type(base):
        return _structure(base, rng, depth + 1)
    choices = tables.enum_of(base)
    if choices and rng.random() < 0.8:
        return rng.choice(choices)
    match base:
        case "bool" | "JSONSchemaPropsOrBool":
            return rng.random() < 0.5
        case "int32" | "int64" | "byte":
            return rng.choice([0, 1, -1, 80, 100])
        case "float64":
            return rng.choice([0, 1.5])
        case "Quantity":
            return rng.choice(["1", "0", "-1", "100m", "1Gi", "5"])
        case "IntOrString":
            return rng.choice([0, 80, "http", "50%", ""])
        case "Time":
            return "2006-01-02T15:04:05Z"
        case "MicroTime":
            return "2006-01-02T15:04:05.000000Z"
        case "FieldsV1" | "RawExtension" | "JSONSchemaPropsOrArray":
            return {}
        case "JSONSchemaPropsOrStringArray":
            return ["a"]
        case "JSON":
            return rng.choice([1, "a", {}])
        case "Duration":
            return "1s"
        case "bytes":
            return "aGk="
    return rng.choice(_TEXTS)


def _structure(name: str, rng: random.Random, depth: int = 0) -> Json:
    type_of = tables.type_of(name)
    if type_of.wrapper:
        return _anything(type_of.fields["items"].base, "[]", rng, depth)
    made: Json = {}
    for field in type_of.fields.values():
        likely = 0.6 if depth < 4 else 0.3 if depth < 8 else 0
        if field.name not in ("apiVersion", "kind") and rng.random() < likely:
            made[field.name] = _anything(field.base, field.shape, rng, depth)
    return made


@pytest.mark.parametrize(
    "resource", [r for r in REGISTRY if r.stored and r.type_name], ids=lambda r: r.qualified
)
def test_whatever_has_the_shape_of_a_kind_is_judged_without_a_crash(resource: Resource) -> None:
    strategy = strategy_of(resource)
    before: Json | None = None
    for seed in range(40):
        given = _structure(resource.type_name, random.Random(seed))
        given["metadata"] = {"name": "a", "namespace": "default"}
        obj = made(resource, given)
        errors = [*strategy.validate(obj), *strategy.validate_create(obj)]
        if before is not None:
            strategy.prepare_update(obj, before)
            strategy.stamp(obj, before, JANE)
            errors += [*strategy.validate_update(obj, before)]
            obj["status"] = decode(resource.type_name, given)[0].get("status", {})
            errors += [*strategy.validate_status(obj, before)]
        assert all(map(str, errors))
        if strategy.fields_of:
            assert all(isinstance(v, str) for v in strategy.fields_of(obj).values())
        before = obj
