"""Which columns each kind has, and what stands in them.

A kind's layout is a list of columns after the name, and a function that makes a row's cells for
them. Names, order and priorities (1: only with `-o wide`) are upstream's, since scripts read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pykubelet.apiserver.printing import pods
from pykubelet.apiserver.printing.cells import (
    NONE,
    age,
    at,
    condition,
    containers,
    labels,
    listed,
    selector,
)
from pykubelet.apiserver.printing.json_path import first

Json = dict[str, Any]
Row = Callable[[Json, float], list[Any]]


@dataclass(frozen=True, slots=True)
class Layout:
    """`columns` as `Name`, `Name:wide` or `Name#` (a number), after the first, which is the
    object's name."""

    columns: tuple[str, ...]
    row: Row

    def definitions(self) -> list[Json]:
        made = [{"name": "Name", "type": "string", "format": "name", "description": _NAME,
                 "priority": 0}]  # fmt: skip
        for column in self.columns:
            name, _, wide = column.partition(":")
            made.append(
                {
                    "name": name.rstrip("#"),
                    "type": "integer" if name.endswith("#") else "string",
                    "format": "",
                    "description": "",
                    "priority": 1 if wide else 0,
                }
            )
        return made


_NAME = (
    "Name must be unique within a namespace. It is how the object is referred to, and can't be "
    "changed."
)


def _created(obj: Json, now: float) -> str:
    return age(at(obj, "metadata.creationTimestamp"), now)


def _paths(*paths: str) -> Row:
    """A row of values at paths; `age` is the object's, `#a.b` the number of entries."""

    def row(obj: Json, now: float) -> list[Any]:
        cells: list[Any] = []
        for path in paths:
            if path == "age":
                cells.append(_created(obj, now))
            elif path.startswith("#"):
                cells.append(len(at(obj, path[1:], ())))
            else:
                value = at(obj, path, NONE)
                cells.append(listed(value) if isinstance(value, list) else value)
        return cells

    return row


def _node(node: Json, now: float) -> list[Any]:
    words = []
    ready = condition(node, "Ready").get("status")
    words.append({"True": "Ready", None: "Unknown"}.get(ready, "NotReady"))
    if at(node, "spec.unschedulable"):
        words.append("SchedulingDisabled")
    mark = "node-role.kubernetes.io/"
    given = at(node, "metadata.labels", {})
    roles = [key.removeprefix(mark) for key in given if key.startswith(mark) and key != mark]
    if given.get("kubernetes.io/role"):
        roles.append(given["kubernetes.io/role"])
    addresses = {a["type"]: a["address"] for a in reversed(at(node, "status.addresses", ()))}
    info = at(node, "status.nodeInfo", {})
    return [
        ",".join(words), listed(sorted(roles)), _created(node, now),
        info.get("kubeletVersion", ""), addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE), info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]  # fmt: skip


def _service(service: Json, now: float) -> list[Any]:
    spec = service.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    external = list(spec.get("externalIPs") or ())
    shown = listed(external)
    if kind == "LoadBalancer":
        points = at(service, "status.loadBalancer.ingress", ())
        found = [p.get("ip") or p.get("hostname", "") for p in points]
        shown = listed([*found, *external], "<pending>")
    elif kind == "ExternalName":
        shown = spec.get("externalName", NONE)
    ports = listed(
        f"{p['port']}:{p['nodePort']}/{p.get('protocol', 'TCP')}"
        if p.get("nodePort")
        else f"{p.get('port')}/{p.get('protocol', 'TCP')}"
        for p in spec.get("ports") or ()
    )
    addresses = spec.get("clusterIPs") or ()
    return [
        kind, addresses[0] if addresses else NONE, shown, ports, _created(service, now),
        labels(spec.get("selector")),
    ]  # fmt: skip


def _deployment(obj: Json, now: float) -> list[Any]:
    status = obj.get("status") or {}
    names, images = containers(at(obj, "spec.template.spec", {}))
    return [
        f"{status.get('readyReplicas', 0)}/{at(obj, 'spec.replicas', 0)}",
        status.get("updatedReplicas", 0), status.get("availableReplicas", 0), _created(obj, now),
        names, images, selector(at(obj, "spec.selector")),
    ]  # fmt: skip


