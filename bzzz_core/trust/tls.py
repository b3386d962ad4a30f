"""Mutual TLS as the agent speaks it: TLS 1.3, our own certificate, one root, nothing else."""

from __future__ import annotations

import ssl

from bzzz_core.errors import TrustError
from bzzz_core.trust.secrets_directory import SecretsDirectory


def client_context(secrets: SecretsDirectory) -> ssl.SSLContext:
    """Return a context that shows this node's certificate and trusts only the node authority.

    Raises:
        TrustError: A file is missing or damaged, or key and certificate do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cafile=secrets.node_ca)
        context.load_cert_chain(secrets.node_certificate, secrets.node_key)
    except (OSError, ssl.SSLError) as exc:
        raise TrustError(f"the node's certificate in {secrets.path} cannot be used: {exc}") from exc
    return context
