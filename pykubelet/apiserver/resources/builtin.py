"""The strategies of the built-in resources: which functions are whose."""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver.resources.registry import Resource
from pykubelet.apiserver.resources.strategies import Errors, Strategy, generic
from pykubelet.objects import fields, names, schema
from pykubelet.objects.defaults import others as fill
from pykubelet.objects.defaults import pods as fill_pods
from pykubelet.objects.defaults import workloads as fill_workloads
from pykubelet.objects.resources import qos_class
from pykubelet.objects.schema import tables
from pykubelet.objects.schema.decoding import decode
from pykubelet.objects.validation import others as check
from pykubelet.objects.validation import pods as check_pods
from pykubelet.objects.validation import workloads as check_workloads
from pykubelet.objects.validation.pod_updates import pod_update

Json = dict[str, Any]

_EVENT_TTL = 3600.0


def _new_pod(pod: Json) -> None:
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod)}


def _new_workload(obj: Json) -> None:
    """A status that nobody has written yet: the zero of its type."""
    type_name = schema.kind_type(obj["apiVersion"], obj["kind"])
    assert type_name
    obj["status"] = decode(tables.type_of(type_name).fields["status"].base, {})[0]


def _new_namespace(namespace: Json) -> None:
    namespace["status"] = {"phase": "Active"}
    spec = namespace.setdefault("spec", {})
    if "kubernetes" not in spec.setdefault("finalizers", []):
        spec["finalizers"].append("kubernetes")


def _kept_namespace(new: Json, old: Json) -> None:
    """The finalizers in a namespace's spec change only through its finalize subresource."""
    new["spec"] = old.get("spec") or {}


def _new_job(job: Json) -> None:
    """A job finds its pods by labels that it is given, unless somebody insists on their own."""
    _new_workload(job)
    spec = job.setdefault("spec", {})
    if spec.get("manualSelector"):
        return
    meta, uid = job["metadata"], job["metadata"]["uid"]
    template = spec.setdefault("template", {}).setdefault("metadata", {})
    labels = template.setdefault("labels", {})
    name = meta.get("name") or ""
    for key, value in (("controller-uid", uid), ("job-name", name)):
        labels[key] = labels[f"batch.kubernetes.io/{key}"] = value
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def _pod_fields(pod: Json) -> dict[str, str]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    return {
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.restartPolicy": spec.get("restartPolicy") or "",
        "spec.schedulerName": spec.get("schedulerName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase") or "",
        "status.podIP": status.get("podIP") or "",
        "status.nominatedNodeName": status.get("nominatedNodeName") or "",
    }


def _event_fields(event: Json) -> dict[str, str]:
    about = event.get("involvedObject") or {}
    source = event.get("source") or {}
    found = {
        f"involvedObject.{key}": about.get(key) or ""
        for key in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion",
                    "fieldPath")
    }  # fmt: skip
    return {
        **found,
        "reason": event.get("reason") or "",
        "reportingComponent": event.get("reportingComponent") or "",
        "source": source.get("component") or event.get("reportingComponent") or "",
        "type": event.get("type") or "",
    }


def _paths(**paths: str) -> Any:
    def fields_of(obj: Json) -> dict[str, str]:
        found = {}
        for label, path in paths.items():
            at: Any = obj
            for step in path.split("."):
                at = (at or {}).get(step)
            text = str(at).lower() if isinstance(at, bool) else str(at or "")
            found[label] = text
        return found

    return fields_of


def _template(obj: Json) -> None:
    fill_pods.fill_spec(obj.setdefault("template", {}).setdefault("spec", {}))


def _finite_quota(obj: Json) -> Errors:
    for name in (obj.get("spec") or {}).get("hard") or {}:
        for said in names.qualified(name):
            yield fields.invalid(("spec", "hard"), name, said)


