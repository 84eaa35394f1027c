"""What the daemons' commands share: an Api from a kubeconfig."""

from __future__ import annotations

from pathlib import Path

from pykubelet.client.api import Api


def api_of(path: Path, user_agent: str) -> Api:
    """The API server that a kubeconfig names, as the user that it names. Raises Invalid."""
    from pykubelet.client.transport import HttpTransport
    from pykubelet.pki import kubeconfig

    return Api(HttpTransport(kubeconfig.read(path), user_agent))
