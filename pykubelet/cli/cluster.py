"""What the daemons' commands share: an Api from a kubeconfig."""

from __future__ import annotations

from pathlib import Path

from pykubelet.client.api import Api


def api_of(path: Path, user_agent: str) -> Api:
    """The API server that a kubeconfig names, as the user that it names. Raises Invalid."""
    from pykubelet.client.transport import Access, HttpTransport
    from pykubelet.pki import kubeconfig

    found = kubeconfig.read(path)
    access = Access(
        server=found.server,
        authority=found.authority,
        certificate=found.certificate,
        key=found.key,
        token=found.token,
        token_file=found.token_file,
        insecure=found.insecure,
    )
    return Api(HttpTransport(access, user_agent))
