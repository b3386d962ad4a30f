"""A node's part in getting its identity: make keys, ask for certificates, install them.

The private keys are made here and stay here; what leaves are public keys and signing requests.
Asking again is harmless: keys that exist are kept, and only a missing one is made, so that a
repeated setup never changes who the node is.

Certificates are checked before they replace anything: a certificate that does not belong to the key
beside it would lock the node out at its next start.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
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
from bzzz_core.trust.chain import check_chain
from bzzz_core.trust.issuing import Issuer
from bzzz_core.trust.keys import IdentityKey
from bzzz_core.trust.names import Purpose, node_name, route_name, system_name
from bzzz_core.trust.sealing import sealing_key_of
from bzzz_core.trust.secrets_directory import SecretsDirectory


class CertificateBundle(msgspec.Struct, frozen=True):
    """What a node gets back; nothing in it is secret, for issuers are sealed to the node."""

    node_certificate: str
    """Chain: leaf and issuer."""
    node_ca: str
    """The roots trusted for it, one or more while they are being replaced."""
    route_certificate: str | None = None
    """Voters only, as everything below."""
    fabric_ca: str | None = None
    system_certificate: str | None = None
    node_issuer: str | None = None
    fabric_issuer: str | None = None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a node tells about itself to get certificates; nothing in it is secret."""

    node_id: NodeId
    public_key: bytes
    """Ed25519, 32 bytes raw."""
    sealing_key: bytes
    """X25519, 32 bytes raw; derived from the identity."""
    node_csr: str
    """PEM signing request for the node authority."""
    route_csr: str
    """PEM signing request for the fabric authority; used for voters only."""
    system_csr: str
    """PEM signing request for the operations identity; used for voters only."""


def init_node(directory: Path) -> Enrolment:
    """Make the node's keys where they are missing and return what an issuer needs.

    Raises:
        TrustError: The directory cannot be used, or holds a key that is damaged or open to others.
    """
    secrets = SecretsDirectory(directory)
    private_files.private_directory(directory)
    identity = _identity(secrets.identity_key)
    node = identity.node_id
    return Enrolment(
        node_id=node,
        public_key=identity.public_key,
        sealing_key=sealing_key_of(identity),
        node_csr=_signing_request(_tls_key(secrets.node_key), node_name(node)),
        route_csr=_signing_request(_tls_key(secrets.route_key), route_name(node)),
        system_csr=_signing_request(_tls_key(secrets.system_key), system_name(node)),
    )


def decode_bundle(document: bytes) -> CertificateBundle:
    """Return the bundle that a JSON document holds.

    Raises:
        TrustError: It is none.
    """
    try:
        return msgspec.json.decode(document, type=CertificateBundle)
    except (ValueError, RecursionError) as exc:
        raise TrustError(f"not a bundle of certificates: {exc}") from exc


def install(directory: Path, bundle: CertificateBundle) -> frozenset[Path]:
    """Put issued certificates beside the keys they belong to; return the files that changed.

    Each file takes the place of the old one in one step; all are checked before the first is
    written, and roots come first: a chain must never stand there without what verifies it. The
    route certificate comes last: with it a voter's broker starts, and who votes has its issuers.

    Args:
        directory: The node's secrets directory, in which `init_node` has run.
        bundle: What was issued. Parts that are None leave their files alone.

    Raises:
        TrustError: A certificate is not of the key beside it or not of the authority, or an issuer
            is not for this node; nothing was written.
    """
    secrets = SecretsDirectory(directory)
    if bundle.route_certificate is not None and bundle.fabric_ca is None:
        raise TrustError("a route certificate and the fabric authority come together")
    parts = [
        (secrets.node_ca, bundle.node_ca),
        (secrets.fabric_ca, bundle.fabric_ca),
        (secrets.node_certificate, bundle.node_certificate),
        (secrets.system_certificate, bundle.system_certificate),
        (secrets.node_issuer, bundle.node_issuer),
        (secrets.fabric_issuer, bundle.fabric_issuer),
        (secrets.route_certificate, bundle.route_certificate),
    ]
    _check(bundle.node_certificate, bundle.node_ca, secrets.node_key)
    if bundle.route_certificate is not None and bundle.fabric_ca is not None:
        _check(bundle.route_certificate, bundle.fabric_ca, secrets.route_key)
    if bundle.system_certificate is not None:
        _check(bundle.system_certificate, bundle.node_ca, secrets.system_key)
    for sealed, roots, purpose in (
        (bundle.node_issuer, bundle.node_ca, Purpose.NODE),
        (bundle.fabric_issuer, bundle.fabric_ca, Purpose.FABRIC),
    ):
        if sealed is not None:
            _check_issuer(sealed, roots, purpose, secrets)
    changed = set()
    for path, content in parts:
        if content is not None and _differs(path, content):
            private_files.replace(path, content.encode("ascii"))
            changed.add(path)
    return frozenset(changed)


def tls_public_key(key_path: Path) -> ec.EllipticCurvePublicKey:
    """Return the public half of a TLS key file.

    Raises:
        TrustError: The file is missing, damaged, or open to others.
    """
    return _load_tls_key(key_path).public_key()


def open_issuer(secrets: SecretsDirectory, identity: IdentityKey, purpose: Purpose) -> Issuer:
    """Return the issuer of a purpose that this node holds.

    Raises:
        TrustError: It holds none, or it does not open with this identity.
    """
    path = secrets.node_issuer if purpose is Purpose.NODE else secrets.fabric_issuer
    if not path.exists():
        raise TrustError(
            f"this node holds no {purpose.value} issuer ({path}), so nothing can be signed while it"
            " leads; let another voter lead (`bzzz-agent leader transfer`), then it gets one"
        )
    issuer = Issuer.open(private_files.read(path).decode("ascii", "replace"), identity)
    if issuer.purpose is not purpose:
        raise TrustError(f"{path} holds the issuer of another purpose")
    return issuer


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


def _check(chain_pem: str, roots_pem: str, key_path: Path) -> None:
    key = _load_tls_key(key_path)
    try:
        check_chain(chain_pem, roots_pem, key.public_key())
    except TrustError as exc:
        raise TrustError(f"{key_path}: {exc}") from exc


def _check_issuer(
    sealed: str, roots_pem: str | None, purpose: Purpose, secrets: SecretsDirectory
) -> None:
    issuer = Issuer.open(sealed, IdentityKey.load(secrets.identity_key))
    if roots_pem is None or issuer.purpose is not purpose:
        raise TrustError(f"an issuer of the {purpose} authority comes with that authority")
    check_chain(issuer.certificate_pem, roots_pem, issuer.public_key)


def _differs(path: Path, content: str) -> bool:
    return not path.exists() or private_files.read(path) != content.encode("ascii")
