"""What the server sets in an object itself, whatever the client says: first states, finalizers,
generated labels, who asked. Each changes an object in place.
"""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver.extensions.definitions import CLEANUP
from pykubelet.apiserver.resources.strategies import Circumstances, no_status
from pykubelet.objects.resources import qos_class

Json = dict[str, Any]

_DECIDED = ("Approved", "Denied")


def pod(obj: Json) -> None:
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj)}


def pending(obj: Json) -> None:
    """A new volume, or claim of one."""
    obj["status"] = {"phase": "Pending"}


def namespace(obj: Json) -> None:
    obj["status"] = {"phase": "Active"}
    spec = obj.setdefault("spec", {})
    if "kubernetes" not in spec.setdefault("finalizers", []):
        spec["finalizers"].append("kubernetes")


def kept_namespace(new: Json, old: Json) -> None:
    """The finalizers in a namespace's spec change only through its finalize subresource."""
    new["spec"] = old.get("spec") or {}


def job(obj: Json) -> None:
    """A job finds its pods by labels that it is given, unless somebody insists on their own."""
    no_status(obj)
    spec = obj.setdefault("spec", {})
    if spec.get("manualSelector"):
        return
    meta, uid = obj["metadata"], obj["metadata"]["uid"]
    template = spec.setdefault("template", {}).setdefault("metadata", {})
    labels = template.setdefault("labels", {})
    name = meta.get("name") or ""
    for key, value in (("controller-uid", uid), ("job-name", name)):
        labels[key] = labels[f"batch.kubernetes.io/{key}"] = value
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def definition(obj: Json) -> None:
    """A new custom resource definition: nothing is accepted yet, its storage version is known, and
    it stays until its objects are gone."""
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if CLEANUP not in finalizers:
        finalizers.append(CLEANUP)
    versions = (obj.get("spec") or {}).get("versions") or ()
    stored = [one["name"] for one in versions if one.get("storage") and one.get("name")]
    obj["status"] = {
        "conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored
    }  # fmt: skip


def kept_definition(new: Json, old: Json) -> None:
    """A version that becomes the storage version is remembered."""
    state = {**(old.get("status") or {})}
    stored = list(state.get("storedVersions") or ())
    for one in (new.get("spec") or {}).get("versions") or ():
        if one.get("storage") and one.get("name") not in stored:
            stored.append(one.get("name"))
    new["status"] = {**state, "storedVersions": stored}


def certificate_request(obj: Json, old: Json | None, about: Circumstances) -> None:
    """Who asks for a certificate is written down, then stays. The approval says who may have it,
    the status holds it; neither can change the other's part."""
    if old is None:
        spec, user = obj.setdefault("spec", {}), about.user
        for key in ("username", "uid", "groups", "extra"):
            spec.pop(key, None)
        extra = {name: list(values) for name, values in user.extra.items()}
        for key, value in (("username", user.name), ("uid", user.uid),
                           ("groups", list(user.groups)), ("extra", extra)):  # fmt: skip
            if value:
                spec[key] = value
        obj["status"] = {}
        return
    before = old.get("status") or {}
    if not about.subresource:
        obj["spec"] = old.get("spec") or {}
        return
    state = dict(obj.get("status") or {})
    conditions = [dict(one) for one in state.get("conditions") or ()]
    had = before.get("conditions") or []
    if about.subresource == "approval":
        state = {**before}
        conditions = [one for one in conditions if one.get("type") in _DECIDED]
        conditions += [one for one in had if one.get("type") not in _DECIDED]
    else:
        conditions = [one for one in conditions if one.get("type") not in _DECIDED]
        conditions = [one for one in had if one.get("type") in _DECIDED] + conditions
    for one in conditions:
        for key in ("lastUpdateTime", "lastTransitionTime"):
            if not one.get(key):
                one[key] = about.now
    state.pop("conditions", None)
    obj["status"] = {"conditions": conditions, **state} if conditions else state
