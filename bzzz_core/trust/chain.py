"""Whether a chain of certificates leads to a root that we trust, and to which one."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bzzz_core.errors import TrustError

_CHARACTERS_MAX: Final = 65_536
_CERTIFICATES_MAX: Final = 8


def check_chain(chain_pem: str, roots_pem: str, key: ec.EllipticCurvePublicKey) -> None:
    """Return if the first certificate is for `key` and the chain ends below one of the roots.

    Dates are left to whoever uses the certificate: a node whose clock is wrong must still be able
    to install what it will need once the clock is right.

    Raises:
        TrustError: It is not so, or something is malformed.
    """
    chain = load_all(chain_pem)
    roots = load_all(roots_pem)
    try:
        for lower, upper in pairwise(chain):
            lower.verify_directly_issued_by(upper)
        if not any(issued_by(chain[-1], root) for root in roots):
            raise TrustError("the certificate is not one of the given authority")
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as exc:
        raise TrustError("the certificates of a chain do not follow from each other") from exc
    if chain[0].public_key() != key:
        raise TrustError("the certificate is not for this key; ask for one anew")


def load_all(pem: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text, at least one.

    Raises:
        TrustError: There is none, there are too many, or one cannot be read.
    """
    if len(pem) > _CHARACTERS_MAX:
        raise TrustError("the certificates are too large")
    try:
        found = x509.load_pem_x509_certificates(pem.encode("ascii"))
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise TrustError("a certificate cannot be read") from exc
    if len(found) > _CERTIFICATES_MAX:
        raise TrustError(f"a chain has at most {_CERTIFICATES_MAX} certificates")
    return found


def spki_sha256(pem: str) -> str:
    """Return SHA-256 of the first certificate's public key (SubjectPublicKeyInfo), hexadecimal.

    Raises:
        TrustError: It is no certificate.
    """
    try:
        public = load_all(pem)[0].public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise TrustError("a certificate cannot be read") from exc
    return hashlib.sha256(der).hexdigest()


def der_of(pem: str) -> bytes:
    """Return the first certificate of a PEM text as DER.

    Raises:
        TrustError: It is none.
    """
    return load_all(pem)[0].public_bytes(Encoding.DER)


def pem_of(der: bytes) -> str:
    """Return a certificate as PEM.

    Raises:
        TrustError: It is none.
    """
    try:
        return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode("ascii")
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise TrustError("a certificate cannot be read") from exc


def issued_by(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    """Return whether `root` has signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
