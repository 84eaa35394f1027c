"""Is this host fit for a node? Asked once, before anything is done; each finding is said once.

`node.host` gathers and judges. An error ends the start with one line that says what to do; a
warning or a note is logged, and the node runs all the same. The boot id is remembered here, so that
the next start can tell a reboot.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pykubelet.errors import Failed
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.node import host
from pykubelet.kubelet.node.host import ERROR, NOTE, Facts, Finding
from pykubelet.network import resolv_conf

log = logging.getLogger(__name__)

_UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")


class Unfit(Failed):
    """This host can't carry an agent as it is; one line for each reason."""


def check(config: Configuration) -> Facts:
    """Say what there is to say of this host. Raises Unfit."""
    facts = host.look(
        _ports(config),
        state_dir=config.root_dir,
        cgroup_version=2 if _UNIFIED.exists() else 1,
    )
    if facts.last_boot_id != facts.boot_id:
        # The network plugin switches it on with the first pod of a boot.
        facts = replace(facts, ip_forward=True)
    found = host.findings(
        facts,
        fail_swap_on=config.fail_swap_on,
        fail_cgroup_v1=config.fail_cgroup_v1,
        port=config.port,
        pod_cidr=config.pod_cidr,
    )
    found += _resolver(config)
    refusals = [str(finding) for finding in found if finding.level == ERROR]
    if refusals:
        raise Unfit("\n".join(refusals))
    for finding in found:
        log.log(logging.INFO if finding.level == NOTE else logging.WARNING, "%s", finding)
    return facts


def remember(config: Configuration, facts: Facts) -> None:
    """The next start compares its boot id with this one's."""
    try:
        host.remember_boot(config.root_dir, facts.boot_id)
    except OSError as error:  # a full disk must not keep pods from running
        log.warning("the boot id can't be kept: %s", error.strerror)


def _ports(config: Configuration) -> Iterator[tuple[str, int]]:
    if config.enable_server:
        yield config.address, config.port
    if config.healthz_port:
        yield config.healthz_bind_address, config.healthz_port


def _resolver(config: Configuration) -> list[Finding]:
    found = resolv_conf.read(config.resolv_conf)
    if found.warning:
        return [Finding(host.WARNING, found.warning)]
    if config.resolv_conf and found.path != config.resolv_conf:
        return [
            Finding(
                NOTE,
                f"{config.resolv_conf} names a resolver on the loopback, which pods can't reach: "
                f"they get the servers of {found.path}",
            )
        ]
    return []
