"""Mutual TLS as the agent speaks it: TLS 1.3, our own certificate, one root, nothing else."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from bzzz_core.errors import TrustError
from bzzz_core.trust.secrets_directory import SecretsDirectory

EVERY_NODE: Final = "localhost"
"""A name that stands in every node's certificate, and in no other certificate of its authority."""


def client_context(secrets: SecretsDirectory) -> ssl.SSLContext:
    """Return a context that shows this node's certificate and trusts only the node authority.

    Raises:
        TrustError: A file is missing or damaged, or key and certificate do not belong together.
    """
    return _context(secrets, secrets.node_certificate, secrets.node_key)


def system_context(secrets: SecretsDirectory) -> ssl.SSLContext:
    """Return a context that shows this voter's system certificate instead; else the same.

    Raises:
        TrustError: A file is missing or damaged, or key and certificate do not belong together.
    """
    return _context(secrets, secrets.system_certificate, secrets.system_key)


def server_context(secrets: SecretsDirectory) -> ssl.SSLContext:
    """Return a context that shows this node's chain to callers who have no certificate yet.

    Raises:
        TrustError: A file is missing or damaged, or key and certificate do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    reload_chain(context, secrets)
    return context


def reload_chain(context: ssl.SSLContext, secrets: SecretsDirectory) -> None:
    """Let a server's context show the certificate that is there now; open connections stay.

    Raises:
        TrustError: As `server_context`; the former one stays in use.
    """
    try:
        context.load_cert_chain(secrets.node_certificate, secrets.node_key)
    except (OSError, ssl.SSLError) as exc:
        raise TrustError(f"{secrets.node_certificate} cannot be used: {exc}") from exc


def pinned_context(root_pem: str) -> ssl.SSLContext:
    """Return a client's context that trusts one root, for a node without a certificate.

    Use it with the name `EVERY_NODE`: an address reached by NAT or found by discovery stands in no
    certificate, and any member of the cluster may take the request.

    Raises:
        TrustError: It is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cadata=root_pem)
    except (ValueError, ssl.SSLError) as exc:
        raise TrustError("the cluster's root cannot be used") from exc
    return context


def _context(secrets: SecretsDirectory, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cafile=secrets.node_ca)
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as exc:
        raise TrustError(f"the certificate {certificate} cannot be used: {exc}") from exc
    return context
