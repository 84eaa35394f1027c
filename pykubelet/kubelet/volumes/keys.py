"""Keys of a ConfigMap or Secret as files: what `config_map` and `secret` have in common. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pykubelet.kubelet.volumes.model import File, Json

DEFAULT_MODE = 0o644


class MissingKey(ValueError):
    """An item names a key that is not there, and has to be."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def files(
    content: Mapping[str, bytes],
    items: Iterable[Json] | None,
    *,
    default_mode: int,
    optional: bool,
) -> dict[str, File]:
    """Every key as a file, or only `items` under their paths. Raises MissingKey."""
    items = list(items or ())
    if not items:
        return {key: File(data, default_mode) for key, data in content.items()}
    found: dict[str, File] = {}
    for item in items:
        if item["key"] in content:
            mode = item.get("mode")
            found[item["path"]] = File(
                content[item["key"]], default_mode if mode is None else mode, item.get("user")
            )
        elif not optional:
            raise MissingKey(item["key"])
    return found


def default_mode(source: Json) -> int:
    mode = source.get("defaultMode")
    return DEFAULT_MODE if mode is None else int(mode)
