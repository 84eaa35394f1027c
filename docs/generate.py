"""Writes what the docs derive from the code's own tables: `python docs/generate.py`.

A page is generated whole (configuration.md), or between two marks in a page of prose
(architecture.md). A test sees to it that what is committed is what this would write.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

CONFIGURATION = """\
# Configuration

The node agent reads upstream's `KubeletConfiguration` (kubelet.config.k8s.io/v1beta1) by
`--config`, drop-ins by `--config-dir`, and flags, which win. Unknown fields are refused with their
line; a field that is known and not acted on is named in the log. This page is generated from the
code's own table by `docs/generate.py`.

"""


def configuration() -> str:
    from pykubelet.kubelet.config import views

    return CONFIGURATION + views.reference()


def floors() -> str:
    """The layers that import-linter checks, as a picture."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    lines = ["```mermaid", "flowchart TD"]
    names = [[n.strip().removeprefix("pykubelet.") for n in layer.split("|")] for layer in layers]
    for number, row in enumerate(names):
        lines.append(f'  subgraph floor{number}[" "]')
        lines += [f"    {name}" for name in row]
        lines.append("  end")
    lines += [f"  floor{n} --> floor{n + 1}" for n in range(len(names) - 1)]
    return "\n".join([*lines, "```"])


def probes() -> str:
    from pykubelet.kubelet.probes import state

    parts = []
    for kind in state.Kind:
        parts.append(f"{kind.value.capitalize()} probes:\n\n```mermaid\n{state.diagram(kind)}\n```")
    return "\n\n".join(parts)


#: Whole pages by file name, and parts by file name and mark.
PAGES: dict[str, Callable[[], str]] = {"configuration.md": configuration}
PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("architecture.md", "floors"): floors,
    ("architecture.md", "probes"): probes,
}


def generated() -> dict[Path, str]:
    """Every file that this writes, with what it should hold."""
    found = {DOCS / name: make() for name, make in PAGES.items()}
    for (name, mark), make in PARTS.items():
        path = DOCS / name
        text = found.get(path) or path.read_text()
        pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
        made = make()
        text, count = pattern.subn(lambda m, made=made: m[1] + made + "\n" + m[2], text)
        if count != 1:
            raise SystemExit(f"{path}: expected the marks <!-- {mark} --> once; found {count}")
        found[path] = text
    return found


def main() -> None:
    for path, text in generated().items():
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
