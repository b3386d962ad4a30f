"""The cluster's two certificate authorities.

The *fabric* authority signs only the route certificates of voters; the *node* authority signs what
agents and client listeners show. They are apart because whoever may open a route to a broker may
overwrite anything in it: with one authority a rogue server holding an edge's certificate joined as
a route and did so (`docs/architecture.md`, trust of the wire). An authority therefore knows its
purpose and refuses the other's work, and the purpose is part of its own certificate.

Rules: from a signing request only the key is taken, after its signature is checked; every name in a
certificate comes from the caller's inventory. Names below `.bzzz` are identities, so nobody can
have one as an address. All extensions that `openssl verify -x509_strict` asks for are present. A
certificate is valid from five minutes ago, so that a slow clock on a host does no harm.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bzzz_core.clock import utc_instant
from bzzz_core.config.secrets import Secret
from bzzz_core.errors import TrustError
from bzzz_core.model import NodeId
from bzzz_core.trust import private_files

NODE_ID: Final = re.compile(r"[a-z2-7]{26}")
PASSPHRASE_CHARACTERS_MIN: Final = 12
_BACKDATED: Final = timedelta(minutes=5)
_DNS_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_ORGANIZATION: Final = "BZZZ"
_ADDRESSES_MAX: Final = 64
_CSR_CHARACTERS_MAX: Final = 16_384


class Purpose(StrEnum):
    """What an authority may sign."""

    NODE = "node"
    FABRIC = "fabric"


def node_name(node: NodeId) -> str:
    """Return the DNS name that stands for a node in its certificate and at the broker."""
    return f"{node}.node.bzzz"


def route_name(node: NodeId) -> str:
    """Return the DNS name that stands for a voter's broker in its route certificate."""
    return f"{node}.route.bzzz"


class Authority:
    """One root: a P-256 key, its self-signed certificate, and what it may be used for."""

    __slots__ = ("_certificate", "_encrypted_key", "_key", "_purpose")

    def __init__(
        self,
        *,
        key: ec.EllipticCurvePrivateKey,
        certificate: x509.Certificate,
        encrypted_key: bytes,
    ) -> None:
        """Put the parts together; use `create` or `load`."""
        self._key = key
        self._certificate = certificate
        self._encrypted_key = encrypted_key
        self._purpose = _purpose_of(certificate)

    @classmethod
    def create(
        cls,
        purpose: Purpose,
        *,
        common_name: str,
        days: int,
        passphrase: Secret,
        now: datetime | None = None,
    ) -> Self:
        """Make a new root; nothing is written until `save`.

        Raises:
            TrustError: The passphrase is too short to protect a key on disk.
        """
        if len(passphrase.reveal()) < PASSPHRASE_CHARACTERS_MIN:
            raise TrustError(
                f"the passphrase of an authority needs {PASSPHRASE_CHARACTERS_MIN} characters"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _root_certificate(key, purpose, common_name, days, now or utc_instant())
        encrypted = key.private_bytes(
            Encoding.PEM,
            PrivateFormat.PKCS8,
            BestAvailableEncryption(_stretch(passphrase, certificate)),
        )
        return cls(key=key, certificate=certificate, encrypted_key=encrypted)

    @classmethod
    def load(cls, directory: Path, purpose: Purpose, passphrase: Secret) -> Self:
        """Read the root that `save` wrote.

        Raises:
            TrustError: A file is missing or open to others, the passphrase is wrong, or the parts
                do not belong together.
        """
        encrypted = private_files.read(directory / f"{purpose}-ca.key")
        try:
            certificate = x509.load_pem_x509_certificate(
                private_files.read(directory / f"{purpose}-ca.pem")
            )
            key = load_pem_private_key(encrypted, password=_stretch(passphrase, certificate))
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise TrustError(
                f"the {purpose} authority in {directory} does not open: wrong passphrase, or a"
                " damaged file"
            ) from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey) or (
            certificate.public_key() != key.public_key()
        ):
            raise TrustError(f"{directory}: key and certificate of the {purpose} authority differ")
        authority = cls(key=key, certificate=certificate, encrypted_key=encrypted)
        if authority.purpose is not purpose:
            raise TrustError(f"{directory}: the {purpose} authority's certificate is another's")
        return authority

    def save(self, directory: Path) -> None:
        """Write `<purpose>-ca.key` (encrypted) and `<purpose>-ca.pem`, both 0600.

        Raises:
            TrustError: There is an authority already. It is never overwritten: every node of
                its cluster would be locked out.
        """
        private_files.private_directory(directory)
        certificate = directory / f"{self._purpose}-ca.pem"
        if certificate.exists():
            raise TrustError(f"{certificate} exists; an authority is never overwritten")
        # A key without a certificate was left by a crash right here, and has signed nothing.
        private_files.replace(directory / f"{self._purpose}-ca.key", self._encrypted_key)
        try:
            private_files.create(certificate, self.certificate_pem.encode("ascii"))
        except FileExistsError as exc:
            raise TrustError(f"{certificate} was made by somebody else just now") from exc

    @property
    def purpose(self) -> Purpose:
        """Return what this authority may sign."""
        return self._purpose

    @property
    def certificate_pem(self) -> str:
        """Return the root certificate, which is public."""
        return self._certificate.public_bytes(Encoding.PEM).decode("ascii")

    @property
    def sha256(self) -> str:
        """Return the fingerprint of the root certificate, 64 hexadecimal digits."""
        return self._certificate.fingerprint(hashes.SHA256()).hex()

    def issue_node(
        self,
        csr_pem: str,
        *,
        node_id: NodeId,
        addresses: Sequence[str],
        days: int,
        now: datetime | None = None,
    ) -> str:
        """Return a PEM certificate for a node's agent and its broker's client listener.

        Args:
            csr_pem: Signing request made by the node; only its key is used.
            node_id: Who it is for.
            addresses: Where others reach it, IP addresses or DNS names; loopback is added.
            days: How long it is valid, at most as long as the root.
            now: Start of validity, for tests; the present when left out.

        Raises:
            TrustError: This is not the node authority, or the request or a name is not acceptable.
        """
        self._require(Purpose.NODE)
        names = (node_name(node_id), "localhost", *addresses, "127.0.0.1", "::1")
        return self._issue(csr_pem, node_id, names, days, now or utc_instant())

    def issue_route(
        self,
        csr_pem: str,
        *,
        node_id: NodeId,
        addresses: Sequence[str],
        days: int,
        now: datetime | None = None,
    ) -> str:
        """Return a PEM certificate with which a voter's broker meets other brokers.

        The arguments are those of `issue_node`; no loopback name is added.

        Raises:
            TrustError: This is not the fabric authority, or the request or a name is not
                acceptable.
        """
        self._require(Purpose.FABRIC)
        names = (route_name(node_id), *addresses)
        return self._issue(csr_pem, node_id, names, days, now or utc_instant())

    def _require(self, purpose: Purpose) -> None:
        if self._purpose is not purpose:
            raise TrustError(f"the {self._purpose} authority does not sign {purpose} certificates")

    def _issue(
        self, csr_pem: str, node_id: NodeId, names: Sequence[str], days: int, now: datetime
    ) -> str:
        if not NODE_ID.fullmatch(node_id):
            raise TrustError("a node id is 26 characters of lower-case base32")
        if days < 1:
            raise TrustError("a certificate is valid for at least one day")
        until = min(now + timedelta(days=days), self._certificate.not_valid_after_utc)
        if until <= now:
            raise TrustError(f"the {self._purpose} authority itself has expired")
        public_key = _requested_key(csr_pem)
        issuer_key_id = self._certificate.extensions.get_extension_for_class(
            x509.SubjectKeyIdentifier
        ).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(self._purpose, names[0]))
            .issuer_name(self._certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                # Both, because a broker is server to its peers and client of them.
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName(_alternative_names(names[0], names[1:])),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id),
                critical=False,
            )
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(Encoding.PEM).decode("ascii")

    def __repr__(self) -> str:
        """Return what is public about it."""
        return f"Authority({self._purpose}, sha256={self.sha256[:16]})"

    def __reduce__(self) -> str:
        """Refuse pickling and copying, which would write the key somewhere."""
        raise TypeError("an Authority is not serialised")