def _replica_set(obj: Json, now: float) -> list[Any]:
    status = obj.get("status") or {}
    names, images = containers(at(obj, "spec.template.spec", {}))
    given = at(obj, "spec.selector")
    shown = labels(given) if obj.get("kind") == "ReplicationController" else selector(given)
    return [
        at(obj, "spec.replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0),
        _created(obj, now), names, images, shown,
    ]  # fmt: skip


def _stateful_set(obj: Json, now: float) -> list[Any]:
    names, images = containers(at(obj, "spec.template.spec", {}))
    ready = at(obj, "status.readyReplicas", 0)
    return [f"{ready}/{at(obj, 'spec.replicas', 0)}", _created(obj, now), names, images]


def _daemon_set(obj: Json, now: float) -> list[Any]:
    status = obj.get("status") or {}
    names, images = containers(at(obj, "spec.template.spec", {}))
    counts = [
        status.get(key, 0)
        for key in ("desiredNumberScheduled", "currentNumberScheduled", "numberReady",
                    "updatedNumberScheduled", "numberAvailable")
    ]  # fmt: skip
    return [
        *counts, labels(at(obj, "spec.template.spec.nodeSelector")), _created(obj, now), names,
        images, selector(at(obj, "spec.selector")),
    ]  # fmt: skip


def _job(obj: Json, now: float) -> list[Any]:
    from pykubelet.apiserver.printing.cells import duration
    from pykubelet.clock import from_rfc3339

    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    word = "Running"
    for kind, text in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended"),
                       ("SuccessCriteriaMet", "SuccessCriteriaMet"),
                       ("FailureTarget", "FailureTarget")):  # fmt: skip
        if condition(obj, kind).get("status") == "True":
            word = text
            break
    else:
        if at(obj, "metadata.deletionTimestamp"):
            word = "Terminating"
    done, wanted = status.get("succeeded", 0), spec.get("completions")
    parallel = spec.get("parallelism") or 1
    of = wanted if wanted is not None else f"1 of {parallel}" if parallel > 1 else 1
    took = ""
    if status.get("startTime"):
        end = from_rfc3339(status["completionTime"]) if status.get("completionTime") else now
        took = duration(end - from_rfc3339(status["startTime"]))
    names, images = containers(at(obj, "spec.template.spec", {}))
    return [word, f"{done}/{of}", took, _created(obj, now), names, images,
            selector(spec.get("selector"))]  # fmt: skip


def _cron_job(obj: Json, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    last = at(obj, "status.lastScheduleTime")
    names, images = containers(at(obj, "spec.jobTemplate.spec.template.spec", {}))
    return [
        spec.get("schedule", ""), spec.get("timeZone") or NONE,
        "True" if spec.get("suspend") else "False", len(at(obj, "status.active", ())),
        age(last, now) if last else NONE, _created(obj, now), names, images,
        selector(at(obj, "spec.jobTemplate.spec.selector")),
    ]  # fmt: skip


def _event(event: Json, now: float) -> list[Any]:
    about = event.get("involvedObject") or {}
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = at(event, "series.lastObservedTime") or event.get("lastTimestamp") or first
    count = at(event, "series.count") or event.get("count") or 1
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent", "")
    host = source.get("host") or event.get("reportingInstance", "")
    return [
        age(last, now), event.get("type", ""), event.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}", about.get("fieldPath", ""),
        f"{component}, {host}" if host else component, (event.get("message") or "").strip(),
        age(first, now), count, at(event, "metadata.name", ""),
    ]  # fmt: skip


def _claim(claim: Json, now: float) -> list[Any]:
    word = at(claim, "status.phase", "")
    if at(claim, "metadata.deletionTimestamp"):
        word = "Terminating"
    bound = at(claim, "spec.volumeName", "")
    return [
        word, bound, at(claim, "status.capacity.storage", "") if bound else "",
        _modes(at(claim, "status.accessModes", ())) if bound else "",
        at(claim, "spec.storageClassName", ""),
        at(claim, "spec.volumeAttributesClassName", "<unset>"), _created(claim, now),
        at(claim, "spec.volumeMode", "<unset>"),
    ]  # fmt: skip


def _volume(volume: Json, now: float) -> list[Any]:
    spec = volume.get("spec") or {}
    word = at(volume, "status.phase", "")
    if at(volume, "metadata.deletionTimestamp"):
        word = "Terminating"
    claim = spec.get("claimRef") or {}
    return [
        at(spec, "capacity.storage", ""), _modes(spec.get("accessModes") or ()),
        spec.get("persistentVolumeReclaimPolicy", ""), word,
        f"{claim['namespace']}/{claim['name']}" if claim else "",
        spec.get("storageClassName", ""), spec.get("volumeAttributesClassName") or "<unset>",
        at(volume, "status.reason", ""), _created(volume, now), spec.get("volumeMode", "<unset>"),
    ]  # fmt: skip


def _modes(modes: Any) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX",
             "ReadWriteOncePod": "RWOP"}  # fmt: skip
    return ",".join(short.get(mode, mode) for mode in modes)


def _ingress(ingress: Json, now: float) -> list[Any]:
    spec = ingress.get("spec") or {}
    points = at(ingress, "status.loadBalancer.ingress", ())
    hosts = [rule.get("host") for rule in spec.get("rules") or () if rule.get("host")]
    return [
        spec.get("ingressClassName") or NONE, listed(hosts, "*"),
        ",".join(p.get("ip") or p.get("hostname", "") for p in points),
        "80, 443" if spec.get("tls") else "80", _created(ingress, now),
    ]  # fmt: skip


