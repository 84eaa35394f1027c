"""Texts for iptables-restore, and what iptables-save says. Pure.

A text is a transaction per table. Long ones are cut into pieces: iptables' nftables variant takes
time that grows with the square of a piece (10,000 services: 92 s in one, 2 s in twenty).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pykubelet.proxy.iptables import names
from pykubelet.proxy.iptables.rules import JUMPS, Jump, Line, Rules

#: Services in one transaction.
PIECE = 500

Chains = Mapping[str, Sequence[str]]


def table(name: str, lines: Iterable[str]) -> str:
    return "\n".join((f"*{name}", *lines, "COMMIT", ""))


def filled(chains: Chains) -> Iterator[str]:
    """Creates the chains, or empties them, and fills them."""
    for chain in chains:
        yield f":{chain} - [0:0]"
    for chain, rules in chains.items():
        for rule in rules:
            yield f"-A {chain} {rule}"


def pieces(those: Iterable[Rules], size: int, *, with_lines: bool = False) -> Iterator[str]:
    """The services' chains, so many services to a transaction, and their lines in the shared chains
    if asked for. All chains of a service stand in the same transaction: iptables then finds what a
    rule jumps to without asking the kernel for every chain that there is."""
    left = iter(those)
    while some := list(itertools.islice(left, size)):
        one = merged(some)
        lines = one.lines if with_lines else []
        nat = [f"-A {chain} {rule}" for in_table, chain, rule in lines if in_table == "nat"]
        text = table("nat", (*filled(one.chains), *nat))
        yield text + appended(line for line in lines if line[0] == "filter")


def appended(lines: Iterable[Line]) -> str:
    """At the end of shared chains."""
    found = list(lines)
    text = ""
    for name in names.FIXED:
        mine = [f"-A {chain} {rule}" for in_table, chain, rule in found if in_table == name]
        text += table(name, mine) if mine else ""
    return text


def fixed(table_name: str, lines: Iterable[Line]) -> str:
    """The shared chains of a table, written anew."""
    chains: dict[str, list[str]] = {name: [] for name in names.FIXED[table_name]}
    for in_table, chain, rule in lines:
        if in_table == table_name:
            chains[chain].append(rule)
    return table(table_name, filled(chains))


def emptied(chains: Sequence[str]) -> Iterator[str]:
    """Takes chains away that nobody jumps to but each other: first all are emptied."""
    size = 3 * PIECE
    for start in range(0, len(chains), size):
        yield table("nat", (f":{chain} - [0:0]" for chain in chains[start : start + size]))
    for start in range(0, len(chains), size):
        yield table("nat", (f"-X {chain}" for chain in chains[start : start + size]))


def jumps(replacing: bool) -> str:
    """Puts our jumps at the head of the built-in chains; with `replacing` moves them there."""
    text = ""
    for name in names.FIXED:
        mine = [jump for jump in JUMPS if jump.table == name]
        lines = [f"-D {jump.builtin} {jump.rule}" for jump in mine] if replacing else []
        lines += [f"-I {jump.builtin} 1 {jump.rule}" for jump in reversed(mine)]
        text += table(name, lines)
    return text


def without(jumps_: Sequence[Jump]) -> str:
    """Takes each away once. Refused as a whole where one of them is not there."""
    text = ""
    for name in names.FIXED:
        lines = [f"-D {jump.builtin} {jump.rule}" for jump in jumps_ if jump.table == name]
        text += table(name, lines) if lines else ""
    return text


def change(old: Rules, new: Rules) -> str:
    """One transaction per table from one to the other; "" where they are the same. Chains that are
    no longer needed stay, since to delete one takes the kernel ten times as long as all the rest:
    see `emptied`."""
    written = {c: rules for c, rules in new.chains.items() if old.chains.get(c) != rules}
    nat = [f":{chain} - [0:0]" for chain in written]
    filter_: list[str] = []
    out, in_ = Counter(old.lines), Counter(new.lines)
    for (table_name, chain, rule), number in (out - in_).items():
        (nat if table_name == "nat" else filter_).extend([f"-D {chain} {rule}"] * number)
    for table_name, chain, rule in (in_ - out).elements():
        # In front, because the jump to the node ports has to stay the last.
        (nat if table_name == "nat" else filter_).append(f"-I {chain} 1 {rule}")
    for chain, rules in written.items():
        nat += [f"-A {chain} {rule}" for rule in rules]
    return (table("nat", nat) if nat else "") + (table("filter", filter_) if filter_ else "")


def merged(those: Iterable[Rules]) -> Rules:
    found = Rules()
    for one in those:
        found.chains.update(one.chains)
        found.lines += one.lines
    return found


def saved(text: str) -> tuple[set[tuple[str, str]], Counter[tuple[str, str]]]:
    """From iptables-save: chains that are ours, and how many rules each has; for built-in chains,
    how many jumps into ours. Keys are (table, chain)."""
    chains: set[tuple[str, str]] = set()
    counts: Counter[tuple[str, str]] = Counter()
    table_name = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table_name = line[1:]
        elif line.startswith(":"):
            chain = line[1:].partition(" ")[0]
            if names.is_ours(table_name, chain):
                chains.add((table_name, chain))
        elif line.startswith("-A "):
            chain = line[3:].partition(" ")[0]
            target = line.rpartition(" -j ")[2].partition(" ")[0]
            if (table_name, chain) in chains or names.is_ours(table_name, target):
                counts[table_name, chain] += 1
    return chains, counts


def shell(text: str) -> tuple[list[str], bool]:
    """From iptables-save of one table: built-in chains that let everything pass by having no rules,
    and whether there is anything else in the table."""
    lines = text.splitlines()
    used = {line.split(" ", 2)[1] for line in lines if line.startswith("-A ")}
    chains = [line[1:].split(" ") for line in lines if line.startswith(":")]
    empty = [name for name, policy, *_ in chains if policy == "ACCEPT" and name not in used]
    return empty, len(empty) < len(chains)
