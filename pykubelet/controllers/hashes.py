"""Short names for what a template says: the hash in `web-6b7f4c9d8` and its like.

The value is our own (upstream hashes the printed form of a Go structure, which nobody else can
reproduce, and finds its objects again by comparing templates); length and alphabet are upstream's.
Source: FNV-1a with 32 bits (draft-eastlake-fnv), and upstream's alphabet without vowels and without
0, 1 and 3, so that no name becomes a word.
"""

from __future__ import annotations

from typing import Any

import orjson

POD_TEMPLATE_HASH = "pod-template-hash"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_OFFSET, _PRIME = 2166136261, 16777619


def fnv1a(data: bytes) -> int:
    value = _OFFSET
    for byte in data:
        value = (value ^ byte) * _PRIME & 0xFFFFFFFF
    return value


def short(tree: Any, collisions: int | None = None) -> str:
    """A name part for a JSON tree. With `collisions`, another one than without."""
    data = orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)
    if collisions:
        data += collisions.to_bytes(8, "little")
    return safe(str(fnv1a(data)))


def safe(text: str) -> str:
    """The same length, in characters of the alphabet."""
    return "".join(_ALPHABET[ord(c) % len(_ALPHABET)] for c in text)
