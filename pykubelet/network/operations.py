"""The six verbs of a CNI plugin, on this node's bridge.

The order of steps is what makes each of them safe to kill anywhere and to repeat:

    ADD   lease (address, ports, names) → bridge → pair and pod → rules → answer
    DEL   pair → rules without the lease → lease

A lease stands before anything that it would need to clean up and falls after all of it is gone. A
repeated ADD finds its lease and makes the rest again with the same address; a repeated DEL finds
less to do. `gc` is DEL for every lease whose owner is unknown to the runtime.

Everything that shares state (leases, rules, the note of what was changed on the host) happens
under the store's lock; making and removing a pair, which is most of the time, does not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from pykubelet.errors import Failed
from pykubelet.network import bridge, filters, ipam, links, namespaces, portmap, spec
from pykubelet.network.config import NetworkConfig
from pykubelet.network.footprint import Footprint
from pykubelet.network.keyed import KeyedLocks
from pykubelet.network.leases import Key, Lease, LeaseStore
from pykubelet.network.masquerade import Masquerade
from pykubelet.network.spec import CniError, Invocation, Json

log = logging.getLogger(__name__)

# A container that the runtime doesn't list may be one that it is still starting: its sandbox shows
# up some time after our ADD. Without a link it is dead for sure (the link goes with the namespace).
SETTLE_SECONDS = 10.0
GRACE_SECONDS = 300.0
MTU_SECONDS = 60.0


class Operations:
    """`on_exhausted` is called without the lock when no address is free, to give the owner the
    chance to call `gc`; the allocation is then tried once more."""

    def __init__(self, store: LeaseStore, on_exhausted: Callable[[], object] | None = None) -> None:
        self.store = store
        self._on_exhausted = on_exhausted
        self._busy = KeyedLocks[Key]()
        self._mtu = (0.0, 0)

    # -- the verbs ------------------------------------------------------------------------------

    def add(self, config: NetworkConfig, call: Invocation, namespace: int) -> Json:
        """The result in the newest shape. Raises CniError, Failed, OSError."""
        if namespaces.is_own(namespace):
            raise CniError(
                spec.INVALID_NAMESPACE, "CNI_NETNS is the node's own namespace", call.namespace
            )
        with self._busy.held((config.name, call.container, call.interface)):
            lease = self._reserve(config, call)
            mtu = config.mtu or self._outward_mtu()
            with self.store.locked():
                host = self._host()
                index = bridge.ensure(config, mtu, host)
                self._hide(config, host)
            links.attach(lease, config, namespace, index, mtu)
            if lease.ports:
                self._open_ports(lease, config)
            return result(lease, config, mtu)

    def delete(self, network: str, container: str, interface: str) -> None:
        """Fine for what was never added. Raises Failed, OSError."""
        key = (network, container, interface)
        with self._busy.held(key):
            with self.store.locked() as leases:
                lease = leases.get(key)
            links.detach(links.host_name(*key))
            if lease is None:
                return
            with self.store.locked() as leases:
                if lease.ports:
                    kept = [other for other in leases if other.key != key]
                    filters.choose(self._host().backend).set_host_ports(kept)
                    filters.forget_connections([lease])
                leases.drop(key)

    def check(self, config: NetworkConfig, call: Invocation, namespace: int) -> None:
        """Raises CniError saying what is not as ADD left it."""
        if config.previous is None:
            raise CniError(spec.INVALID_CONFIG, "invalid network configuration",
                           "CHECK needs prevResult")  # fmt: skip
        with self.store.locked() as leases:
            lease = leases.get((config.name, call.container, call.interface))
        problems = _problems(lease, config, namespace) if lease else ["it has no lease"]
        if lease and lease.ports and not filters.choose(config.backend).has_host_ports():
            problems.append("the rules of its host ports are gone")
        if config.masquerade and not filters.choose(config.backend).has_masquerade():
            problems.append("the masquerading rules are gone")
        if problems:
            raise CniError(spec.CHECK_FAILED, "the attachment is not as it was made",
                           "; ".join(problems))  # fmt: skip

    def status(self, config: NetworkConfig) -> None:
        """Raises CniError (code 50) where no ADD can ever succeed as things are. A range without a
        free address is not such a case: runtimes turn this answer into a node that is not ready,
        and pods that run well would be driven off it because one more does not fit."""
        problem = ""
        link = links.find(config.bridge)
        if link is not None and link.kind != "bridge":
            problem = f"{config.bridge} exists and is no bridge"
        try:
            if config.masquerade:
                filters.choose(config.backend)
        except Failed as error:
            problem = str(error)
        if problem:
            raise CniError(spec.NOT_AVAILABLE, "the plugin is not available", problem)

    def collect(self, network: str, valid: Iterable[tuple[str, str]]) -> None:
        """The GC verb: DEL for every attachment of the network that is not in `valid`, which the
        runtime says is complete."""
        known = set(valid)
        with self.store.locked() as leases:
            stale = [x for x in leases.of(network) if (x.container, x.interface) not in known]
        self._delete_all(stale)

    # -- for the agent --------------------------------------------------------------------------

    def gc(
        self,
        valid: Iterable[str],
        *,
        settle: float = SETTLE_SECONDS,
        grace: float = GRACE_SECONDS,
    ) -> list[Lease]:
        """DEL for the attachments of every container that is not in `valid` (sandbox ids), also of
        links without a lease. Spared are those made less than `grace` seconds ago, or `settle`
        where the link is gone. What was removed."""
        known, now = set(valid), time.monotonic()
        with self.store.locked() as leases:
            stale = []
            for lease in leases:
                age = now - lease.created
                is_dead = age >= grace or (age >= settle and not links.exists(lease.host_interface))
                if lease.container not in known and is_dead:
                    stale.append(lease)
            owned = {lease.host_interface for lease in leases}
            strays = [
                port
                for name in self._host().bridges
                for port in links.ports_of(name)
                if port.startswith(links.HOST_PREFIX) and port not in owned
            ]
        for name in strays:
            links.detach(name)
        self._delete_all(stale)
        return stale

    def restore_rules(self) -> None:
        """Write the rules anew from what is known: after a start of the agent, or when something
        else has flushed them."""
        with self.store.locked() as leases:
            host = self._host()
            if not host.networks:
                return
            chosen = filters.choose(host.backend)
            chosen.set_masquerade(host.masquerades())
            chosen.set_host_ports(leases)

    def remove_all(self) -> None:
        """Every trace: pairs, bridges, rules of either backend, sysctls, leases."""
        with self.store.locked() as leases:
            host = self._host()
            for lease in leases:
                links.detach(lease.host_interface)
            for name in host.bridges:
                bridge.remove(name)
            for backend in filters.all_present():
                backend.remove()
            host.restore_sysctls()
            self.store.remove()

    # -- steps ----------------------------------------------------------------------------------

    def _reserve(self, config: NetworkConfig, call: Invocation) -> Lease:
        try:
            return self._lease(config, call)
        except ipam.Exhausted as error:
            if self._on_exhausted is None:
                raise _no_address(error) from error
            log.warning("%s; looking for leases whose owner is gone", error)
        self._on_exhausted()
        try:
            return self._lease(config, call)
        except ipam.Exhausted as error:
            raise _no_address(error) from error

    def _lease(self, config: NetworkConfig, call: Invocation) -> Lease:
        """The lease of this attachment: the one that it has, where that still fits, or a new one.
        It is written when this returns."""
        key = (config.name, call.container, call.interface)
        with self.store.locked() as leases:
            old = leases.get(key)
            others = [lease for lease in leases if lease.key != key]
            clash = portmap.conflict(config.ports, others)
            if clash:
                raise CniError(spec.TRY_AGAIN_LATER, "host port is in use", clash)
            if old and _fits(old, config, call):
                return old
            taken = {a.ip for o in others if o.network == config.name for a in o.ips}
            chosen = ipam.allocate(
                config.range_sets, taken, after=leases.last(config.name), wanted=config.wanted
            )
            lease = Lease(
                network=config.name,
                container=call.container,
                interface=call.interface,
                namespace=call.namespace,
                host_interface=links.host_name(*key),
                bridge=config.bridge,
                addresses=tuple(str(a.address) for a in chosen),
                gateways=tuple(str(a.gateway) for a in chosen),
                ports=config.ports,
            )
            leases.put(lease)
            return lease

    def _outward_mtu(self) -> int:
        """Asked once a minute, not once a pod: it changes when the node's uplink does."""
        until, mtu = self._mtu
        if time.monotonic() > until:
            mtu = bridge.outward_mtu()
            self._mtu = time.monotonic() + MTU_SECONDS, mtu
        return mtu

    def _hide(self, config: NetworkConfig, host: Footprint) -> None:
        """Masquerading for this network, written when it is news or when the rules are gone."""
        hidden = Masquerade(config.subnets, config.plain_networks) if config.masquerade else None
        is_news = host.note_network(config.name, hidden)
        if hidden is None and not is_news and not config.ports:
            return
        chosen = filters.choose(config.backend)
        if chosen.name != host.backend:
            for other in filters.all_present() if host.backend else ():
                if other.name != chosen.name:
                    other.remove()
            host.note_backend(chosen.name)
            is_news = True
        if is_news or not _is_hidden(chosen):
            chosen.set_masquerade(host.masquerades())

    def _open_ports(self, lease: Lease, config: NetworkConfig) -> None:
        if any(a.version == 4 for a in lease.ips):
            bridge.allow_localhost(lease.bridge)
        with self.store.locked() as leases:
            filters.choose(config.backend).set_host_ports(leases)
        filters.forget_connections([lease])

    def _delete_all(self, stale: Iterable[Lease]) -> None:
        for lease in stale:
            log.info(
                "the owner of %s is gone: taking back %s",
                lease.container, ", ".join(lease.addresses),
            )  # fmt: skip
            self.delete(*lease.key)

    def _host(self) -> Footprint:
        """Read each time, under the lock: the fallback may have written it."""
        return Footprint.load(self.store.boot_folder / "footprint")