_TABLE: dict[str, Strategy] = {
    "pods": Strategy(
        fill=fill_pods.fill,
        prepare_create=_new_pod,
        validate=check_pods.checks,
        validate_update=pod_update,
        fields_of=_pod_fields,
        selectable=tuple(_pod_fields({})),
    ),
    "namespaces": Strategy(
        fill=fill.namespace,
        prepare_create=_new_namespace,
        prepare_update=_kept_namespace,
        name_rule=names.dns_label,
        generation=False,
        fields_of=lambda o: {"status.phase": (o.get("status") or {}).get("phase") or ""},
        selectable=("status.phase",),
    ),
    "nodes": Strategy(
        fill=fill.node,
        generation=False,
        fields_of=lambda o: {
            "spec.unschedulable": str(bool((o.get("spec") or {}).get("unschedulable"))).lower()
        },
        selectable=("spec.unschedulable",),
    ),
    "configmaps": Strategy(
        validate=check.config_map, validate_update=check.unchanged_if_immutable, generation=False
    ),
    "secrets": Strategy(
        fill=fill.secret,
        validate=check.secret,
        validate_update=check.secret_update,
        generation=False,
        fields_of=lambda o: {"type": o.get("type") or ""},
        selectable=("type",),
    ),
    "services": Strategy(
        fill=fill.service,
        prepare_create=_new_workload,
        validate=check.service,
        validate_update=check.service_update,
        name_rule=names.dns_label_1035,
        generation=False,
        fields_of=_paths(**{"spec.clusterIP": "spec.clusterIP", "spec.type": "spec.type"}),
        selectable=("spec.clusterIP", "spec.type"),
    ),
    "endpoints": Strategy(fill=fill.endpoints, generation=False, create_on_update=True),
    "events": Strategy(
        generation=False,
        ttl=_EVENT_TTL,
        create_on_update=True,
        fields_of=_event_fields,
        selectable=tuple(_event_fields({})),
    ),
    "serviceaccounts": Strategy(generation=False),
    "limitranges": Strategy(fill=fill.limit_range, generation=False, create_on_update=True),
    "resourcequotas": Strategy(
        prepare_create=_new_workload, validate=_finite_quota, generation=False
    ),
    "persistentvolumes": Strategy(fill=fill.persistent_volume, generation=False),
    "persistentvolumeclaims": Strategy(fill=fill.persistent_volume_claim, generation=False),
    "podtemplates": Strategy(fill=_template),
    "replicationcontrollers": Strategy(
        fill=fill_workloads.replication_controller,
        prepare_create=_new_workload,
        fields_of=_paths(**{"status.replicas": "status.replicas"}),
        selectable=("status.replicas",),
    ),
    "deployments.apps": Strategy(
        fill=fill_workloads.deployment,
        prepare_create=_new_workload,
        validate=check_workloads.deployment,
        validate_update=check_workloads.same_selector,
    ),
    "replicasets.apps": Strategy(
        fill=fill_workloads.replica_set,
        prepare_create=_new_workload,
        validate=check_workloads.replica_set,
        validate_update=check_workloads.same_selector,
        fields_of=_paths(**{"status.replicas": "status.replicas"}),
        selectable=("status.replicas",),
    ),
    "statefulsets.apps": Strategy(
        fill=fill_workloads.stateful_set,
        prepare_create=_new_workload,
        validate=check_workloads.stateful_set,
        validate_update=check_workloads.stateful_set_update,
    ),
    "daemonsets.apps": Strategy(
        fill=fill_workloads.daemon_set,
        prepare_create=_new_workload,
        validate=check_workloads.daemon_set,
        validate_update=check_workloads.same_selector,
    ),
    "controllerrevisions.apps": Strategy(generation=False),
    "jobs.batch": Strategy(
        fill=fill_workloads.job,
        prepare_create=_new_job,
        validate=check_workloads.job,
        validate_update=check_workloads.job_update,
        fields_of=_paths(**{"status.successful": "status.succeeded"}),
        selectable=("status.successful",),
    ),
    "cronjobs.batch": Strategy(
        fill=fill_workloads.cron_job,
        prepare_create=_new_workload,
        validate=check_workloads.cron_job,
    ),
    "horizontalpodautoscalers.autoscaling": Strategy(
        fill=fill.autoscaler, prepare_create=_new_workload, generation=False
    ),
    "roles.rbac.authorization.k8s.io": Strategy(
        validate=check.role, name_rule=names.path_segment, generation=False
    ),
    "clusterroles.rbac.authorization.k8s.io": Strategy(
        validate=check.role, name_rule=names.path_segment, generation=False
    ),
    "rolebindings.rbac.authorization.k8s.io": Strategy(
        fill=fill.role_binding,
        validate=check.role_binding,
        validate_update=check.role_binding_update,
        name_rule=names.path_segment,
        generation=False,
    ),
    "clusterrolebindings.rbac.authorization.k8s.io": Strategy(
        fill=fill.role_binding,
        validate=check.role_binding,
        validate_update=check.role_binding_update,
        name_rule=names.path_segment,
        generation=False,
    ),
    "networkpolicies.networking.k8s.io": Strategy(fill=fill.network_policy),
    "ingresses.networking.k8s.io": Strategy(prepare_create=_new_workload),
    "endpointslices.discovery.k8s.io": Strategy(fill=fill.endpoint_slice),
    "leases.coordination.k8s.io": Strategy(generation=False, create_on_update=True),
    "storageclasses.storage.k8s.io": Strategy(fill=fill.storage_class, generation=False),
    "priorityclasses.scheduling.k8s.io": Strategy(fill=fill.priority_class),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": Strategy(fill=fill.webhooks),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": Strategy(fill=fill.webhooks),
    "certificatesigningrequests.certificates.k8s.io": Strategy(
        prepare_create=_new_workload,
        generation=False,
        fields_of=_paths(**{"spec.signerName": "spec.signerName"}),
        selectable=("spec.signerName",),
    ),
}


def strategy_of(resource: Resource) -> Strategy:
    """The strategy of a built-in resource; `generic` where it has none of its own."""
    return _TABLE.get(resource.qualified, generic)
