"""JSON merge patch (RFC 7386): mappings are merged, null removes, everything else replaces."""

from __future__ import annotations

from typing import Any


def apply(tree: Any, patch: Any) -> Any:
    """The patched tree, sharing what the patch doesn't touch."""
    if not isinstance(patch, dict):
        return patch
    made = dict(tree) if isinstance(tree, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = apply(made.get(key), value)
    return made