def _binding(binding: Json, now: float) -> list[Any]:
    ref = binding.get("roleRef") or {}
    by: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for one in binding.get("subjects") or ():
        name = one.get("name", "")
        if one.get("kind") == "ServiceAccount":
            name = f"{one.get('namespace', '')}/{name}"
        by.setdefault(one.get("kind", ""), []).append(name)
    return [
        f"{ref.get('kind', '')}/{ref.get('name', '')}", _created(binding, now),
        ", ".join(by["User"]), ", ".join(by["Group"]), ", ".join(by["ServiceAccount"]),
    ]  # fmt: skip


def _endpoints(endpoints: Json, now: float) -> list[Any]:
    found = [
        f"{address['ip']}:{port['port']}"
        for subset in endpoints.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    ]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return [listed(found[:3]) + more, _created(endpoints, now)]


def _slice(piece: Json, now: float) -> list[Any]:
    ports = listed((p.get("port", "*") for p in piece.get("ports") or ()), "<unset>")
    found = [a for e in piece.get("endpoints") or () for a in e.get("addresses") or ()]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return [piece.get("addressType", ""), ports, listed(found[:3], "<unset>") + more,
            _created(piece, now)]  # fmt: skip


_GENERIC = Layout(("Age",), _paths("age"))
_REPLICA_COLUMNS = ("Desired#", "Current#", "Ready#", "Age", "Containers:wide", "Images:wide",
                    "Selector:wide")  # fmt: skip
