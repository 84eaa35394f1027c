"""How a pod is called and how it finds others: host name, hosts file, DNS configuration. Pure.

The sandbox gets the host name and the DNS configuration, every container the hosts file
(`..volumes.container_mounts` writes it). What the node's own resolver says comes from
`resolv_conf`. Source: "DNS for Services and Pods", KEP-1797 (setHostnameAsFQDN), KEP-4762
(hostnameOverride), KEP-2595 (search list limits).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.kubelet.pods import spec
from pykubelet.network.resolv_conf import ResolvConf

Json = dict[str, Any]

MAX_HOSTNAME = 63
MAX_FQDN = 64  # the kernel's nodename field
MAX_SERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048
MAX_DOMAIN = 253

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")

_HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"
_HOSTS_HEADER_OF_NODE = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL_HOSTS = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("fe00::0", "ip6-mcastprefix"),
    ("fe00::1", "ip6-allnodes"),
    ("fe00::2", "ip6-allrouters"),
)


def _nobody(sentence: str) -> None:
    """Where no one listens to warnings."""


# -- host name ----------------------------------------------------------------------------------


def hostname_and_domain(pod: Json, cluster_domain: str) -> tuple[str, str]:
    """The pod's short host name, and the domain that a `subdomain` gives it ("" without one).

    Raises Invalid for names that are not DNS names.
    """
    wanted = pod["spec"]
    override = wanted.get("hostnameOverride")
    if override is not None:
        if len(override) > MAX_DOMAIN or not _SUBDOMAIN.fullmatch(override):
            raise Invalid(f'pod HostnameOverride "{override}" is not a valid DNS subdomain')
        return _truncated(override), ""
    for field in ("hostname", "subdomain"):
        value = wanted.get(field)
        if value and (len(value) > MAX_HOSTNAME or not _LABEL.fullmatch(value)):
            raise Invalid(f'pod {field.capitalize()} "{value}" is not a valid DNS label')
    subdomain = wanted.get("subdomain")
    domain = f"{subdomain}.{spec.namespace(pod)}.svc.{cluster_domain}" if subdomain else ""
    return _truncated(wanted.get("hostname") or spec.name(pod)), domain


def sandbox_hostname(pod: Json, cluster_domain: str) -> str:
    """What the sandbox's kernel is told: "" on the host network, whose name is the node's.

    With setHostnameAsFQDN and a subdomain, the fully qualified name. Raises Invalid where that
    does not fit into the kernel's 64 characters.
    """
    if spec.host_network(pod):
        return ""
    hostname, domain = hostname_and_domain(pod, cluster_domain)
    if not (domain and pod["spec"].get("setHostnameAsFQDN")):
        return hostname
    fqdn = f"{hostname}.{domain}"
    if len(fqdn) > MAX_FQDN:
        raise Invalid(
            "failed to construct FQDN from pod hostname and cluster domain, "
            f"FQDN {fqdn} is too long ({MAX_FQDN} characters is the max, "
            f"{len(fqdn)} characters requested)"
        )
    return fqdn


def _truncated(hostname: str) -> str:
    return hostname if len(hostname) <= MAX_HOSTNAME else hostname[:MAX_HOSTNAME].rstrip("-.")


# -- hosts file ---------------------------------------------------------------------------------


def hosts_file(pod: Json, cluster_domain: str, *, pod_ips: Sequence[str], node_hosts: str) -> str:
    """The text of the pod's /etc/hosts.

    On the host network it is the node's own (`node_hosts`); else it names the pod at each of its
    addresses. Either way `hostAliases` come last.
    """
    if spec.host_network(pod):
        text = _HOSTS_HEADER_OF_NODE + node_hosts
        text += "" if text.endswith("\n") else "\n"
    else:
        hostname, domain = hostname_and_domain(pod, cluster_domain)
        own = f"{hostname}.{domain}\t{hostname}" if domain else hostname
        lines = [*_LOCAL_HOSTS, *((ip, own) for ip in pod_ips)]
        text = _HOSTS_HEADER + "".join(f"{ip}\t{names}\n" for ip, names in lines)
    aliases = pod["spec"].get("hostAliases")
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        for alias in aliases:
            text += "\t".join((alias["ip"], *(alias.get("hostnames") or ()))) + "\n"
    return text


# -- DNS ----------------------------------------------------------------------------------------


def dns_config(
    pod: Json,
    *,
    node: ResolvConf,
    cluster_dns: Sequence[str] = (),
    cluster_domain: str = "",
    alone: bool = False,
    warn: Callable[[str], None] = _nobody,
) -> Json:
    """CRI's DNSConfig: `servers`, `searches` and `options`, lists of text.

    `alone`: the node is in no cluster, so that nobody misses a cluster's resolver. `warn` is told,
    in a sentence fit for an event, of what did not fit the limits and of a policy that could not be
    kept.
    """
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.host_network(pod):
        policy = "Default"
    wants_cluster = policy in ("ClusterFirst", "ClusterFirstWithHostNet")
    if wants_cluster and not cluster_dns:
        if not alone:
            warn(
                "kubelet does not have ClusterDNS IP configured and cannot create Pod using "
                f'"{policy}" policy. Falling back to "Default" policy.'
            )
        policy, wants_cluster = "Default", False

    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    if wants_cluster:
        servers = list(cluster_dns)
        searches = [*_cluster_searches(pod, cluster_domain), *node.searches]
        options = ["ndots:5"]
    elif policy == "Default":
        servers, searches = list(node.servers), list(node.searches)
        options = list(node.options)
        if not node.path:
            # A node told to have no resolver: point at nothing rather than at the runtime's guess.
            servers, searches = ["127.0.0.1"], ["."]
        elif node.warning:
            warn(node.warning)

    added = pod["spec"].get("dnsConfig") or {}
    servers = _once([*servers, *(added.get("nameservers") or ())])
    searches = _once([*searches, *(added.get("searches") or ())])
    options = _merged(options, added.get("options") or ())
    return {
        "servers": _fitting_servers(servers, warn),
        "searches": _fitting_searches(searches, warn),
        "options": options,
    }


def _cluster_searches(pod: Json, cluster_domain: str) -> list[str]:
    if not cluster_domain:
        return []
    services = f"svc.{cluster_domain}"
    return [f"{spec.namespace(pod)}.{services}", services, cluster_domain]


def _once(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _merged(existing: Iterable[str], added: Iterable[Json]) -> list[str]:
    """Options by name; the pod's own replace those that it starts from, in place."""
    merged = {name: value for name, _, value in (option.partition(":") for option in existing)}
    merged |= {option["name"]: option.get("value") or "" for option in added}
    return [f"{name}:{value}" if value else name for name, value in merged.items()]


def _fitting_servers(servers: list[str], warn: Callable[[str], None]) -> list[str]:
    fitting = servers[:MAX_SERVERS]
    if len(fitting) < len(servers):
        warn(
            "Nameserver limits were exceeded, some nameservers have been omitted, "
            f"the applied nameserver line is: {' '.join(fitting)}"
        )
    return fitting


def _fitting_searches(searches: list[str], warn: Callable[[str], None]) -> list[str]:
    # Some resolvers abort on a domain that is too long for DNS, wherever it comes from.
    fitting = [domain for domain in searches[:MAX_SEARCHES] if len(domain) <= MAX_DOMAIN]
    while len(" ".join(fitting)) > MAX_SEARCH_CHARACTERS:
        fitting.pop()
    if fitting != searches:
        warn(
            "Search Line limits were exceeded, some search paths have been omitted, "
            f"the applied search line is: {' '.join(fitting)}"
        )
    return fitting
