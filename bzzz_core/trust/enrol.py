"""A node's part in getting its identity: make keys, ask for certificates, install them.

The private keys are made here and stay here; what leaves is the public key and two signing
requests. Asking again is harmless: keys that exist are kept, and only a missing one is made, so
that a repeated setup never changes who the node is.

Certificates are checked before they replace anything: a certificate that does not belong to the key
beside it would lock the node out at its next start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from bzzz_core.errors import TrustError
from bzzz_core.model import NodeId
from bzzz_core.trust import private_files
from bzzz_core.trust.ca import node_name, route_name
from bzzz_core.trust.keys import IdentityKey
from bzzz_core.trust.secrets_directory import SecretsDirectory


class CertificateBundle(msgspec.Struct, frozen=True):
    """What the operator sends back to a node; nothing in it is secret."""

    node_certificate: str
    node_ca: str
    route_certificate: str | None = None
    fabric_ca: str | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a node tells the operator about itself; nothing in it is secret."""

    node_id: NodeId
    public_key: bytes
    """Ed25519, 32 bytes raw."""
    node_csr: str
    """PEM signing request for the node authority."""
    route_csr: str
    """PEM signing request for the fabric authority; used for voters only."""


def init_node(directory: Path) -> Enrolment:
    """Make the node's keys where they are missing and return what the operator needs.

    Raises:
        TrustError: The directory cannot be used, or holds a key that is damaged or open to others.
    """
    secrets = SecretsDirectory(directory)
    private_files.private_directory(directory)
    identity = _identity(secrets.identity_key)
    node_key = _tls_key(secrets.node_key)
    route_key = _tls_key(secrets.route_key)
    return Enrolment(
        node_id=identity.node_id,
        public_key=identity.public_key,
        node_csr=_signing_request(node_key, node_name(identity.node_id)),
        route_csr=_signing_request(route_key, route_name(identity.node_id)),
    )


def install_bundle(directory: Path, encoded: bytes) -> None:
    """Install a `CertificateBundle` in JSON.

    Raises:
        TrustError: It cannot be read, or `install_certificates` refused it.
    """
    try:
        bundle = msgspec.json.decode(encoded, type=CertificateBundle)
    except (ValueError, RecursionError) as exc:
        raise TrustError(f"not a bundle of certificates: {exc}") from exc
    install_certificates(
        directory,
        node_certificate=bundle.node_certificate,
        node_ca=bundle.node_ca,
        route_certificate=bundle.route_certificate,
        fabric_ca=bundle.fabric_ca,
    )


def install_certificates(
    directory: Path,
    *,
    node_certificate: str,
    node_ca: str,
    route_certificate: str | None = None,
    fabric_ca: str | None = None,
) -> None:
    """Put issued certificates beside the keys they belong to.

    Each file takes the place of the old one in one step; all are checked before the first is
    written.

    Args:
        directory: The node's secrets directory, in which `init_node` has run.
        node_certificate: PEM, issued by the node authority.
        node_ca: PEM of that authority.
        route_certificate: PEM, issued by the fabric authority; for voters, with `fabric_ca`.
        fabric_ca: PEM of that authority.

    Raises:
        TrustError: A certificate is not of the key beside it or not of the authority; nothing was
            written.
    """
    if (route_certificate is None) != (fabric_ca is None):
        raise TrustError("a route certificate and the fabric authority come together")
    secrets = SecretsDirectory(directory)
    _check(node_certificate, node_ca, secrets.node_key)
    files = {secrets.node_ca: node_ca, secrets.node_certificate: node_certificate}
    if route_certificate is not None and fabric_ca is not None:
        _check(route_certificate, fabric_ca, secrets.route_key)
        files |= {secrets.fabric_ca: fabric_ca, secrets.route_certificate: route_certificate}
    for path, pem in files.items():
        private_files.replace(path, pem.encode("ascii"))


def _identity(path: Path) -> IdentityKey:
    if not path.exists():
        try:
            return IdentityKey.create(path)
        except FileExistsError:
            pass  # another process made it between the two lines; theirs is as good
    return IdentityKey.load(path)


def _tls_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            private_files.create(path, pem)
        except FileExistsError:
            return _load_tls_key(path)
        return key
    return _load_tls_key(path)


def _load_tls_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(private_files.read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise TrustError(f"{path} does not hold an unencrypted PKCS8 private key") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TrustError(f"{path} holds a key of another kind; TLS keys are P-256")
    return key


def _signing_request(key: ec.EllipticCurvePrivateKey, name: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode("ascii")


def _check(certificate_pem: str, ca_pem: str, key_path: Path) -> None:
    key = _load_tls_key(key_path)
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode("ascii"))
        authority = x509.load_pem_x509_certificate(ca_pem.encode("ascii"))
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as exc:
        raise TrustError(
            f"the certificate for {key_path.name} is not one of the given authority"
        ) from exc
    if certificate.public_key() != key.public_key():
        raise TrustError(f"the certificate is not for {key_path}; ask for one anew")
