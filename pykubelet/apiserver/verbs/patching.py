"""patch: the four kinds, each turned into a change of the object that is there.

A patch without a resourceVersion is applied to whatever is there, again if need be. Source: API
concepts, "PATCH", and for apply "Server-Side Apply".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from pykubelet.apiserver import bodies, presenting, status
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.verbs import applying
from pykubelet.apiserver.verbs.writing import change_object
from pykubelet.errors import Invalid
from pykubelet.objects.patches import json_patch, merge, strategic

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_READABLE = (JSON_PATCH, MERGE, APPLY, STRATEGIC)


async def patch(call: Call) -> Response:
    kind = bodies.media_type(call)
    if kind == APPLY:
        return await applying.apply(call)
    if kind not in _READABLE or (kind == STRATEGIC and not call.resource.type_name):
        raise status.unsupported_media_type(_READABLE if call.resource.type_name else _READABLE[:3])
    if call.option("force"):
        raise status.Refusal(
            422,
            "Invalid",
            'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for '
            "non-apply patch",
        )
    try:
        given = orjson.loads(call.request.body)
    except orjson.JSONDecodeError as error:
        raise status.bad_request(f"error decoding patch: {error}") from None
    item = await change_object(call, changing(call, kind, given))
    return presenting.one(call, item)


def changing(call: Call, kind: str, given: Any) -> Callable[[Json], Json]:
    """The change that a patch makes."""
    resource = call.resource

    def change(old: Json) -> Json:
        try:
            match kind:
                case "application/json-patch+json":
                    made = json_patch.apply(old, given)
                case "application/merge-patch+json":
                    made = merge.apply(old, given)
                case _:
                    made = strategic.apply(old, given, resource.type_name)
        except Invalid as error:
            code = 422 if kind == JSON_PATCH else 400
            reason = "Invalid" if code == 422 else "BadRequest"
            text = "the server rejected our request due to an error in our request: "
            raise status.Refusal(code, reason, f"{text}{error}") from None
        if not isinstance(made, dict) or not isinstance(made.get("metadata"), dict):
            raise status.bad_request("the patch leaves no object behind")
        bodies.check_kind(call, made, resource.group_version, resource.kind)
        typed = bodies.typed(call, made, resource.type_name, resource.kind)
        head = {"kind": resource.kind, "apiVersion": resource.group_version}
        for key in ("name", "namespace"):
            if (typed["metadata"].get(key) or "") != (old["metadata"].get(key) or ""):
                raise status.bad_request(
                    f"the {key} of the object ({typed['metadata'].get(key) or ''}) does not match "
                    f"the {key} on the URL ({old['metadata'].get(key) or ''})"
                )
        if isinstance(given, dict):
            # Only a patch that says so itself insists on a version.
            said = (given.get("metadata") or {}).get("resourceVersion")
            if not said:
                typed["metadata"].pop("resourceVersion", None)
        else:
            typed["metadata"].pop("resourceVersion", None)
        return {**typed, **head}

    return change
