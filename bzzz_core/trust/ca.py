"""The cluster's two certificate authorities, which stay with the operator.

The *fabric* authority stands above only the route certificates of voters; the *node* authority
above everything else that nodes show. They are apart because whoever may open a route to a broker
may overwrite anything in it: with one authority a rogue server holding an edge's certificate joined
as a route and did so (`docs/architecture.md`, trust of the wire). An authority therefore knows its
purpose, and the purpose is part of its own certificate.

Rules: a root signs issuers (`trust.issuing`) and nothing else, so its key is needed once a year;
the key is encrypted wherever it is stored. All extensions that `openssl verify -x509_strict` asks
for are present (`trust.profile`).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from bzzz_core.clock import utc_instant
from bzzz_core.config.secrets import Secret
from bzzz_core.errors import TrustError
from bzzz_core.trust import private_files, profile
from bzzz_core.trust.issuing import Issuer
from bzzz_core.trust.names import Purpose

PASSPHRASE_CHARACTERS_MIN: Final = 12
ISSUER_DAYS: Final = 365
"""How long an issuer works without the operator: long enough to forget, so a third before its end
the nodes say so."""


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
        self._purpose = profile.purpose_of(certificate)

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
        certificate = profile.root_certificate(
            key, purpose, common_name=common_name, days=days, now=now or utc_instant()
        )
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

    def delegate(self, *, days: int = ISSUER_DAYS, now: datetime | None = None) -> Issuer:
        """Return a new issuer below this root: what signs while the root is locked away.

        Raises:
            TrustError: The root itself has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = profile.issuer_certificate(
            key.public_key(),
            root=self._certificate,
            root_key=self._key,
            days=days,
            now=now or utc_instant(),
        )
        return Issuer(key=key, certificate=certificate)

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