def _is_hidden(chosen: filters.Filter) -> bool:
    """Asking iptables costs two processes for each pod; `restore_rules` asks instead."""
    return chosen.name == "iptables" or chosen.has_masquerade()


def _no_address(error: ipam.Exhausted) -> CniError:
    return CniError(spec.NO_FREE_ADDRESS, "no free address", str(error))


def _fits(lease: Lease, config: NetworkConfig, call: Invocation) -> bool:
    """Whether a retry may go on with this lease."""
    subnets = {str(n) for n in config.subnets}
    return (
        lease.namespace == call.namespace
        and lease.bridge == config.bridge
        and lease.ports == config.ports
        and len(lease.addresses) == len(config.range_sets)
        and all(str(a.network) in subnets for a in lease.ips)
        and all(any(a.ip == w for a in lease.ips) for w in config.wanted)
    )


def result(lease: Lease, config: NetworkConfig, mtu: int) -> Json:
    """What ADD answers, in the newest shape, behind what a plugin before us in the chain gave."""
    before = config.previous or {}
    interfaces = list(before.get("interfaces", []))
    index = len(interfaces) + 2
    gateway_mac = links.pod_mac(config.range_sets[0][0].gateway)
    interfaces += [
        {"name": lease.bridge, "mac": gateway_mac, "mtu": mtu},
        {"name": lease.host_interface, "mac": links.host_mac(lease.host_interface), "mtu": mtu},
        {
            "name": lease.interface,
            "mac": links.pod_mac(lease.ips[0].ip),
            "mtu": mtu,
            "sandbox": lease.namespace,
        },
    ]
    ips = [
        {"address": address, "gateway": gateway, "interface": index}
        for address, gateway in zip(lease.addresses, lease.gateways, strict=True)
    ]
    routes = [route.to_json() for route in links.routes_of(lease, config)]
    return {
        "interfaces": interfaces,
        "ips": [*before.get("ips", []), *ips],
        "routes": [*before.get("routes", []), *routes],
        "dns": config.dns or before.get("dns") or {},
    }


