"""Reads what a certificate says, for those who decide whether it must be renewed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bzzz_core.errors import TrustError

_PEM_CHARACTERS_MAX = 65_536


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What the first certificate of a file says. Nothing here says that it may be trusted."""

    sha256: str
    not_before_s: int
    not_after_s: int
    """Seconds since 1970, UTC."""
    names: tuple[str, ...]
    """DNS names and IP addresses of the subject, sorted."""
    key_sha256: str
    """Of the public key's SubjectPublicKeyInfo."""
    key_id: str | None
    """Subject key identifier, hexadecimal."""
    root_key_id: str | None
    """Authority key identifier of the last certificate of the chain: the root that is above it."""


def describe(pem: str) -> CertificateFacts:
    """Return what a certificate says.

    Raises:
        TrustError: It is not a certificate, or one that cannot be read.
    """
    if len(pem) > _PEM_CHARACTERS_MAX:
        raise TrustError("the certificate is too large")
    try:
        chain = x509.load_pem_x509_certificates(pem.encode("utf-8"))
        certificate = chain[0]
        extensions = certificate.extensions
        names = _names(extensions)
        public = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return CertificateFacts(
            sha256=certificate.fingerprint(hashes.SHA256()).hex(),
            not_before_s=int(certificate.not_valid_before_utc.timestamp()),
            not_after_s=int(certificate.not_valid_after_utc.timestamp()),
            names=names,
            key_sha256=hashlib.sha256(public).hexdigest(),
            key_id=_subject_key_id(extensions),
            root_key_id=_authority_key_id(chain[-1].extensions),
        )
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as exc:
        raise TrustError("the certificate cannot be read") from exc


def requested_key_sha256(csr_pem: str) -> str:
    """Return SHA-256 of the public key that a signing request is for.

    Raises:
        TrustError: It is not a signing request.
    """
    if len(csr_pem) > _PEM_CHARACTERS_MAX:
        raise TrustError("the signing request is too large")
    try:
        key = x509.load_pem_x509_csr(csr_pem.encode("utf-8")).public_key()
        public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise TrustError("the signing request cannot be read") from exc
    return hashlib.sha256(public).hexdigest()


def _names(extensions: x509.Extensions) -> tuple[str, ...]:
    try:
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = found.get_values_for_type(x509.DNSName)
    addresses = (str(address) for address in found.get_values_for_type(x509.IPAddress))
    return tuple(sorted({*dns, *addresses}))


def _subject_key_id(extensions: x509.Extensions) -> str | None:
    try:
        found = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None
    return found.digest.hex()


def _authority_key_id(extensions: x509.Extensions) -> str | None:
    try:
        found = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None
    return None if found.key_identifier is None else found.key_identifier.hex()
