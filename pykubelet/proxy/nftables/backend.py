"""Carries service ports to the kernel as the one nftables table that is ours.

`sync` writes the table anew in one transaction; `change` is one transaction too, of the elements
that differ and nothing else, after another one where chains are missing. The kernel has one or the
other set of rules, never a part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pykubelet.proxy import nfnetlink
from pykubelet.proxy.model import Settings
from pykubelet.proxy.nftables import affinity, chains
from pykubelet.proxy.nftables.affinity import Remembered, Targets
from pykubelet.proxy.nftables.chains import Shared
from pykubelet.proxy.nftables.elements import (
    Contribution,
    Difference,
    contribution,
    difference,
)
from pykubelet.proxy.nftables.frame import frame
from pykubelet.proxy.nftables.keys import TABLE
from pykubelet.proxy.plan import Change, Ports
from pykubelet.proxy.programs import run
from pykubelet.proxy.services import HealthCheck

_NFT = ("nft", "-f", "-")
_CLEAR = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"


class Nftables:
    name = "nftables"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shared: Counter[tuple[str, str]] = Counter()
        self._chains: set[Shared] = set()
        self._counts: Counter[str] = Counter()
        self._rules = 0

    def sync(self, wanted: Mapping[str, Ports]) -> None:
        found = Contribution()
        shared: Counter[tuple[str, str]] = Counter()
        for ports in wanted.values():
            of_service = contribution(ports)
            found.elements.update(of_service.elements)
            found.chains |= of_service.chains
            shared.update(of_service.shared)
        inside = difference({}, found.elements)
        for name, text in shared:
            inside.put(name, text, "")
        tail = "".join(
            chains.text(chain, self._settings)
            for chain in sorted(found.chains, key=lambda chain: chain.name)
        )
        table = frame(self._settings, tail)
        kept = affinity.restoring(self._still_valid(wanted))
        run(_NFT, "".join((_CLEAR, table, *inside.lines(TABLE), kept)))
        self._shared, self._chains = shared, found.chains
        self._counts = Counter({name: len(those) for name, those in inside.in_.items()})
        self._rules = _rules_in(table)

    def change(self, changes: Sequence[Change]) -> None:
        old = contribution(port for change in changes for port in change.old)
        new = contribution(port for change in changes for port in change.new)
        found = difference(old.elements, new.elements)
        shared = self._count_shared(changes, found)
        added = new.chains - self._chains
        text = "".join(chains.text(chain, self._settings) for chain in added)
        if text:
            text = f"table inet {TABLE} {{\n{text}}}\n"
            # In a transaction before the one that leads to them: a packet keeps to the rules of the
            # moment when it came in, but finds in a map what is there now. A chain of the same
            # transaction would still be empty for it.
            run(_NFT, text)
            self._chains |= added
            self._rules += _rules_in(text)
        if not found:
            return
        run(_NFT, "".join(found.lines(TABLE)))
        self._shared = shared
        for name, those in found.in_.items():
            self._counts[name] += len(those)
        for name, those in found.out.items():
            self._counts[name] -= len(those)
        self._forget_clients(changes)

    def tidy(self) -> None:
        """Shared chains that nobody needs at the moment are few, and may be needed again."""

    def set_health_checks(self, checks: Sequence[HealthCheck]) -> None:
        """Nothing that an nftables table can do: it can't accept what another one drops."""

    def damage(self, thorough: bool) -> str:
        if not nfnetlink.table_exists(TABLE):
            return f"the nftables table {TABLE} is gone"
        if not thorough:
            return ""
        rules = nfnetlink.rule_count(TABLE)
        if rules != self._rules:
            return f"the nftables table {TABLE} has {rules} rules where {self._rules} were"
        for name, expected in self._counts.items():
            count = nfnetlink.element_count(TABLE, name)
            if count != expected:
                return f"{name} of the nftables table {TABLE} has {count} elements, not {expected}"
        return ""

    def tells(self) -> bool:
        return True

    def remove(self) -> None:
        if nfnetlink.table_exists(TABLE):
            run(_NFT, _CLEAR)

    # -- inside ---------------------------------------------------------------------------------

    def _count_shared(
        self, changes: Sequence[Change], found: Difference
    ) -> Counter[tuple[str, str]]:
        """Add to `found` the shared elements that come or go for good; the counts after that."""
        delta: Counter[tuple[str, str]] = Counter()
        for change in changes:
            delta.update(contribution(change.new).shared)
            delta.subtract(contribution(change.old).shared)
        after = self._shared.copy() if any(delta.values()) else self._shared
        for (name, text), number in delta.items():
            before, now = after[name, text], after[name, text] + number
            if now:
                after[name, text] = now
            elif before:
                del after[name, text]
            if now and not before:
                found.put(name, text, "")
            elif before and not now:
                found.take(name, text)
        return after

    def _still_valid(self, wanted: Mapping[str, Ports]) -> list[Remembered]:
        """Clients in the present table that may go on where they are led to."""
        if not nfnetlink.table_exists(TABLE):
            return []
        targets = Targets()
        for ports in wanted.values():
            for port in ports:
                if port.affinity_seconds:
                    for frontend in port.frontends():
                        targets.add(frontend, port.reachable())
        return [one for one in affinity.remembered(targets.places) if one in targets]

    def _forget_clients(self, changes: Sequence[Change]) -> None:
        """Clients that stick to an endpoint that a service no longer has. After the transaction,
        since until then they are led there anew."""
        gone = Targets()
        for change in changes:
            now = {port.internal: port.reachable() for port in change.new}
            for port in change.old:
                if port.affinity_seconds:
                    left = {endpoint[:2] for endpoint in now.get(port.internal, ())}
                    vanished = [e for e in port.reachable() if e[:2] not in left]
                    for frontend in port.frontends():
                        gone.add(frontend, vanished)
        if gone:
            affinity.forget(one for one in affinity.remembered(gone.places) if one in gone)


def _rules_in(text: str) -> int:
    """How many rules the chains in a table's text have."""
    count, inside = 0, False
    for line in text.splitlines():
        if line.startswith("  chain "):
            inside = True
        elif line.startswith("  }"):
            inside = False
        elif inside and not line.startswith("    type "):
            count += 1
    return count