def _stretch(passphrase: Secret, certificate: x509.Certificate) -> bytes:
    """Return what encrypts the key file: the passphrase through scrypt.

    PKCS8 itself guards a passphrase with 2048 rounds of PBKDF2 (seen in what the library writes),
    which is too few. The salt is the root's own fingerprint: different for each authority, and kept
    beside the key anyway. n and r are RFC 7914's for interactive use, doubled: 32 MiB, about 0.1 s.
    """
    kdf = Scrypt(salt=certificate.fingerprint(hashes.SHA256()), length=32, n=2**15, r=8, p=1)
    return kdf.derive(passphrase.reveal().encode()).hex().encode("ascii")


def _root_certificate(
    key: ec.EllipticCurvePrivateKey, purpose: Purpose, common_name: str, days: int, now: datetime
) -> x509.Certificate:
    name = _name(purpose, common_name)
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        # Room for one intermediate, which will sign joins and renewals while the root is away.
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(key_id, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False
        )
    )
    return builder.sign(key, hashes.SHA256())


def _name(purpose: Purpose, common_name: str) -> x509.Name:
    try:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, purpose.value),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
    except ValueError as exc:
        raise TrustError("the common name of a certificate has 1 to 64 characters") from exc


def _purpose_of(certificate: x509.Certificate) -> Purpose:
    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    try:
        (unit,) = units
        return Purpose(str(unit.value))
    except ValueError as exc:
        raise TrustError("the certificate does not say which authority it is") from exc


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _requested_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """Return the key of a signing request whose signature proves that the asker holds it."""
    if len(csr_pem) > _CSR_CHARACTERS_MAX:
        raise TrustError("the signing request is too large")
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode("ascii"))
        key = request.public_key()
        is_signed = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as exc:
        raise TrustError("the signing request is malformed") from exc
    if not is_signed:
        raise TrustError("the signing request is not signed by its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise TrustError("the signing request's key is not P-256")
    return key


def _alternative_names(identity: str, addresses: Sequence[str]) -> list[x509.GeneralName]:
    if len(addresses) > _ADDRESSES_MAX:
        raise TrustError(f"a certificate names at most {_ADDRESSES_MAX} addresses")
    names: list[x509.GeneralName] = [x509.DNSName(identity)]
    for address in dict.fromkeys(addresses):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
            continue
        except ValueError:
            name = address.lower()
        if not _DNS_NAME.fullmatch(name):
            raise TrustError(f"{address!r} is neither an IP address nor a DNS name")
        if name == "bzzz" or name.endswith(".bzzz"):
            raise TrustError(f"{address!r} is a name of an identity and cannot be an address")
        names.append(x509.DNSName(name))
    return names
