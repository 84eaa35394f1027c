"""Which admission plugins there are, in which order, and which are on.

The order is upstream's: what sets a field comes before what judges it, quotas come last. Source:
"Admission Control in Kubernetes", default plugins.
"""

from __future__ import annotations

from collections.abc import Iterable

from pykubelet.apiserver.admission import (
    certificates,
    limit_ranger,
    node_restriction,
    owner_references,
    pod_defaults,
    pod_security,
    rbac_escalation,
    resource_quota,
    service_account,
    storage,
)
from pykubelet.apiserver.admission.chain import Admission, Plugin
from pykubelet.apiserver.admission.namespace_lifecycle import PLUGIN as NAMESPACE_LIFECYCLE
from pykubelet.errors import Invalid

_OFF = frozenset(("OwnerReferencesPermissionEnforcement",))
"""Only on when asked for."""


def known() -> tuple[Plugin, ...]:
    """Every plugin, in order."""
    return (
        NAMESPACE_LIFECYCLE,
        limit_ranger.PLUGIN,
        service_account.PLUGIN,
        node_restriction.PLUGIN,
        pod_defaults.TAINTS,
        pod_security.PLUGIN,
        pod_defaults.PRIORITY,
        pod_defaults.TOLERATIONS,
        storage.STORAGE_CLASS,
        storage.PROTECTION,
        owner_references.PLUGIN,
        storage.RESIZE,
        pod_defaults.RUNTIME_CLASS,
        certificates.APPROVAL,
        certificates.SIGNING,
        certificates.SUBJECT,
        storage.INGRESS_CLASS,
        resource_quota.plugin(),
    )


def admission(
    enable: Iterable[str] = (), disable: Iterable[str] = (), extra: Iterable[Plugin] = ()
) -> Admission:
    """The plugins that are on: the defaults, those to `enable`, without those to `disable`. `extra`
    ones (the dynamic ones) go in before ResourceQuota; what is no plugin upstream can't be switched
    off. Raises Invalid for a name nobody knows."""
    all_plugins = known()
    names = {plugin.name for plugin in all_plugins}
    unknown = sorted({*enable, *disable} - names)
    if unknown:
        raise Invalid(
            "unknown admission plugin", expected=", ".join(sorted(names)), found=", ".join(unknown)
        )
    on = (names - _OFF | set(enable)) - set(disable)
    chosen = [plugin for plugin in all_plugins if plugin.name in on]
    last = [plugin for plugin in chosen if plugin.name == "ResourceQuota"]
    first = [p for p in chosen if p not in last]
    return Admission([rbac_escalation.PLUGIN, *first, *extra, *last])
