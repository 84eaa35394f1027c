"""Carries service ports to the kernel as kube-proxy's chains, by iptables-restore.

`sync` on a host that has our chains already fills the services' chains piece by piece, and then
swaps the shared chains that lead to them in one transaction, so that a running set of rules is
never without an answer; only then are chains that nobody needs any more taken away. On a fresh host
the jumps into our chains come last. `change` rewrites the chains that differ.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pykubelet.errors import Failed
from pykubelet.proxy import nfnetlink
from pykubelet.proxy.iptables import names, restore
from pykubelet.proxy.iptables.rules import (
    JUMPS,
    Jump,
    Line,
    Rules,
    frame,
    health_check,
    node_port_jumps,
    rules,
)
from pykubelet.proxy.model import Settings
from pykubelet.proxy.plan import Change, Ports
from pykubelet.proxy.programs import run
from pykubelet.proxy.services import HealthCheck

log = logging.getLogger(__name__)

_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_NF_FAMILIES = {4: nfnetlink.IP, 6: nfnetlink.IP6}
_JUMPS_IN = Counter((jump.table, jump.builtin) for jump in JUMPS)
_ROUTE_LOCALNET = "/proc/sys/net/ipv4/conf/all/route_localnet"


class Iptables:
    name = "iptables"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        found = {family: _Family(family, settings) for family in _PROGRAMS}
        self._families = [one for one in found.values() if one.available]

    def sync(self, wanted: Mapping[str, Ports]) -> None:
        if self._settings.localhost_node_ports:
            _allow_localhost()
        for family in self._families:
            family.sync(wanted)

    def change(self, changes: Sequence[Change]) -> None:
        for family in self._families:
            family.change(changes)

    def tidy(self) -> None:
        for family in self._families:
            family.tidy()

    def set_health_checks(self, checks: Sequence[HealthCheck]) -> None:
        for family in self._families:
            family.set_health_checks(checks)

    def damage(self, thorough: bool) -> str:
        found = (family.damage(thorough) for family in self._families)
        return next((text for text in found if text), "")

    def tells(self) -> bool:
        return all(family.over_nftables for family in self._families)

    def remove(self) -> None:
        for family in self._families:
            family.remove()


class _Family:
    """One of iptables and ip6tables."""

    def __init__(self, family: int, settings: Settings) -> None:
        self._family = family
        self._settings = settings
        self._program = _PROGRAMS[family]
        self._health: tuple[Line, ...] = ()
        self._expected: Counter[tuple[str, str]] = Counter()
        self._stale: set[str] = set()
        self.available = all(
            shutil.which(program) for program in (self._program, f"{self._program}-restore")
        )
        self.over_nftables = False
        if self.available:
            try:
                self.over_nftables = "nf_tables" in run([self._program, "--version"])
                if not self.over_nftables:  # needs a kernel with its modules
                    run([self._program, "-w", "-t", "nat", "-n", "-L", "POSTROUTING"])
            except Failed as error:
                log.warning("no %s on this host: %s", self._program, error)
                self.available = False

    def sync(self, wanted: Mapping[str, Ports]) -> None:
        before, counts = self._saved()
        lines = [*frame(self._settings, self._family), *self._health]
        last = [
            ("nat", names.SERVICES, rule) for rule in node_port_jumps(self._settings, self._family)
        ]
        # Of the old kind, each transaction carries the whole table to the kernel and back.
        size = restore.PIECE if self.over_nftables else max(1, len(wanted))
        chains: dict[str, int] = {}
        of_all: list[Line] = []

        def of_services() -> Iterator[Rules]:
            for ports in wanted.values():
                one = rules(ports, self._settings, self._family)
                if one.lines:
                    chains.update((name, len(content)) for name, content in one.chains.items())
                    of_all.extend(one.lines)
                    yield one

        if before:
            self._restore_all(restore.pieces(of_services(), size))
            everything = [*lines, *of_all, *last]
            self._restore(restore.fixed("nat", everything) + restore.fixed("filter", everything))
        else:
            self._restore(restore.fixed("nat", lines) + restore.fixed("filter", lines))
            self._restore_all(restore.pieces(of_services(), size, with_lines=True))
            self._restore(restore.appended(last))
        self._place_jumps(counts)
        needed = chains.keys() | set(names.FIXED["nat"])
        self._stale = {c for table, c in before if table == "nat" and c not in needed}
        self.tidy()
        self._expected = Counter({("nat", chain): count for chain, count in chains.items()})
        self._expected.update((table, chain) for table, chain, _ in (*lines, *of_all, *last))

    def tidy(self) -> None:
        stale, self._stale = sorted(self._stale), set()
        for text in restore.emptied(stale):
            self._restore(text)

    def change(self, changes: Sequence[Change]) -> None:
        for some in _in_pieces(changes):
            old = self._rules(change.old for change in some)
            new = self._rules(change.new for change in some)
            self._restore(restore.change(old, new))
            self._stale |= old.chains.keys()
            self._stale -= new.chains.keys()
            self._expect(old, new)

    def _rules(self, those: Iterable[Ports]) -> Rules:
        return restore.merged(rules(ports, self._settings, self._family) for ports in those)

    def _expect(self, old: Rules, new: Rules) -> None:
        for found, sign in ((old, -1), (new, 1)):
            for chain, content in found.chains.items():
                self._expected["nat", chain] += sign * len(content)
            for table, chain, _ in found.lines:
                self._expected[table, chain] += sign
        for chain in old.chains.keys() - new.chains.keys():
            del self._expected["nat", chain]

    def set_health_checks(self, checks: Sequence[HealthCheck]) -> None:
        lines = tuple(
            health_check(check.port, f"{check.namespace}/{check.name}")
            for check in sorted(checks, key=lambda check: check.port)
        )
        if lines == self._health:
            return
        self._health = lines
        chain = {names.NODE_PORTS: [rule for _, _, rule in lines]}
        self._restore(restore.table("filter", restore.filled(chain)))
        self._expected["filter", names.NODE_PORTS] = len(lines)

    def damage(self, thorough: bool) -> str:
        if not thorough:
            if not self.over_nftables:
                return ""
            family = _NF_FAMILIES[self._family]
            found = nfnetlink.rule_count("nat", names.POSTROUTING, family)
            expected = self._expected["nat", names.POSTROUTING]
            return "" if found == expected else f"{self._program}'s nat table was emptied"
        _, counts = self._saved()
        for (table, chain), expected in self._expected.items():
            if counts[table, chain] != expected:
                return (
                    f"{self._program} chain {chain} in {table} has {counts[table, chain]} rules, "
                    f"not {expected}"
                )
        for (table, builtin), expected in _JUMPS_IN.items():
            if counts[table, builtin] != expected:
                return f"{self._program} {table} {builtin} does not lead to our chains as it should"
        return ""

    def remove(self) -> None:
        before, counts = self._saved()
        if not before:
            return
        self._delete_jumps(counts)
        for table in names.FIXED:
            mine = [chain for in_table, chain in before if in_table == table]
            if table == "nat":
                for text in restore.emptied(mine):
                    self._restore(text)
            elif mine:
                empty = [f":{chain} - [0:0]" for chain in mine]
                self._restore(restore.table(table, [*empty, *(f"-X {chain}" for chain in mine)]))
            if self.over_nftables and shutil.which("nft"):
                self._remove_shell(table)

    # -- inside ---------------------------------------------------------------------------------

    def _saved(self) -> tuple[set[tuple[str, str]], Counter[tuple[str, str]]]:
        return restore.saved(run([f"{self._program}-save"]))

    def _remove_shell(self, table: str) -> None:
        """iptables over nftables makes a table and its built-in chains for the first rule, and
        leaves them behind. Those without a rule or a policy do nothing: they go as well."""
        empty, rest = restore.shell(run([f"{self._program}-save", "-t", table]))
        family = "ip" if self._family == 4 else "ip6"
        what = [f"chain {family} {table} {chain}" for chain in empty]
        for one in what if rest else [f"table {family} {table}"]:
            try:
                run(["nft", "delete", *one.split()])
            except Failed:
                continue  # it is listed, but was never made; or somebody has begun to use it

    def _place_jumps(self, counts: Counter[tuple[str, str]]) -> None:
        """Where they are all there they are moved within one transaction. Else clear the rest, then
        insert all."""
        if all(counts[table, builtin] == n for (table, builtin), n in _JUMPS_IN.items()):
            try:
                self._restore(restore.jumps(replacing=True))
                return
            except Failed:
                pass  # there are as many, but not these
        self._delete_jumps(counts)
        self._restore(restore.jumps(replacing=False))

    def _delete_jumps(self, counts: Counter[tuple[str, str]]) -> None:
        """Each as often as it is there."""
        left = [jump for jump in JUMPS if counts[jump.table, jump.builtin]]
        while left:
            try:
                self._restore(restore.without(left))
            except Failed:
                left = [jump for jump in left if self._delete(jump)]

    def _delete(self, jump: Jump) -> bool:
        """Whether there was one."""
        try:
            self._restore(restore.without([jump]))
        except Failed:
            return False
        return True

    def _restore_all(self, texts: Iterable[str]) -> None:
        """One after the other; the next is written while one is carried to the kernel."""
        with ThreadPoolExecutor(1) as runner:
            for done in [runner.submit(self._restore, text) for text in texts]:
                done.result()

    def _restore(self, text: str) -> None:
        if text:
            run([f"{self._program}-restore", "--wait", "--noflush"], text)


def _in_pieces(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    for start in range(0, len(changes), restore.PIECE):
        yield changes[start : start + restore.PIECE]


def _allow_localhost() -> None:
    try:
        with open(_ROUTE_LOCALNET, "w") as file:
            file.write("1\n")
    except OSError as error:
        log.warning("node ports will not answer on localhost: %s: %s", _ROUTE_LOCALNET, error)
