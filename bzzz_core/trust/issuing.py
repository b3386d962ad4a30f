"""Issuers: what signs nodes' certificates while the roots are locked away.

An issuer is an intermediate authority of one purpose, made by its root for a year. Voters hold one
of each purpose, because any of them may lead, and the leader signs joins and renewals. What an
issuer returns is a chain, leaf first and its own certificate behind it, so that whoever knows only
the root can verify it.

At rest and on its way to another voter an issuer is *sealed*: its key is encrypted to one node's
sealing key (`trust.sealing`), bound to the certificate it belongs to. That keeps it out of backups,
copies and message logs; it does not keep it from root on a voter, who can read the voter's own key.

Rules: an issuer refuses the other purpose's work; names come from the caller's registry.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from bzzz_core.clock import utc_instant
from bzzz_core.errors import TrustError
from bzzz_core.model import NodeId
from bzzz_core.trust import profile, sealing
from bzzz_core.trust.chain import issued_by
from bzzz_core.trust.keys import IdentityKey
from bzzz_core.trust.names import NODE_ID, Purpose, node_name, route_name, system_name

SEALED_CHARACTERS_MAX: Final = 16_384
_CONTEXT: Final = b"bzzz issuer 1\0"
_SEALED_BLOCK: Final = re.compile(
    r"-----BEGIN BZZZ SEALED KEY-----\n([A-Za-z0-9+/=\n]{1,4096})-----END BZZZ SEALED KEY-----"
)


class Issuer:
    """An intermediate authority: its key, its certificate, and what it may sign."""

    __slots__ = ("_certificate", "_key", "_purpose")

    def __init__(self, *, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        """Put the parts together; use `Authority.delegate` or `open`."""
        self._key = key
        self._certificate = certificate
        self._purpose = profile.purpose_of(certificate)

    @classmethod
    def open(cls, sealed: str, identity: IdentityKey) -> Self:
        """Return the issuer that was sealed to this identity.

        Raises:
            TrustError: It is malformed, another node's, or its parts do not belong together.
        """
        block = _SEALED_BLOCK.search(sealed[:SEALED_CHARACTERS_MAX])
        if block is None:
            raise TrustError("not an issuer: there is no sealed key in it")
        try:
            certificate = x509.load_pem_x509_certificate(sealed.encode("ascii"))
            data = base64.b64decode(block[1].replace("\n", ""), validate=True)
            opened = sealing.open_sealed(identity, data, context=_context(certificate))
            key = load_der_private_key(opened, password=None)
        except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm) as exc:
            raise TrustError("an issuer does not open: a damaged file") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey) or (
            certificate.public_key() != key.public_key()
        ):
            raise TrustError("key and certificate of an issuer differ")
        return cls(key=key, certificate=certificate)

    def sealed_to(self, sealing_key: bytes) -> str:
        """Return the issuer as a text that only the holder of `sealing_key` can open.

        The certificate stands in it in the clear.
        """
        plain = self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        data = sealing.seal(sealing_key, plain, context=_context(self._certificate))
        lines = base64.encodebytes(data).decode("ascii")
        return (
            f"{self.certificate_pem}"
            f"-----BEGIN BZZZ SEALED KEY-----\n{lines}-----END BZZZ SEALED KEY-----\n"
        )

    @property
    def purpose(self) -> Purpose:
        """Return what this issuer may sign."""
        return self._purpose

    @property
    def certificate_pem(self) -> str:
        """Return the issuer's own certificate, which is public."""
        return self._certificate.public_bytes(Encoding.PEM).decode("ascii")

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the key under which its signatures verify."""
        return self._key.public_key()

    def is_below(self, roots: Sequence[x509.Certificate]) -> bool:
        """Return whether one of these roots has made this issuer."""
        return any(issued_by(self._certificate, root) for root in roots)

    @property
    def expires_at(self) -> datetime:
        """Return when the operator must have made another one."""
        return self._certificate.not_valid_after_utc

    def issue_node(
        self,
        csr_pem: str,
        *,
        node_id: NodeId,
        addresses: Sequence[str],
        lifetime_s: int,
        now: datetime | None = None,
    ) -> str:
        """Return the PEM chain for a node's agent and its broker's client listener.

        Args:
            csr_pem: Signing request made by the node; only its key is used.
            node_id: Who it is for.
            addresses: Where others reach it, IP addresses or DNS names; loopback is added.
            lifetime_s: How long it is valid, at most as long as the issuer.
            now: Start of validity, for tests; the present when left out.

        Raises:
            TrustError: This issuer is not for nodes, or the request or a name is not acceptable.
        """
        self._require(Purpose.NODE, "node")
        names = (node_name(_valid(node_id)), "localhost", *addresses, "127.0.0.1", "::1")
        return self._chain(csr_pem, names, lifetime_s, now)

    def issue_route(
        self,
        csr_pem: str,
        *,
        node_id: NodeId,
        addresses: Sequence[str],
        lifetime_s: int,
        now: datetime | None = None,
    ) -> str:
        """Return the PEM chain with which a voter's broker meets other brokers.

        The arguments are those of `issue_node`. Loopback is added here too: a lone broker starts
        beside a companion of its own, and they know each other by this certificate.

        Raises:
            TrustError: This issuer is not for routes, or the request or a name is not acceptable.
        """
        self._require(Purpose.FABRIC, "route")
        names = (route_name(_valid(node_id)), *addresses, "127.0.0.1", "::1")
        return self._chain(csr_pem, names, lifetime_s, now)

    def issue_system(
        self, csr_pem: str, *, node_id: NodeId, lifetime_s: int, now: datetime | None = None
    ) -> str:
        """Return the PEM chain of a voter's operations identity; it serves nowhere.

        Raises:
            TrustError: This issuer is not for nodes, or the request is not acceptable.
        """
        self._require(Purpose.NODE, "system")
        return self._chain(csr_pem, (system_name(_valid(node_id)),), lifetime_s, now, serves=False)

    def _require(self, purpose: Purpose, what: str) -> None:
        if self._purpose is not purpose:
            raise TrustError(f"the {self._purpose} authority does not sign {what} certificates")

    def _chain(
        self,
        csr_pem: str,
        names: Sequence[str],
        lifetime_s: int,
        now: datetime | None,
        *,
        serves: bool = True,
    ) -> str:
        leaf = profile.leaf_certificate(
            csr_pem,
            names=names,
            serves=serves,
            lifetime_s=lifetime_s,
            issuer=self._certificate,
            issuer_key=self._key,
            now=now or utc_instant(),
        )
        return leaf.public_bytes(Encoding.PEM).decode("ascii") + self.certificate_pem

    def __repr__(self) -> str:
        """Return what is public about it."""
        return f"Issuer({self._purpose}, until {self.expires_at:%Y-%m-%d})"

    def __reduce__(self) -> str:
        """Refuse pickling and copying, which would write the key somewhere."""
        raise TypeError("an Issuer is not serialised")


def _valid(node_id: NodeId) -> NodeId:
    if not NODE_ID.fullmatch(node_id):
        raise TrustError("a node id is 26 characters of lower-case base32")
    return node_id


def _context(certificate: x509.Certificate) -> bytes:
    return _CONTEXT + certificate.fingerprint(hashes.SHA256())
