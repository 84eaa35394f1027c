"""Which controllers there are: upstream's name for each, and where its class is.

`manager` starts them in this order. A module is imported only when its controller is wanted, so a
row costs nothing. A new controller is one file and one row.
"""

from __future__ import annotations

from importlib import import_module

from pykubelet.controllers.base import Controller

_HERE = "pykubelet.controllers"

#: Name to `module:Class`.
CONTROLLERS: dict[str, str] = {
    # What makes pods.
    "replicaset-controller": "replicaset:ReplicaSetController",
    "replicationcontroller-controller": "replication:ReplicationControllerController",
    "deployment-controller": "deployment:DeploymentController",
    "statefulset-controller": "statefulset:StatefulSetController",
    "daemonset-controller": "daemonset:DaemonSetController",
    "job-controller": "job:JobController",
    "cronjob-controller": "cronjob:CronJobController",
    "ttl-after-finished-controller": "ttl_after_finished:TtlAfterFinishedController",
    "disruption-controller": "disruption:DisruptionController",
    "horizontal-pod-autoscaler-controller": "horizontal:HorizontalController",
    # What keeps the cluster.
    "namespace-controller": "namespace:NamespaceController",
    "serviceaccount-controller": "serviceaccount:ServiceAccountController",
    "root-ca-certificate-publisher-controller": "root_ca:RootCaPublisher",
    "endpointslice-controller": "endpointslice:EndpointSliceController",
    "garbage-collector-controller": "garbage_collector:GarbageCollector",
    "pod-garbage-collector-controller": "pod_gc:PodGarbageCollector",
    "node-lifecycle-controller": "node_lifecycle:NodeLifecycleController",
    "node-ipam-controller": "node_ipam:NodeIpamController",
}

#: Names that people know from older releases.
ALIASES = {
    "replicaset": "replicaset-controller",
    "replicationcontroller": "replicationcontroller-controller",
    "deployment": "deployment-controller",
    "statefulset": "statefulset-controller",
    "daemonset": "daemonset-controller",
    "job": "job-controller",
    "cronjob": "cronjob-controller",
    "ttl-after-finished": "ttl-after-finished-controller",
    "disruption": "disruption-controller",
    "horizontalpodautoscaling": "horizontal-pod-autoscaler-controller",
    "namespace": "namespace-controller",
    "serviceaccount": "serviceaccount-controller",
    "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
    "endpointslice": "endpointslice-controller",
    "garbagecollector": "garbage-collector-controller",
    "podgc": "pod-garbage-collector-controller",
    "nodelifecycle": "node-lifecycle-controller",
    "nodeipam": "node-ipam-controller",
}

#: Started only when named.
OFF_BY_DEFAULT: frozenset[str] = frozenset()


def load(name: str) -> type[Controller]:
    """The class of a controller in the table."""
    module, _, class_name = CONTROLLERS[name].partition(":")
    found: type[Controller] = getattr(import_module(f"{_HERE}.{module}"), class_name)
    return found
