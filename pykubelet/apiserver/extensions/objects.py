"""Objects of custom resources on their way in: metadata as everywhere, the rest by the schema."""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver.resources.registry import Custom
from pykubelet.objects.fields import FieldError
from pykubelet.objects.schema.decoding import Findings, decode
from pykubelet.objects.structural.pruning import prune

Json = dict[str, Any]


def decode_custom(tree: Json, custom: Custom) -> tuple[Json, Findings]:
    """A new tree without what the schema doesn't know, and what was found. A wrong type is left
    for validation to tell."""
    given = tree.get("metadata")
    metadata, findings = decode("meta/v1.ObjectMeta", {} if given is None else given)
    for found in (findings.wrong, findings.unknown):
        found[:] = [
            FieldError(("metadata", *e.path), e.expected, e.found, e.kind, e.message) for e in found
        ]
    pruned, gone = prune({k: v for k, v in tree.items() if v is not None}, custom.schema)
    findings.unknown += [FieldError(path, "a known field", str(path[-1]), "unknown")
                         for path in gone]  # fmt: skip
    return {**pruned, "metadata": metadata}, findings
