"""Pod templates compared. Pure."""

from __future__ import annotations

from typing import Any

from pykubelet.controllers.hashes import POD_TEMPLATE_HASH

Json = dict[str, Any]


def essence(template: Json) -> Json:
    """What a template says: without empty metadata and without the label with its hash."""
    metadata = {k: v for k, v in (template.get("metadata") or {}).items() if v}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != POD_TEMPLATE_HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def same_template(left: Json, right: Json) -> bool:
    """Whether two pod templates are equal but for the label with their hash."""
    return essence(left) == essence(right)
