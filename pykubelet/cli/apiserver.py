"""`pykubelet apiserver`: the API server, by itself."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from pykubelet.cli.exits import OK

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
SUMMARY = "serve the Kubernetes API"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Without certificates it makes its own, and an administrator's kubeconfig beside them:\n"
        "  pykubelet apiserver --data-dir /var/lib/pykubelet/apiserver\n"
        "  kubectl --kubeconfig /var/lib/pykubelet/apiserver/admin.conf get namespaces"
    )
    add = parser.add_argument
    add("--data-dir", type=Path, default=Path("/var/lib/pykubelet/apiserver"),
        help="where the store is (default: %(default)s)")  # fmt: skip
    add("--bind-address", default="127.0.0.1", metavar="IP",
        help="listen on this address (default: %(default)s)")  # fmt: skip
    add("--secure-port", type=int, default=6443, metavar="PORT",
        help="listen on this port, with TLS (default: %(default)s)")  # fmt: skip
    add("--tls-cert-file", type=Path, metavar="FILE", help="the server's certificate")
    add("--tls-private-key-file", type=Path, metavar="FILE", help="its key")
    add("--client-ca-file", type=Path, metavar="FILE",
        help="whoever has a certificate of this authority is who it says")  # fmt: skip
    add("--kubelet-client-certificate", type=Path, metavar="FILE",
        help="what to show to kubelets, for logs and exec")  # fmt: skip
    add("--kubelet-client-key", type=Path, metavar="FILE", help="its key")
    add("--service-account-signing-key-file", type=Path, metavar="FILE",
        help="the key of service account tokens; made if not given")  # fmt: skip
    add("--service-account-issuer", metavar="URL", default=DEFAULT_ISSUER,
        help="who signs service account tokens (default: %(default)s)")  # fmt: skip
    add("--token-auth-file", type=Path, metavar="FILE",
        help='static tokens, one a line: token,user,uid,"group1,group2"')  # fmt: skip
    add("--service-cluster-ip-range", default="10.96.0.0/12", metavar="CIDR",
        help="where services get their addresses from (default: %(default)s)")  # fmt: skip
    add("--enable-admission-plugins", default="", metavar="NAME,...",
        help="admission plugins to switch on besides those that are on")  # fmt: skip
    add("--disable-admission-plugins", default="", metavar="NAME,...",
        help="admission plugins to switch off")  # fmt: skip
    add("--etcd-servers", default="", metavar="URL,...",
        help="keep everything in this etcd instead of a file")  # fmt: skip
    add("--etcd-cafile", type=Path, metavar="FILE", help="etcd's authority")
    add("--etcd-certfile", type=Path, metavar="FILE", help="our certificate for etcd")
    add("--etcd-keyfile", type=Path, metavar="FILE", help="its key")


def run(args: argparse.Namespace) -> int:
    from pykubelet.apiserver import serving

    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    serving.run(
        serving.Options(
            folder=args.data_dir,
            address=args.bind_address,
            port=args.secure_port,
            certificate=args.tls_cert_file,
            key=args.tls_private_key_file,
            client_authority=args.client_ca_file,
            token_file=args.token_auth_file,
            service_account_key=args.service_account_signing_key_file,
            issuer=args.service_account_issuer,
            kubelet_certificate=args.kubelet_client_certificate,
            kubelet_key=args.kubelet_client_key,
            service_range=args.service_cluster_ip_range,
            enable_admission=_names(args.enable_admission_plugins),
            disable_admission=_names(args.disable_admission_plugins),
            etcd=tuple(url.strip() for url in args.etcd_servers.split(",") if url.strip()),
            etcd_authority=args.etcd_cafile,
            etcd_certificate=args.etcd_certfile,
            etcd_key=args.etcd_keyfile,
            ready=lambda url: print(f"serving {url}", flush=True),
        )
    )
    return OK


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
