"""PersistentVolumes, claims, and the kinds of storage.k8s.io. Source: the API reference,
"Persistent Volumes", "Storage Classes", "CSIDriver".
"""

from __future__ import annotations

from pykubelet.objects import fields, names, quantity
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import immutable, label_selector
from pykubelet.objects.validation.rules import (
    Errors,
    Json,
    chosen,
    named,
    no_backsteps,
    optional_name,
    present,
    required_name,
    unique,
)
from pykubelet.objects.validation.scheduling import node_selector

_SPEC: Path = ("spec",)
_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
_RECLAIM = ("Delete", "Recycle", "Retain")
_SOURCES = ("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc",
            "flexVolume", "flocker", "gcePersistentDisk", "glusterfs", "hostPath", "iscsi",
            "local", "nfs", "photonPersistentDisk", "portworxVolume", "quobyte", "rbd", "scaleIO",
            "storageos", "vsphereVolume")  # fmt: skip
_LONGEST_DRIVER, _MOST_PARAMETERS, _PARAMETERS_SIZE = 63, 512, 256 * 1024
_SETTLED = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"  # noqa: E501


def persistent_volume(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from _modes(spec, _SPEC)
    capacity, at = spec.get("capacity") or {}, (*_SPEC, "capacity")
    if not capacity:
        yield fields.required(at)
    elif set(capacity) != {"storage"}:
        yield fields.not_supported(at, sorted(capacity), ("storage",))
    for name, value in capacity.items():
        yield from _above_zero(value, (*at, f"[{name}]"))
    yield from chosen(spec, "persistentVolumeReclaimPolicy", _RECLAIM, _SPEC)
    given = [source for source in _SOURCES if source in spec]
    if not given:
        yield fields.required(_SPEC, "must specify a volume type")
    for source in given[1:]:
        yield fields.forbidden((*_SPEC, source), "may not specify more than 1 volume type")
    for source in given[:1]:
        yield from _source(source, spec[source], spec, (*_SPEC, source))
    affinity = (spec.get("nodeAffinity") or {}).get("required")
    if spec.get("nodeAffinity") is not None:
        at = (*_SPEC, "nodeAffinity", "required")
        if affinity is None:
            yield fields.required(at, "must specify required node constraints")
        else:
            yield from node_selector(affinity, at)
    yield from optional_name(spec, "storageClassName", _SPEC, names.dns_subdomain)
    yield from chosen(spec, "volumeMode", _VOLUME_MODES, _SPEC)
    yield from optional_name(spec, "volumeAttributesClassName", _SPEC, names.dns_subdomain)


def persistent_volume_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    for source in _SOURCES:
        was, now = before.get(source), after.get(source)
        if source == "csi" and was and now:
            # How a volume is expanded may be told later.
            was = {k: v for k, v in was.items() if not k.endswith("SecretRef") or k in now}
            now = {k: v for k, v in now.items() if not k.endswith("SecretRef") or k in was}
        if was != now:
            yield fields.forbidden(
                (*_SPEC, "persistentvolumesource"),
                "spec.persistentvolumesource is immutable after creation",
            )
            break
    yield from immutable(after.get("volumeMode"), before.get("volumeMode"), (*_SPEC, "volumeMode"))
    if before.get("nodeAffinity") is not None:
        yield from immutable(
            after.get("nodeAffinity"), before.get("nodeAffinity"), (*_SPEC, "nodeAffinity")
        )


def persistent_volume_claim(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from claim_spec(spec, _SPEC)


def claim_spec(spec: Json, at: Path) -> Errors:
    """A claim's spec, also as a template in other objects."""
    yield from _modes(spec, at)
    yield from label_selector(spec.get("selector"), (*at, "selector"))
    asked = (spec.get("resources") or {}).get("requests") or {}
    here = (*at, "resources", "[storage]")
    if "storage" not in asked:
        yield fields.required(here)
    else:
        yield from _above_zero(asked["storage"], here)
    if spec.get("storageClassName"):
        yield from named(spec["storageClassName"], (*at, "storageClassName"), names.dns_subdomain)
    yield from chosen(spec, "volumeMode", _VOLUME_MODES, at)
    source = spec.get("dataSource")
    if source is not None:
        yield from _data_source(source, (*at, "dataSource"))
    other = spec.get("dataSourceRef")
    if other is not None:
        yield from _data_source(other, (*at, "dataSourceRef"))
    bare = {k: v for k, v in (other or {}).items() if k != "namespace"}
    if source is not None and other is not None and source != bare:
        yield fields.invalid(at, "", "must match dataSourceRef")
    yield from optional_name(spec, "volumeAttributesClassName", at, names.dns_subdomain)


def persistent_volume_claim_update(new: Json, old: Json) -> Errors:
    """A claim takes its volume once; a bound one may then grow."""
    after, before = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    bound = (old.get("status") or {}).get("phase") == "Bound"
    if not before.get("volumeName"):
        before["volumeName"] = after.get("volumeName")
        if before["volumeName"] is None:
            del before["volumeName"]
    if "storageClassName" not in before and "storageClassName" in after:
        before["storageClassName"] = after["storageClassName"]
    size_at = (*_SPEC, "resources", "requests", "storage")
    asked, had = _storage(after), _storage(before)
    if bound:
        allocated = ((old.get("status") or {}).get("capacity") or {}).get("storage")
        if asked is not None and had is not None and quantity.compare(asked, had) < 0 and (
            allocated is None or quantity.compare(asked, allocated) < 0
        ):  # fmt: skip
            yield fields.forbidden(
                size_at, "field can not be less than status.capacity"
                if allocated is not None else "field can not be less than previous value",
            )  # fmt: skip
        after["resources"] = before.get("resources")
        after.pop("volumeAttributesClassName", None)
        before.pop("volumeAttributesClassName", None)
    if {k: v for k, v in after.items() if v is not None} != {
        k: v for k, v in before.items() if v is not None
    }:
        yield fields.forbidden(_SPEC, _SETTLED)
    yield from immutable(after.get("volumeMode"), before.get("volumeMode"), (*_SPEC, "volumeMode"))


def storage_class(obj: Json) -> Errors:
    provisioner = obj.get("provisioner") or ""
    if not provisioner:
        yield fields.required(("provisioner",), "")
    else:
        yield from named(provisioner.lower(), ("provisioner",), names.qualified)
    yield from _parameters(obj.get("parameters") or {}, ("parameters",))
    yield from chosen(obj, "reclaimPolicy", ("Delete", "Retain"), ())
    yield from chosen(
        obj, "volumeBindingMode", ("Immediate", "WaitForFirstConsumer"), (), empty=False
    )
    for index, term in enumerate(obj.get("allowedTopologies") or ()):
        at: Path = ("allowedTopologies", index, "matchLabelExpressions")
        for number, one in enumerate(term.get("matchLabelExpressions") or ()):
            yield from required_name(one, "key", (*at, number), names.qualified)
            yield from present(one, ("values",), (*at, number))


def storage_class_update(new: Json, old: Json) -> Errors:
    for key in ("parameters", "provisioner", "reclaimPolicy"):
        if (new.get(key) or None) != (old.get(key) or None):
            yield fields.forbidden((key,), f"updates to {key} are forbidden.")
    yield from immutable(
        new.get("volumeBindingMode"), old.get("volumeBindingMode"), ("volumeBindingMode",)
    )


def attributes_class(obj: Json) -> Errors:
    yield from driver_name(obj.get("driverName") or "", ("driverName",))
    if not obj.get("parameters"):
        yield fields.required(("parameters",), "must contain at least one key/value pair")
    yield from _parameters(obj.get("parameters") or {}, ("parameters",))


def attributes_class_update(new: Json, old: Json) -> Errors:
    for key, word in (("driverName", "driverName"), ("parameters", "parameters")):
        if new.get(key) != old.get(key):
            yield fields.forbidden((word,), f"updates to {word} are forbidden.")


def attachment(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    if not spec.get("attacher"):
        yield fields.required((*_SPEC, "attacher"))
    else:
        yield from named(spec["attacher"].lower(), (*_SPEC, "attacher"), names.qualified)
    source, at = spec.get("source") or {}, (*_SPEC, "source")
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and name is None:
        yield fields.required(
            at, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        )
    elif inline is not None and name is not None:
        yield fields.forbidden(
            at, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        )
    elif name == "":
        yield fields.required(
            (*at, "persistentVolumeName"), "must specify non empty persistentVolumeName"
        )
    yield from required_name(spec, "nodeName", _SPEC, names.dns_subdomain)


def same_spec(new: Json, old: Json) -> Errors:
    """The whole spec is settled when the object is made."""
    yield from immutable(new.get("spec"), old.get("spec"), _SPEC)


def csi_driver(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from driver_name(obj["metadata"].get("name") or "", ("metadata", "name"))
    yield from chosen(spec, "fsGroupPolicy", ("File", "None", "ReadWriteOnceWithFSType"), _SPEC)
    seen: set[str] = set()
    for index, one in enumerate(spec.get("tokenRequests") or ()):
        at = (*_SPEC, "tokenRequests", index)
        audience = one.get("audience") or ""
        if audience in seen:
            yield fields.duplicate((*at, "audience"), audience)
        seen.add(audience)
        seconds = one.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            yield fields.invalid(
                (*at, "expirationSeconds"),
                seconds,
                "may not specify a duration less than 10 minutes",
            )
    for index, mode in enumerate(spec.get("volumeLifecycleModes") or ()):
        if mode not in ("Ephemeral", "Persistent"):
            yield fields.not_supported(
                (*_SPEC, "volumeLifecycleModes", index), mode, ("Ephemeral", "Persistent")
            )


def csi_driver_update(new: Json, old: Json) -> Errors:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    for key in ("attachRequired", "volumeLifecycleModes"):
        yield from immutable(after.get(key), before.get(key), (*_SPEC, key))


def csi_node(obj: Json) -> Errors:
    drivers = (obj.get("spec") or {}).get("drivers") or []
    for index, one in enumerate(drivers):
        at = (*_SPEC, "drivers", index)
        yield from driver_name(one.get("name") or "", (*at, "name"))
        if not one.get("nodeID"):
            yield fields.required((*at, "nodeID"))
        for key in one.get("topologyKeys") or ():
            if not key:
                yield fields.required((*at, "topologyKeys"))
            else:
                yield from named(key, (*at, "topologyKeys"), names.qualified)
        count = (one.get("allocatable") or {}).get("count")
        if count is not None and count < 0:
            yield fields.invalid(
                (*at, "allocatable", "count"), count, "must be greater than or equal to 0"
            )
    yield from unique(drivers, "name", (*_SPEC, "drivers"))


def csi_node_update(new: Json, old: Json) -> Errors:
    after = {d["name"]: d for d in (new.get("spec") or {}).get("drivers") or ()}
    for one in (old.get("spec") or {}).get("drivers") or ():
        kept = {k: v for k, v in after.get(one["name"], one).items() if k != "allocatable"}
        if kept != {k: v for k, v in one.items() if k != "allocatable"}:
            yield fields.invalid((*_SPEC, "drivers"), after[one["name"]], "field is immutable")


def csi_capacity(obj: Json) -> Errors:
    yield from required_name(obj, "storageClassName", (), names.dns_subdomain)
    yield from label_selector(obj.get("nodeTopology"), ("nodeTopology",))
    for key in ("capacity", "maximumVolumeSize"):
        if key in obj and quantity.parse(obj[key]) < 0:
            yield fields.invalid((key,), obj[key], "must be greater than or equal to 0")


def csi_capacity_update(new: Json, old: Json) -> Errors:
    for key in ("nodeTopology", "storageClassName"):
        yield from immutable(new.get(key), old.get(key), (key,))


def driver_name(name: str, at: Path) -> Errors:
    if not name:
        yield fields.required(at)
        return
    if len(name) > _LONGEST_DRIVER:
        yield fields.too_long(at, _LONGEST_DRIVER)
    yield from named(name.lower(), at, names.dns_subdomain)


def _modes(spec: Json, at: Path) -> Errors:
    modes, here = spec.get("accessModes") or [], (*at, "accessModes")
    if not modes:
        yield fields.required(here, "at least 1 access mode is required")
    for mode in modes:
        if mode not in _MODES:
            yield fields.not_supported(here, mode, _MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield fields.forbidden(here, "may not use ReadWriteOncePod with other access modes")


def _source(kind: str, source: Json, spec: Json, at: Path) -> Errors:
    match kind:
        case "hostPath":
            yield from present(source, ("path",), at)
            yield from no_backsteps(source.get("path") or "", (*at, "path"))
            if source.get("path") == "/" and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
                yield fields.forbidden(
                    at, "may not be '/' when `persistentVolumeReclaimPolicy` is 'Recycle'"
                )
        case "local":
            yield from present(source, ("path",), at)
            yield from no_backsteps(source.get("path") or "", (*at, "path"))
            if not (spec.get("nodeAffinity") or {}).get("required"):
                yield fields.required(
                    (*_SPEC, "nodeAffinity"), "Local volume requires node affinity"
                )
        case "nfs":
            yield from present(source, ("server", "path"), at)
            path = source.get("path") or ""
            if path and not path.startswith("/"):
                yield fields.invalid((*at, "path"), path, "must be an absolute path")
        case "csi":
            yield from driver_name(source.get("driver") or "", (*at, "driver"))
            yield from present(source, ("volumeHandle",), at)
        case "iscsi":
            yield from present(source, ("targetPortal", "iqn"), at)
        case "fc":
            if not source.get("targetWWNs") and not source.get("wwids"):
                yield fields.required(
                    (*at, "targetWWNs"), "must specify either targetWWNs or wwids"
                )
        case "rbd":
            yield from present(source, ("monitors", "image"), at)
        case "flexVolume":
            yield from present(source, ("driver",), at)


def _data_source(source: Json, at: Path) -> Errors:
    yield from present(source, ("name", "kind"), at)
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") not in (None, "", "PersistentVolumeClaim"):
        yield fields.invalid(at, source.get("kind"), "")
    if group:
        yield from named(group, (*at, "apiGroup"), names.dns_subdomain)


def _parameters(given: Json, at: Path) -> Errors:
    if len(given) > _MOST_PARAMETERS:
        yield fields.too_long(at, _MOST_PARAMETERS)
        return
    size = 0
    for key, value in given.items():
        if not key:
            yield fields.invalid(at, key, "field can not be empty.")
        size += len(key) + len(value)
    if size > _PARAMETERS_SIZE:
        yield fields.too_long(at, _PARAMETERS_SIZE)


def _storage(spec: Json) -> object:
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage")


def _above_zero(value: object, at: Path) -> Errors:
    if quantity.parse(value) <= 0:
        yield fields.invalid(at, str(value), "must be greater than zero")
