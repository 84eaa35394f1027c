"""Server-side apply. The algebra of ownership is `objects.patches.ownership`; this is the verb."""

from __future__ import annotations

from pykubelet.apiserver import status
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.front.messages import Response


async def apply(call: Call) -> Response:
    raise status.unsupported_media_type(("application/merge-patch+json",))