def _problems(lease: Lease, config: NetworkConfig, namespace: int) -> list[str]:
    found = []
    host_link, master = links.find(lease.host_interface), links.find(lease.bridge)
    if master is None or not master.up:
        found.append(f"bridge {lease.bridge} is {'down' if master else 'gone'}")
    else:
        missing = bridge.missing_addresses(master.index, config)
        found += [f"bridge {lease.bridge} has lost {address}" for address in missing]
    if host_link is None:
        found.append(f"{lease.host_interface} is gone")
    elif not host_link.up:
        found.append(f"{lease.host_interface} is down")
    elif master is not None and host_link.master != master.index:
        found.append(f"{lease.host_interface} is not on {lease.bridge}")
    with namespaces.entered(namespace):
        link = links.find(lease.interface)
        if link is None:
            return [*found, f"{lease.interface} is gone from the pod"]
        if not link.up:
            found.append(f"{lease.interface} is down in the pod")
        present = links.addresses_of(link.index)
        found += [
            f"{lease.interface} has lost {address}"
            for address in lease.addresses
            if str(address) not in present
        ]
        destinations = links.destinations_of(link.index)
    found += [
        f"the pod has lost its route to {route.destination}"
        for route in links.routes_of(lease, config)
        if str(route.destination) not in destinations and not route.table
    ]
    return found
