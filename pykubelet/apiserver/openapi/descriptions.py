"""What each type and field is for, in the reference's words: read from lightkube-models, where it
is installed. Without it everything works, and `kubectl explain` shows the fields undescribed.

The modules are read as text, one group-version at a time, never imported: they are large, and the
descriptions are wanted once, while a document is made.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

_CLASS = re.compile(r'^class (\w+)\(.*?\):\n    r"""(.*?)"""', re.M | re.S)
_FIELD = re.compile(r"^\s*\* \*\*(\S+?)\*\* ``.*?``(?: - (.*?))?(?=^\s*\* \*\*|\Z)", re.M | re.S)

Described = dict[str, tuple[str, dict[str, str]]]


def of_package(package: str) -> Described:
    """By the short name of each type of `core/v1`: its description, and those of its fields."""
    path = _source(package)
    if path is None:
        return {}
    found: Described = {}
    for name, text in _CLASS.findall(path.read_text()):
        head, _, parameters = text.partition("**parameters**")
        fields = {
            field.rstrip("_"): _line(description)
            for field, description in _FIELD.findall(parameters)
        }
        found[name] = _line(head), fields
    return found


def _source(package: str) -> Path | None:
    try:
        spec = find_spec("lightkube.models")
    except ImportError:
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / f"{package.replace('/', '_')}.py"
        if path.exists():
            return path
    return None


def _line(text: str) -> str:
    return " ".join(text.split())
