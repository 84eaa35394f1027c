"""get and list, from the cache; older states and further pages from the store.

Lists are spliced from the items' bytes. With a limit, the first page fixes the revision, and the
token to continue with carries it. Source: API concepts, "Resource versions" and "Retrieving large
results sets in chunks".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from pykubelet.apiserver import presenting, selection, status
from pykubelet.apiserver.cache.items import Item
from pykubelet.apiserver.calls import Call, integer
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.storage.contract import Compacted
from pykubelet.errors import TimedOut

_PAGE = 500
_INCONSISTENT = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Found:
    """A list's items, and what its metadata says."""

    items: Sequence[Item]
    revision: int
    proceed: str = ""
    remaining: int | None = None


async def get(call: Call) -> Response:
    return presenting.one(call, await item(call))


async def item(call: Call) -> Item:
    """The object that a request names. Refuses with NotFound."""
    wanted = integer(call.option("resourceVersion"), "resourceVersion")
    await _reach(call, wanted, fresh=not call.option("resourceVersion"))
    found = call.parts.caches.of(call.resource).get(call.key)
    if found is None:
        raise status.not_found(call.resource, call.route.name)
    return found


async def listing(call: Call) -> Response:
    return presenting.many(call, await found(call))


async def found(call: Call) -> Found:
    """What a list request asks for."""
    limit = integer(call.option("limit"), "limit")
    written, match = call.option("resourceVersion"), call.option("resourceVersionMatch")
    token = call.option("continue")
    _check_match(written, match, token)
    if token:
        return await _continued(call, token, limit)
    wanted = integer(written, "resourceVersion")
    if match == "Exact" or (limit and wanted and not match):
        return await _stored(call, limit, "", wanted)
    await _reach(call, wanted, fresh=not written)
    caches = call.parts.caches
    collection = caches.of(call.resource)
    revision = caches.revision
    namespace = call.route.namespace if call.resource.namespaced else ""
    selected = selection.of(call)
    name = selection.single_name(call)
    if name and (namespace or not call.resource.namespaced):
        one = collection.get(f"{namespace}/{name}" if namespace else name)
        return Found([one] if one is not None and selected(one) else [], revision)
    items = [one for one in collection.items(namespace) if selected(one)]
    if not limit or len(items) <= limit:
        return Found(items, revision)
    page = items[:limit]
    plain = not (call.option("labelSelector") or call.option("fieldSelector"))
    return Found(
        page, revision, _token(revision, page[-1].key), len(items) - limit if plain else None
    )


async def _stored(call: Call, limit: int, after: str, at: int) -> Found:
    """A list as of a revision, from the store, a page at a time until enough are selected."""
    resource, selected = call.resource, selection.of(call)
    prefix = resource.prefix(call.route.namespace if resource.namespaced else "")
    root = resource.prefix()
    at = at or await call.parts.store.revision()
    last = f"{root}{after}" if after else ""
    chosen: list[Item] = []
    try:
        while True:
            page = await call.parts.store.page(prefix, limit or _PAGE, last, at)
            for index, record in enumerate(page.records):
                one = call.parts.caches.item(resource, record)
                if selected(one):
                    chosen.append(one)
                if limit and len(chosen) == limit:
                    left = len(page.records) - index - 1 + page.remaining
                    if not left:
                        return Found(chosen, at)
                    plain = not (call.option("labelSelector") or call.option("fieldSelector"))
                    return Found(chosen, at, _token(at, one.key), left if plain else None)
            last = page.after
            if not last:
                return Found(chosen, at)
    except Compacted:
        raise status.expired(
            f"The resourceVersion for the provided list is too old: {at}"
        ) from None


async def _continued(call: Call, token: str, limit: int) -> Found:
    revision, start = _read_token(token)
    try:
        return await _stored(call, limit, start, max(revision, 0))
    except status.Refusal as refusal:
        if refusal.reason != "Expired":
            raise
        raise Inconsistent(_token(-1, start)) from None


class Inconsistent(status.Refusal):
    """410, with a token that goes on with what there is now."""

    def __init__(self, token: str) -> None:
        super().__init__(410, "Expired", _INCONSISTENT)
        self._token = token

    def status(self) -> status.Json:
        made = super().status()
        return {**made, "metadata": {"continue": self._token}}


async def _reach(call: Call, wanted: int, fresh: bool) -> None:
    """Wait for what the request must see: at least `wanted`, or with `fresh` all there is."""
    caches = call.parts.caches
    try:
        if fresh:
            await caches.catch_up()
        elif wanted:
            await caches.reach(wanted)
    except TimedOut:
        raise status.too_large_version(wanted, caches.revision) from None


def _check_match(version: str, match: str, token: str) -> None:
    path = "resourceVersionMatch"
    if not match:
        return
    if token:
        problem = f"{path}: Forbidden: {path} is forbidden when continue is provided"
    elif not version:
        problem = f"{path}: Forbidden: {path} is forbidden unless resourceVersion is provided"
    elif match not in ("Exact", "NotOlderThan"):
        problem = f'{path}: Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"'
    elif match == "Exact" and version == "0":
        problem = f'{path}: Forbidden: {path} "exact" is forbidden for resourceVersion "0"'
    else:
        return
    raise status.Refusal(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {problem}')


def _token(revision: int, start: str) -> str:
    content = {"v": "meta.k8s.io/v1", "rv": revision, "start": f"{start}\0"}
    return base64.urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, str]:
    try:
        content = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if content["v"] != "meta.k8s.io/v1":
            raise ValueError
        return int(content["rv"]), str(content["start"]).removesuffix("\0")
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise status.bad_request(
            "continue key is not valid: it must be the token of an earlier list"
        ) from None
