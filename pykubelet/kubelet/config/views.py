"""A Configuration as others want to see it: /configz, a reload's difference, the reference page."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from pykubelet.kubelet.config.configuration import TABLE, Configuration
from pykubelet.kubelet.config.ignored import IGNORED
from pykubelet.kubelet.config.settings import Setting

Json = dict[str, Any]


def configz(config: Configuration) -> Json:
    """What /configz answers: the settings in force, in upstream's spelling.

    Shape: `{"kubeletconfig": {...}}`. Only what the agent acts on is there, since anything else
    would be no fact.
    """
    body: Json = {}
    for known in TABLE:
        value = getattr(config, known.attribute)
        if not known.path or _not_set(known, value):
            continue
        *parents, last = known.path.split(".")
        node = body
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = known.kind.write(value)
    return {"kubeletconfig": body}


def _not_set(known: Setting, value: Any) -> bool:
    # These two have no default: 0 stands for "not set", and is no value of theirs.
    return value == 0 and known.attribute in (
        "memory_throttling_factor",
        "max_parallel_image_pulls",
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """Names of settings (as the file or the flag spells them) that a reload changed."""

    apply: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()


def difference(old: Configuration, new: Configuration) -> Difference:
    """Which changed settings a running agent takes up, and which wait for its restart."""
    changed = [s for s in TABLE if getattr(old, s.attribute) != getattr(new, s.attribute)]
    return Difference(
        apply=tuple(s.path or s.flag for s in changed if s.live),
        restart=tuple(s.path or s.flag for s in changed if not s.live),
    )


def taken_up(old: Configuration, new: Configuration) -> Configuration:
    """`old` with the settings of `new` that need no restart."""
    live = {s.attribute: getattr(new, s.attribute) for s in TABLE if s.live}
    return dataclasses.replace(old, **live)


def reference() -> str:
    """The reference page's tables, in Markdown."""
    lines = [
        "| field | flag | value | default | what it does |",
        "|---|---|---|---|---|",
    ]
    for s in TABLE:
        about = s.about + (f" ({s.differs})" if s.differs else "")
        about += "" if s.live else "; needs a restart"
        cells = (f"`{s.path}`" if s.path else "", f"`{s.flag}`" if s.flag else "", s.kind.name,
                 _default(s), about)  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "| field that is not acted on | why |", "|---|---|"]
    lines += [f"| `{path}` | {why} |" for path, (_, why) in IGNORED.items()]
    return "\n".join(lines) + "\n"


def _default(known: Setting) -> str:
    if _not_set(known, known.default):
        return ""
    value = known.kind.write(known.default)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
