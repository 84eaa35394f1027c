"""The types of the Kubernetes API as compact tables, and what reads them.

`check` tells what is wrong with a tree's shape; `kind_type` finds the type of an object by what it
says it is. `tables` holds the facts one by one.
"""

from __future__ import annotations

from pykubelet.objects.schema.checking import check as check
from pykubelet.objects.schema.tables import packages, type_of


def kind_type(api_version: str, kind: str) -> str | None:
    """The name of the type of a built-in object (`v1`, `Pod` is `core/v1.Pod`), None if unknown."""
    group, _, version = api_version.rpartition("/")
    package = f"{group.split('.')[0] or 'core'}/{version}"
    expected = _GROUPS.get(package.split("/")[0], "")
    if package not in packages() or group != expected:
        return None
    for home in (package, "meta/v1"):
        try:
            if type_of(f"{home}.{kind}").object:
                return f"{home}.{kind}"
        except KeyError:
            continue
    return None


_SUFFIXED = (
    "admission", "admissionregistration", "apidiscovery", "apiextensions", "authentication",
    "authorization", "certificates", "coordination", "discovery", "events",
    "networking", "node", "resource", "scheduling", "storage",
)  # fmt: skip
_GROUPS = {
    **{name: f"{name}.k8s.io" for name in _SUFFIXED},
    "rbac": "rbac.authorization.k8s.io",
    "apiregistration": "apiregistration.k8s.io",
    "flowcontrol": "flowcontrol.apiserver.k8s.io",
    "apps": "apps",
    "autoscaling": "autoscaling",
    "batch": "batch",
    "policy": "policy",
}
