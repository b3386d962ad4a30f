"""What our certificates contain: roots, issuers and leaves, each built in one place.

Rules: from a signing request only the key is taken, after its signature is checked; every name in a
certificate comes from the caller. Names below `.bzzz` are identities, so nobody can have one as an
address. A root may have one level of issuers below it (path length 1), an issuer none (0), and an
issuer is limited to TLS by its extended key usage. A certificate is valid from a little before its
making, so that a slow clock on a host does no harm: five minutes, or a tenth of a short life, so
that "two thirds of its life" still means what it says.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bzzz_core.errors import TrustError
from bzzz_core.trust.names import Purpose

LIFETIME_S_MIN: Final = 60
_BACKDATED_MAX: Final = timedelta(minutes=5)
_DNS_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_ORGANIZATION: Final = "BZZZ"
_COMMON_NAME_CHARACTERS_MAX: Final = 48
"""Of a root's name repeated in its issuers'; a common name has at most 64 (RFC 5280)."""
_ADDRESSES_MAX: Final = 64
_CSR_CHARACTERS_MAX: Final = 16_384
_SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
_CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH


def root_certificate(
    key: ec.EllipticCurvePrivateKey,
    purpose: Purpose,
    *,
    common_name: str,
    days: int,
    now: datetime,
) -> x509.Certificate:
    """Return the self-signed certificate of a new authority."""
    name = _name(purpose, common_name)
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = _begin(key.public_key(), name, name, now, now + timedelta(days=days))
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(_authority_key_id(key_id), critical=False)
        .sign(key, hashes.SHA256())
    )


def issuer_certificate(
    key: ec.EllipticCurvePublicKey,
    *,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    days: int,
    now: datetime,
) -> x509.Certificate:
    """Return the certificate of an issuer below a root, for the root's purpose.

    Raises:
        TrustError: The root has expired.
    """
    until = _within(root, now, timedelta(days=days))
    purpose = purpose_of(root)
    (common_name,) = root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    key_id = x509.SubjectKeyIdentifier.from_public_key(key)
    # Names tell issuers of one root apart in what operators see; verifiers go by key ids.
    own = f"{str(common_name.value)[:_COMMON_NAME_CHARACTERS_MAX]} {key_id.digest.hex()[:8]}"
    return (
        _begin(key, _name(purpose, own), root.subject, now, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_SERVER, _CLIENT]), critical=False)
        .add_extension(_authority_key_id(_key_id_of(root)), critical=False)
        .sign(root_key, hashes.SHA256())
    )


def leaf_certificate(
    csr_pem: str,
    *,
    names: Sequence[str],
    serves: bool,
    lifetime_s: int,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    """Return a certificate for the key of a signing request.

    Args:
        csr_pem: Signing request; only its key is used.
        names: The identity, then the addresses.
        serves: Whether the holder also listens; everybody is a client.
        lifetime_s: How long it is valid, at most as long as the issuer.
        issuer: Who signs.
        issuer_key: The issuer's key.
        now: When validity is counted from.

    Raises:
        TrustError: The request or a name is not acceptable, or the issuer has expired.
    """
    if lifetime_s < LIFETIME_S_MIN:
        raise TrustError(f"a certificate is valid for at least {LIFETIME_S_MIN} seconds")
    until = _within(issuer, now, timedelta(seconds=lifetime_s))
    key = requested_key(csr_pem)
    usages = [_SERVER, _CLIENT] if serves else [_CLIENT]
    return (
        _begin(key, _name(purpose_of(issuer), names[0]), issuer.subject, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(_alternative_names(names[0], names[1:])), critical=False
        )
        .add_extension(_authority_key_id(_key_id_of(issuer)), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def purpose_of(certificate: x509.Certificate) -> Purpose:
    """Return what an authority or an issuer is for.

    Raises:
        TrustError: Its certificate does not say, or says something unknown.
    """
    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    try:
        (unit,) = units
        return Purpose(str(unit.value))
    except ValueError as exc:
        raise TrustError("the certificate does not say which authority it is") from exc


def requested_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """Return the key of a signing request whose signature proves that the asker holds it.

    Raises:
        TrustError: It is malformed, not signed by its own key, or not for a P-256 key.
    """
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


def _begin(
    key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    issuer: x509.Name,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(_BACKDATED_MAX, (until - now) / 10))
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _within(issuer: x509.Certificate, now: datetime, lifetime: timedelta) -> datetime:
    """Return the end of a certificate: a leaf that outlives its issuer verifies nowhere."""
    until = min(now + lifetime, issuer.not_valid_after_utc)
    if until <= now:
        raise TrustError(
            f"the issuer {issuer.subject.rfc4514_string()} has expired; the operator renews it by"
            " running setup again"
        )
    return until


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


def _key_id_of(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value


def _authority_key_id(key_id: x509.SubjectKeyIdentifier) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)


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


def _alternative_names(identity: str, addresses: Sequence[str]) -> list[x509.GeneralName]:
    if len(addresses) > _ADDRESSES_MAX:
        raise TrustError(f"a certificate names at most {_ADDRESSES_MAX} addresses")
    return [x509.DNSName(identity), *map(alternative_name, dict.fromkeys(addresses))]


def alternative_name(address: str) -> x509.GeneralName:
    """Return an address as a certificate names it.

    Raises:
        TrustError: It is neither an IP address nor a DNS name, or a name of an identity.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        name = address.lower()
    if not _DNS_NAME.fullmatch(name):
        raise TrustError(f"{address!r} is neither an IP address nor a DNS name")
    if name == "bzzz" or name.endswith(".bzzz"):
        raise TrustError(f"{address!r} is a name of an identity and cannot be an address")
    return x509.DNSName(name)
