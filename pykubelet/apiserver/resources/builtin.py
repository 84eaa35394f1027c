"""The strategies of the built-in resources: which functions are whose."""

from __future__ import annotations

from pykubelet.apiserver.extensions import definitions as extensions
from pykubelet.apiserver.resources import preparing, selectable
from pykubelet.apiserver.resources.registry import Resource
from pykubelet.apiserver.resources.strategies import Strategy, generic, nothing
from pykubelet.objects import names
from pykubelet.objects.defaults import autoscaling as fill_autoscaling
from pykubelet.objects.defaults import configuration as fill
from pykubelet.objects.defaults import extensions as fill_extensions
from pykubelet.objects.defaults import pods as fill_pods
from pykubelet.objects.defaults import services as fill_services
from pykubelet.objects.defaults import storage as fill_storage
from pykubelet.objects.defaults import workloads as fill_workloads
from pykubelet.objects.validation import (
    cluster,
    configuration,
    definitions,
    jobs,
    networking,
    pod_updates,
    pods,
    policy,
    roles,
    services,
    storage,
    webhooks,
    workloads,
)

_EVENT_TTL = 3600.0

_EVENT = Strategy(
    validate=cluster.event,
    generation=False,
    ttl=_EVENT_TTL,
    create_on_update=True,
    fields_of=selectable.event,
)
_CORE = {
    "pods": Strategy(
        fill=fill_pods.fill,
        prepare_create=preparing.pod,
        validate=pods.checks,
        validate_update=pod_updates.pod_update,
        fields_of=selectable.pod,
    ),
    "namespaces": Strategy(
        fill=fill.namespace,
        prepare_create=preparing.namespace,
        prepare_update=preparing.kept_namespace,
        name_rule=names.dns_label,
        generation=False,
        fields_of=selectable.paths("status.phase"),
    ),
    "nodes": Strategy(
        fill=fill.node,
        prepare_create=nothing,
        validate=cluster.node,
        validate_update=cluster.node_update,
        generation=False,
        fields_of=selectable.node,
    ),
    "configmaps": Strategy(
        validate=configuration.config_map,
        validate_update=configuration.unchanged_if_immutable,
        generation=False,
    ),
    "secrets": Strategy(
        fill=fill.secret,
        validate=configuration.secret,
        validate_update=configuration.secret_update,
        generation=False,
        fields_of=selectable.paths("type"),
    ),
    "services": Strategy(
        fill=fill_services.service,
        validate=services.service,
        validate_update=services.service_update,
        validate_status=services.load_balancer_status,
        name_rule=names.dns_label_1035,
        generation=False,
        fields_of=selectable.paths("spec.clusterIP", "spec.type"),
    ),
    "endpoints": Strategy(
        fill=fill_services.endpoints,
        validate=services.endpoints,
        generation=False,
        create_on_update=True,
    ),
    "events": _EVENT,
    "events.events.k8s.io": _EVENT,
    "serviceaccounts": Strategy(generation=False),
    "limitranges": Strategy(
        fill=fill.limit_range, validate=policy.limit_range, generation=False, create_on_update=True
    ),
    "resourcequotas": Strategy(
        validate=policy.resource_quota,
        validate_update=policy.resource_quota_update,
        validate_status=policy.resource_quota_status,
        generation=False,
    ),
    "persistentvolumes": Strategy(
        fill=fill_storage.persistent_volume,
        prepare_create=preparing.pending,
        validate=storage.persistent_volume,
        validate_update=storage.persistent_volume_update,
        generation=False,
    ),
    "persistentvolumeclaims": Strategy(
        fill=fill_storage.persistent_volume_claim,
        prepare_create=preparing.pending,
        validate=storage.persistent_volume_claim,
        validate_update=storage.persistent_volume_claim_update,
        generation=False,
    ),
    "podtemplates": Strategy(fill=fill_workloads.pod_template, validate=workloads.pod_template),
    "replicationcontrollers": Strategy(
        fill=fill_workloads.replication_controller,
        validate=workloads.replication_controller,
        validate_status=workloads.counts,
        fields_of=selectable.paths("status.replicas"),
    ),
}