_ROLE_REF = ("Role", "Age", "Users:wide", "Groups:wide", "ServiceAccounts:wide")
_LAYOUTS: dict[str, Layout] = {
    "Pod": Layout(("Ready", "Status", "Restarts", "Age", "IP:wide", "Node:wide",
                   "Nominated Node:wide", "Readiness Gates:wide"), pods.row),
    "Namespace": Layout(("Status", "Age"), _paths("status.phase", "age")),
    "Node": Layout(("Status", "Roles", "Age", "Version", "Internal-IP:wide", "External-IP:wide",
                    "OS-Image:wide", "Kernel-Version:wide", "Container-Runtime:wide"), _node),
    "ConfigMap": Layout(("Data#", "Age"), lambda o, now: [
        len(o.get("data") or ()) + len(o.get("binaryData") or ()), _created(o, now)]),
    "Secret": Layout(("Type", "Data#", "Age"), _paths("type", "#data", "age")),
    "ServiceAccount": Layout(("Age",), _paths("age")),
    "Service": Layout(("Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector:wide"),
                      _service),
    "Endpoints": Layout(("Endpoints", "Age"), _endpoints),
    "EndpointSlice": Layout(("AddressType", "Ports", "Endpoints", "Age"), _slice),
    "Event": Layout(("Last Seen", "Type", "Reason", "Object", "Subobject:wide", "Source:wide",
                     "Message", "First Seen:wide", "Count:wide", "Name:wide"), _event),
    "Deployment": Layout(("Ready", "Up-to-date", "Available", "Age", "Containers:wide",
                          "Images:wide", "Selector:wide"), _deployment),
    "ReplicaSet": Layout(_REPLICA_COLUMNS, _replica_set),
    "ReplicationController": Layout(_REPLICA_COLUMNS, _replica_set),
    "StatefulSet": Layout(("Ready", "Age", "Containers:wide", "Images:wide"), _stateful_set),
    "DaemonSet": Layout(("Desired#", "Current#", "Ready#", "Up-to-date#", "Available#",
                         "Node Selector", "Age", "Containers:wide", "Images:wide",
                         "Selector:wide"), _daemon_set),
    "Job": Layout(("Status", "Completions", "Duration", "Age", "Containers:wide", "Images:wide",
                   "Selector:wide"), _job),
    "CronJob": Layout(("Schedule", "Timezone", "Suspend", "Active#", "Last Schedule", "Age",
                       "Containers:wide", "Images:wide", "Selector:wide"), _cron_job),
    "ControllerRevision": Layout(("Controller", "Revision", "Age"), lambda o, now: [
        next((f"{r['kind'].lower()}.{r['apiVersion'].partition('/')[0]}/{r['name']}"
              for r in at(o, "metadata.ownerReferences", ()) if r.get("controller")), NONE),
        o.get("revision", 0), _created(o, now)]),
    "PersistentVolumeClaim": Layout(("Status", "Volume", "Capacity", "Access Modes",
                                     "StorageClass", "VolumeAttributesClass", "Age",
                                     "VolumeMode:wide"), _claim),
    "PersistentVolume": Layout(("Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim",
                                "StorageClass", "VolumeAttributesClass", "Reason", "Age",
                                "VolumeMode:wide"), _volume),
    "StorageClass": Layout(("Provisioner", "ReclaimPolicy", "VolumeBindingMode",
                            "AllowVolumeExpansion", "Age"), lambda o, now: [
        o.get("provisioner", ""), o.get("reclaimPolicy", "Delete"),
        o.get("volumeBindingMode", "Immediate"), bool(o.get("allowVolumeExpansion")),
        _created(o, now)]),
    "Ingress": Layout(("Class", "Hosts", "Address", "Ports", "Age"), _ingress),
    "IngressClass": Layout(("Controller", "Parameters", "Age"), lambda o, now: [
        at(o, "spec.controller", ""), at(o, "spec.parameters.name", NONE), _created(o, now)]),
    "NetworkPolicy": Layout(("Pod-Selector", "Age"), lambda o, now: [
        selector(at(o, "spec.podSelector")), _created(o, now)]),
    "Role": Layout(("Created At",), _paths("metadata.creationTimestamp")),
    "ClusterRole": Layout(("Created At",), _paths("metadata.creationTimestamp")),
    "RoleBinding": Layout(_ROLE_REF, _binding),
    "ClusterRoleBinding": Layout(_ROLE_REF, _binding),
    "Lease": Layout(("Holder", "Age"), _paths("spec.holderIdentity", "age")),
    "PriorityClass": Layout(("Value#", "Global-Default", "Age", "PreemptionPolicy"),
                            lambda o, now: [o.get("value", 0), bool(o.get("globalDefault")),
                                            _created(o, now), o.get("preemptionPolicy", "")]),
    "RuntimeClass": Layout(("Handler", "Age"), _paths("handler", "age")),
    "PodDisruptionBudget": Layout(("Min Available", "Max Unavailable", "Allowed Disruptions",
                                   "Age"), lambda o, now: [
        str(at(o, "spec.minAvailable", "N/A")), str(at(o, "spec.maxUnavailable", "N/A")),
        at(o, "status.disruptionsAllowed", 0), _created(o, now)]),
    "ResourceQuota": Layout(("Request", "Limit", "Age"), lambda o, now: [
        ", ".join(f"{k}: {at(o, 'status.used', {}).get(k, '0')}/{v}"
                  for k, v in sorted(at(o, "status.hard", {}).items())
                  if not k.startswith("limits.")),
        ", ".join(f"{k}: {at(o, 'status.used', {}).get(k, '0')}/{v}"
                  for k, v in sorted(at(o, "status.hard", {}).items())
                  if k.startswith("limits.")), _created(o, now)]),
    "LimitRange": Layout(("Created At",), _paths("metadata.creationTimestamp")),
    "CustomResourceDefinition": Layout(("Created At",), _paths("metadata.creationTimestamp")),
    "CertificateSigningRequest": Layout(("Age", "SignerName", "Requestor", "RequestedDuration",
                                         "Condition"), lambda o, now: [
        _created(o, now), at(o, "spec.signerName", ""), at(o, "spec.username", ""),
        at(o, "spec.expirationSeconds", NONE),
        ",".join(sorted(c["type"] for c in at(o, "status.conditions", ()))) or "Pending"]),
}  # fmt: skip


_COLUMN_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean", "date": "date"}


@dataclass(frozen=True, slots=True)
class CustomLayout:
    """The layout that a definition gives its objects."""

    given: tuple[Json, ...]

    def definitions(self) -> list[Json]:
        made = Layout((), _paths()).definitions()
        for column in self.given:
            made.append(
                {
                    "name": column["name"],
                    "type": _COLUMN_TYPES.get(column.get("type", ""), "string"),
                    "format": column.get("format", ""),
                    "description": column.get("description", ""),
                    "priority": column.get("priority", 0),
                }
            )
        return made

    def row(self, obj: Json, now: float) -> list[Any]:
        cells: list[Any] = []
        for column in self.given:
            value = first(obj, column.get("jsonPath", ""))
            if value is None:
                cells.append(None)
            elif column.get("type") == "date":
                cells.append(age(value, now))
            elif isinstance(value, dict | list):
                cells.append(json.dumps(value))
            elif column.get("type") == "string":
                cells.append(value if isinstance(value, str) else json.dumps(value))
            else:
                cells.append(value)
        return cells


_CUSTOM_AGE = ({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},)


def layout_for(kind: str, columns: tuple[Json, ...] | None) -> Layout | CustomLayout:
    """The layout of a built-in kind, or (`columns` given) of a custom one."""
    if columns is None:
        return layout_of(kind)
    return CustomLayout(columns or _CUSTOM_AGE)


def layout_of(kind: str) -> Layout:
    """The layout of a kind; name and age where it has none of its own."""
    return _LAYOUTS.get(kind, _GENERIC)
