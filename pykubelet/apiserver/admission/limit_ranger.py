"""LimitRanger: a namespace's LimitRanges complete what containers don't say, and bound what pods,
containers and claims may ask for. Source: "Limit Ranges".
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin
from pykubelet.objects import quantity, resources

Json = dict[str, Any]

_ANNOTATION = "kubernetes.io/limit-ranger"
_KINDS = (("containers", "container"), ("initContainers", "init container"))


async def _mutate(asked: Asked) -> None:
    if not asked.is_of("pods", CREATE):
        return
    for limit_range in asked.objects("limitranges", asked.namespace):
        fill_requests(asked.new, _items(limit_range))


async def _check(asked: Asked) -> None:
    if asked.operation not in (CREATE, UPDATE) or asked.new["metadata"].get("deletionTimestamp"):
        return
    pods = asked.resource == "pods" and (
        asked.subresource == "resize" or (asked.operation == CREATE and not asked.subresource)
    )
    if not pods and not asked.is_of("persistentvolumeclaims", CREATE, UPDATE):
        return
    for limit_range in asked.objects("limitranges", asked.namespace):
        judge = of_pod if pods else of_claim
        found = list(judge(asked.new, _items(limit_range)))
        if found:
            raise asked.forbidden(found[0] if len(found) == 1 else f"[{', '.join(found)}]")


def _items(limit_range: Json) -> list[Json]:
    return (limit_range.get("spec") or {}).get("limits") or []


def fill_requests(pod: Json, limits: list[Json]) -> None:
    """Give containers, in place, the requests and limits that they don't say; an annotation tells
    which."""
    defaults: dict[str, Json] = {"requests": {}, "limits": {}}
    for item in limits:
        if item.get("type") == "Container":
            defaults["limits"].update(item.get("default") or {})
            defaults["requests"].update(item.get("defaultRequest") or {})
    told = []
    for kind, word in _KINDS:
        for container in (pod.get("spec") or {}).get(kind) or ():
            own = container.get("resources") or {}
            for key in ("requests", "limits"):
                given = own.get(key) or {}
                missing = {n: v for n, v in defaults[key].items() if n not in given}
                if missing:
                    container["resources"] = own = {**own, key: {**given, **missing}}
                    names = ", ".join(sorted(missing))
                    told.append(f"{names} {key[:-1]} for {word} {container['name']}")
    if told:
        meta = pod["metadata"]
        text = "LimitRanger plugin set: " + "; ".join(told)
        meta["annotations"] = {**(meta.get("annotations") or {}), _ANNOTATION: text}


def of_pod(pod: Json, limits: list[Json]) -> Iterator[str]:
    """What a pod asks for beyond the limits."""
    spec = pod.get("spec") or {}
    for item in limits:
        if item.get("type") == "Container":
            for kind, _ in _KINDS:
                for container in spec.get(kind) or ():
                    own = container.get("resources") or {}
                    yield from _bounds(
                        item, _numbers(own.get("requests")), _numbers(own.get("limits"))
                    )
        elif item.get("type") == "Pod":
            bare = {"spec": {**spec, "overhead": None}}
            yield from _bounds(item, resources.requests(bare), resources.limits(bare))


def of_claim(claim: Json, limits: list[Json]) -> Iterator[str]:
    """What a PersistentVolumeClaim asks for beyond the limits."""
    asked = _numbers(((claim.get("spec") or {}).get("resources") or {}).get("requests"))
    for item in limits:
        if item.get("type") != "PersistentVolumeClaim":
            continue
        for bound in ("min", "max"):
            for name, text in (item.get(bound) or {}).items():
                yield from _bound(item, bound, name, text, asked, {}, limited=False)


def _numbers(written: Json | None) -> dict[str, Fraction]:
    return {name: quantity.parse(value) for name, value in (written or {}).items()}


def _bounds(
    item: Json, requests: dict[str, Fraction], limits: dict[str, Fraction]
) -> Iterator[str]:
    for bound in ("min", "max"):
        for name, text in (item.get(bound) or {}).items():
            yield from _bound(item, bound, name, text, requests, limits, limited=True)
    for name, text in (item.get("maxLimitRequestRatio") or {}).items():
        yield from _ratio(item, name, text, requests.get(name), limits.get(name))


def _bound(
    item: Json, bound: str, name: str, text: str,
    requests: dict[str, Fraction], limits: dict[str, Fraction], limited: bool,
) -> Iterator[str]:  # fmt: skip
    """A lower bound holds for the request, an upper one for the limit, where there can be one; the
    other of the two must keep it as well if it is there."""
    start = f"{bound}imum {name} usage per {item['type']} is {text}"
    edge = quantity.parse(text)
    pairs = [("request", requests.get(name)), ("limit", limits.get(name))]
    if bound == "max" and limited:
        pairs.reverse()
    if pairs[0][1] is None:
        yield f"{start}.  No {pairs[0][0]} is specified"
        return
    for word, value in pairs:
        if value is not None and (value < edge if bound == "min" else value > edge):
            yield f"{start}, but {word} is {_spelled(name, value)}"
            return


def _ratio(
    item: Json, name: str, text: str, request: Fraction | None, limit: Fraction | None
) -> Iterator[str]:
    start = f"{name} max limit to request ratio per {item['type']} is {text}, but"
    for word, value in (("request", request), ("limit", limit)):
        if not value:
            yield f"{start} no {word} is specified or {word} is 0"
            return
    assert request is not None
    assert limit is not None
    if limit / request > quantity.parse(text):
        yield f"{start} provided ratio is {float(limit / request):f}"


def _spelled(name: str, value: Fraction) -> str:
    return quantity.spell(value, "decimal" if name == "cpu" else "binary")


PLUGIN = Plugin("LimitRanger", _mutate, _check)