_WORKLOADS = {
    "deployments.apps": Strategy(
        fill=fill_workloads.deployment,
        validate=workloads.deployment,
        validate_update=workloads.same_selector,
        validate_status=workloads.counts,
    ),
    "replicasets.apps": Strategy(
        fill=fill_workloads.replica_set,
        validate=workloads.replica_set,
        validate_update=workloads.same_selector,
        validate_status=workloads.counts,
        fields_of=selectable.paths("status.replicas"),
    ),
    "statefulsets.apps": Strategy(
        fill=fill_workloads.stateful_set,
        validate=workloads.stateful_set,
        validate_update=workloads.stateful_set_update,
        validate_status=workloads.counts,
        name_rule=names.dns_label,
    ),
    "daemonsets.apps": Strategy(
        fill=fill_workloads.daemon_set,
        validate=workloads.daemon_set,
        validate_update=workloads.same_selector,
    ),
    "controllerrevisions.apps": Strategy(
        validate=workloads.controller_revision,
        validate_update=workloads.controller_revision_update,
        generation=False,
    ),
    "jobs.batch": Strategy(
        fill=fill_workloads.job,
        prepare_create=preparing.job,
        validate=jobs.job,
        validate_update=jobs.job_update,
        validate_status=jobs.job_status,
        fields_of=selectable.paths(status_successful="status.succeeded"),
    ),
    "cronjobs.batch": Strategy(fill=fill_workloads.cron_job, validate=jobs.cron_job),
    "horizontalpodautoscalers.autoscaling": Strategy(
        fill=fill_autoscaling.autoscaler, validate=policy.autoscaler, generation=False
    ),
    "poddisruptionbudgets.policy": Strategy(
        validate=policy.disruption_budget, validate_status=policy.disruption_budget_status
    ),
    "priorityclasses.scheduling.k8s.io": Strategy(
        fill=fill.priority_class,
        validate=policy.priority_class,
        validate_update=policy.priority_class_update,
    ),
    "runtimeclasses.node.k8s.io": Strategy(
        validate=policy.runtime_class, validate_update=policy.runtime_class_update, generation=False
    ),
    "resourceclaims.resource.k8s.io": Strategy(fill=fill.resource_claim, generation=False),
    "resourceclaimtemplates.resource.k8s.io": Strategy(fill=fill.resource_claim, generation=False),
    "deviceclasses.resource.k8s.io": Strategy(),
    "resourceslices.resource.k8s.io": Strategy(
        fields_of=selectable.paths("spec.nodeName", "spec.driver")
    ),
}

_NETWORKING = {
    "networkpolicies.networking.k8s.io": Strategy(
        fill=fill_services.network_policy, validate=networking.network_policy
    ),
    "ingresses.networking.k8s.io": Strategy(
        validate=networking.ingress,
        validate_create=networking.ingress_create,
        validate_status=services.load_balancer_status,
    ),
    "ingressclasses.networking.k8s.io": Strategy(
        fill=fill_services.ingress_class,
        validate=networking.ingress_class,
        validate_update=networking.ingress_class_update,
    ),
    "servicecidrs.networking.k8s.io": Strategy(
        validate=networking.service_cidr,
        validate_update=networking.service_cidr_update,
        generation=False,
    ),
    "ipaddresses.networking.k8s.io": Strategy(
        validate=networking.ip_address,
        validate_update=networking.ip_address_update,
        name_rule=names.path_segment,
        generation=False,
        fields_of=selectable.paths("spec.parentRef.resource"),
    ),
    "endpointslices.discovery.k8s.io": Strategy(
        fill=fill_services.endpoint_slice,
        validate=services.endpoint_slice,
        validate_update=services.endpoint_slice_update,
    ),
}

