"""Runs the API server as a process: opens the store, listens, compacts now and then, ends on a
signal."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pykubelet.apiserver import credentials
from pykubelet.apiserver.admission.plugins import admission
from pykubelet.apiserver.authentication.chain import Authentication, static_tokens
from pykubelet.apiserver.authentication.service_accounts import (
    DEFAULT_ISSUER,
    ServiceAccountTokens,
)
from pykubelet.apiserver.credentials import Credentials
from pykubelet.apiserver.front.server import Server, tls
from pykubelet.apiserver.relay.tls import Relay
from pykubelet.apiserver.server import ApiServer
from pykubelet.apiserver.storage.contract import Store
from pykubelet.errors import Failed, Invalid

log = logging.getLogger(__name__)

_COMPACT_EVERY = 300.0
_HISTORY_KEPT = 5_000


@dataclass(frozen=True, slots=True)
class Options:
    """What `pykubelet apiserver` is told. Without certificates it makes its own below `folder`."""

    folder: Path
    address: str = "127.0.0.1"
    port: int = 6443
    certificate: Path | None = None
    key: Path | None = None
    client_authority: Path | None = None
    token_file: Path | None = None
    service_account_key: Path | None = None
    issuer: str = DEFAULT_ISSUER
    kubelet_certificate: Path | None = None
    kubelet_key: Path | None = None
    service_range: str = "10.96.0.0/12"
    enable_admission: tuple[str, ...] = ()
    disable_admission: tuple[str, ...] = ()
    etcd: tuple[str, ...] = ()
    """URLs of an etcd to keep everything in, instead of a file below `folder`."""
    etcd_authority: Path | None = None
    etcd_certificate: Path | None = None
    etcd_key: Path | None = None
    ready: Callable[[str], None] = field(default=lambda _: None)
    """Called once, with the URL, when everything is served."""


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        import uvloop
    except ImportError:  # works without, only slower
        asyncio.run(_main(options))
    else:
        uvloop.run(_main(options))


async def _main(options: Options) -> None:
    store = _store(options)
    try:
        await serve(options, store)
    finally:
        await store.close()


def _store(options: Options) -> Store:
    if options.etcd:
        from pykubelet.apiserver.storage.etcd import EtcdStore, Tls

        tls_files = Tls(options.etcd_authority, options.etcd_certificate, options.etcd_key)
        return EtcdStore(options.etcd, tls_files)
    from pykubelet.apiserver.storage.sqlite import SqliteStore

    return SqliteStore.open(options.folder / "store.db")


async def serve(options: Options, store: Store) -> None:
    """Serve a store until a signal comes."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    tokens = [static_tokens(options.token_file)] if options.token_file else []
    signer = ServiceAccountTokens(
        options.service_account_key or options.folder / "sa.key",
        lambda *where: api.look_up(*where),
        issuer=options.issuer,
    )
    authentication = Authentication(tokens, signer)
    api = ApiServer(
        store,
        authentication,
        service_range=options.service_range,
        admission=admission(options.enable_admission, options.disable_admission),
    )
    api.parts.tokens = signer
    made = await loop.run_in_executor(None, _credentials, options)
    context = tls(made.certificate, made.key, made.client_authority)
    if made.kubelet_certificate is not None and made.kubelet_key is not None:
        api.parts.relay = Relay.with_certificate(made.kubelet_certificate, made.kubelet_key)
    front = Server(api.handle)
    await api.start()
    compacting = asyncio.create_task(_compact(store))
    try:
        port = await front.start(options.address, options.port, context)
        options.ready(f"https://{options.address}:{port}")
        await ended.wait()
    finally:
        compacting.cancel()
        await api.stop()
        await front.close()


def _credentials(options: Options) -> Credentials:
    if options.certificate is not None and options.key is not None:
        return Credentials(
            options.certificate,
            options.key,
            options.client_authority,
            options.kubelet_certificate,
            options.kubelet_key,
        )
    if options.certificate is not None or options.key is not None:
        raise Invalid("--tls-cert-file and --tls-private-key-file belong together")
    made = credentials.ensure(options.folder, options.address, options.port, options.service_range)
    return replace(
        made,
        client_authority=options.client_authority or made.client_authority,
        kubelet_certificate=options.kubelet_certificate or made.kubelet_certificate,
        kubelet_key=options.kubelet_key or made.kubelet_key,
    )


async def _compact(store: Store) -> None:
    """Keep the history bounded: what is older than the last few thousand writes, and older than
    the last round, is forgotten."""
    before = 0
    while True:
        await asyncio.sleep(_COMPACT_EVERY)
        try:
            now = await store.revision()
            if before > _HISTORY_KEPT:
                await store.compact(min(before, now - _HISTORY_KEPT))
            before = now
        except Failed as error:
            log.warning("compaction failed, and will be tried again: %s", error)
