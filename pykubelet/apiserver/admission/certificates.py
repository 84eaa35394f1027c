"""CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may let a signing
request through, who may put the certificate in, and which subjects nobody may ask for.

Source: "Certificates and Certificate Signing Requests", authorization.
"""

from __future__ import annotations

import base64
from typing import Any

from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin
from pykubelet.apiserver.authorization.rbac import Attributes

Json = dict[str, Any]

_GROUP = "certificates.k8s.io"
_RESOURCE = f"certificatesigningrequests.{_GROUP}"
_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
_ORGANIZATION = "2.5.4.10"


def _signer(csr: Json | None) -> str:
    return ((csr or {}).get("spec") or {}).get("signerName") or ""


def _may(asked: Asked, verb: str, signer: str) -> bool:
    """By its name, or for all signers of its domain."""
    domain = signer.partition("/")[0]
    return any(
        asked.call.parts.allows(asked.user, Attributes(verb, _GROUP, "signers", name=name))
        for name in (signer, f"{domain}/*")
    )


async def _approval(asked: Asked) -> None:
    if (asked.resource, asked.subresource, asked.operation) != (_RESOURCE, "approval", UPDATE):
        return
    signer = _signer(asked.old)
    if not _may(asked, "approve", signer):
        raise asked.forbidden(f'user not permitted to approve requests with signerName "{signer}"')


async def _signing(asked: Asked) -> None:
    if (asked.resource, asked.subresource, asked.operation) != (_RESOURCE, "status", UPDATE):
        return

    def result(csr: Json | None) -> Any:
        status = (csr or {}).get("status") or {}
        failed = [c for c in status.get("conditions") or () if c.get("type") == "Failed"]
        return status.get("certificate"), failed

    if result(asked.new) == result(asked.old):
        return
    signer = _signer(asked.old)
    if not _may(asked, "sign", signer):
        raise asked.forbidden(f'user not permitted to sign requests with signerName "{signer}"')


async def _subject(asked: Asked) -> None:
    if not asked.is_of(_RESOURCE, CREATE) or _signer(asked.new) != _CLIENT_SIGNER:
        return
    from cryptography import x509

    try:
        request = x509.load_pem_x509_csr(base64.b64decode(asked.new["spec"].get("request") or ""))
    except ValueError as error:
        raise asked.forbidden(f"failed to parse CSR: {error}") from None
    groups = [one.value for one in request.subject if one.oid.dotted_string == _ORGANIZATION]
    if "system:masters" in groups:
        raise asked.forbidden(
            f"use of {_CLIENT_SIGNER} signer with system:masters group is not allowed"
        )


APPROVAL = Plugin("CertificateApproval", check=_approval)
SIGNING = Plugin("CertificateSigning", check=_signing)
SUBJECT = Plugin("CertificateSubjectRestriction", check=_subject)