_STORAGE = {
    "storageclasses.storage.k8s.io": Strategy(
        fill=fill_storage.storage_class,
        validate=storage.storage_class,
        validate_update=storage.storage_class_update,
        generation=False,
    ),
    "volumeattachments.storage.k8s.io": Strategy(
        validate=storage.attachment, validate_update=storage.same_spec, generation=False
    ),
    "volumeattributesclasses.storage.k8s.io": Strategy(
        validate=storage.attributes_class,
        validate_update=storage.attributes_class_update,
        generation=False,
    ),
    "csidrivers.storage.k8s.io": Strategy(
        fill=fill_storage.csi_driver,
        validate=storage.csi_driver,
        validate_update=storage.csi_driver_update,
        generation=False,
    ),
    "csinodes.storage.k8s.io": Strategy(
        validate=storage.csi_node, validate_update=storage.csi_node_update, generation=False
    ),
    "csistoragecapacities.storage.k8s.io": Strategy(
        validate=storage.csi_capacity,
        validate_update=storage.csi_capacity_update,
        generation=False,
    ),
}

_ROLE = Strategy(validate=roles.role, name_rule=names.path_segment, generation=False)
_BINDING = Strategy(
    fill=fill.role_binding,
    validate=roles.binding,
    validate_update=roles.binding_update,
    name_rule=names.path_segment,
    generation=False,
)
_WEBHOOKS = Strategy(fill=fill_extensions.webhooks, validate=webhooks.configuration)
_POLICY = Strategy(fill=fill_extensions.policy, validate=webhooks.policy)
_POLICY_BINDING = Strategy(fill=fill_extensions.policy_binding, validate=webhooks.policy_binding)

_CONTROL = {
    "roles.rbac.authorization.k8s.io": _ROLE,
    "clusterroles.rbac.authorization.k8s.io": _ROLE,
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
    "leases.coordination.k8s.io": Strategy(
        validate=cluster.lease, generation=False, create_on_update=True
    ),
    "certificatesigningrequests.certificates.k8s.io": Strategy(
        stamp=preparing.certificate_request,
        validate=cluster.certificate_request,
        validate_update=cluster.certificate_request_update,
        validate_status=cluster.certificate_request_status,
        generation=False,
        fields_of=selectable.paths("spec.signerName"),
    ),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _WEBHOOKS,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _WEBHOOKS,
    "mutatingadmissionpolicies.admissionregistration.k8s.io": _POLICY,
    "validatingadmissionpolicies.admissionregistration.k8s.io": _POLICY,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": _POLICY_BINDING,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": _POLICY_BINDING,
    "customresourcedefinitions.apiextensions.k8s.io": Strategy(
        fill=fill_extensions.definition,
        prepare_create=preparing.definition,
        prepare_update=preparing.kept_definition,
        validate=definitions.definition,
        validate_update=definitions.definition_update,
    ),
    "apiservices.apiregistration.k8s.io": Strategy(
        fill=fill_extensions.api_service,
        validate=webhooks.api_service,
        name_rule=names.path_segment,
        generation=False,
    ),
    "flowschemas.flowcontrol.apiserver.k8s.io": Strategy(
        fill=fill_extensions.flow_schema, validate=webhooks.flow_schema
    ),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": Strategy(
        fill=fill_extensions.priority_level,
        validate=webhooks.priority_level,
        validate_update=webhooks.priority_level_update,
    ),
}

_TABLE: dict[str, Strategy] = {**_CORE, **_WORKLOADS, **_NETWORKING, **_STORAGE, **_CONTROL}


def strategy_of(resource: Resource) -> Strategy:
    """The strategy of a built-in resource; `generic` where it has none of its own."""
    if resource.custom is not None:
        return extensions.strategy_of(resource)
    return _TABLE.get(resource.qualified, generic)
