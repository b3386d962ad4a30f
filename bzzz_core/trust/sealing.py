"""Bytes that one node alone can read: HPKE (RFC 9180, base mode) to the node's sealing key.

The sealing key is X25519 and is derived from the node's identity key, so a node has one secret to
keep and none to lose. Its public half is no identity: whoever seals must have it from a message
that the identity signed, or from the node itself over SSH. A context says what is sealed; bytes
sealed under one context do not open under another.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bzzz_core.errors import TrustError
from bzzz_core.trust.keys import IdentityKey

SEALING_KEY_BYTES: Final = 32
_LABEL: Final = b"bzzz sealing key 1"
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def sealing_key_of(identity: IdentityKey) -> bytes:
    """Return the public key, 32 bytes raw, to which others seal for this node."""
    return _private(identity).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def seal(sealing_key: bytes, plain: bytes, *, context: bytes) -> bytes:
    """Return `plain` encrypted to the holder of `sealing_key`.

    Raises:
        TrustError: The key is none.
    """
    if len(sealing_key) != SEALING_KEY_BYTES:
        raise TrustError(f"a sealing key has {SEALING_KEY_BYTES} bytes")
    try:
        return _SUITE.encrypt(plain, X25519PublicKey.from_public_bytes(sealing_key), info=context)
    except ValueError as exc:  # A point of small order, with which no secret is agreed.
        raise TrustError("the sealing key is not usable") from exc


def open_sealed(identity: IdentityKey, sealed: bytes, *, context: bytes) -> bytes:
    """Return what was sealed to this node under this context.

    Raises:
        TrustError: It was sealed to another node or under another context, or was changed.
    """
    try:
        return _SUITE.decrypt(sealed, _private(identity), info=context)
    except (InvalidTag, ValueError) as exc:
        raise TrustError("sealed for another node, for another use, or damaged") from exc


def _private(identity: IdentityKey) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(identity.derive(_LABEL))
