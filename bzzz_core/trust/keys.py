"""The node's identity: one Ed25519 key from which its id follows.

The key signs ballots and, later, envelopes; it never takes part in TLS. A signature covers
`tag | length of context | context | payload`: the context names what is being said ("bzzz ballot
1"), so that bytes signed for one purpose never pass for another, and its length stands before it so
that no two pairs of context and payload are the same bytes.

Rules: the private key is made on the node, is written once (0600) and never leaves it; no error
quotes key material.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from bzzz_core.errors import SignatureInvalid, TrustError
from bzzz_core.model import NodeId
from bzzz_core.trust import private_files

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
_ID_BYTES = 16
_CONTEXT_BYTES_MAX = 255
_TAG = b"bzzz signature 1\0"


class IdentityKey:
    """A node's Ed25519 private key. It satisfies `ports.Signer` and does not print."""

    __slots__ = ("_private", "_public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Wrap a loaded key; use `generate`, `load` or `create`."""
        self._private = private
        self._public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def generate(cls) -> Self:
        """Return a new key that is stored nowhere."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a key and keep it at `path`, mode 0600, durable on return.

        Raises:
            FileExistsError: A key is there already; it is untouched.
        """
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        private_files.create(path, pem)
        return cls(private)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the key at `path`.

        Raises:
            TrustError: The file is missing, open to others, or holds no Ed25519 key.
        """
        try:
            private = load_pem_private_key(private_files.read(path), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise TrustError(f"{path} does not hold an unencrypted PKCS8 private key") from exc
        if not isinstance(private, Ed25519PrivateKey):
            raise TrustError(f"{path} holds a key of another kind; an identity is Ed25519")
        return cls(private)

    @property
    def public_key(self) -> bytes:
        """Return the public key, 32 bytes raw."""
        return self._public

    @property
    def node_id(self) -> NodeId:
        """Return the id of the node that owns this key."""
        return node_id_of(self._public)

    def sign(self, context: bytes, payload: bytes) -> bytes:
        """Return a 64-byte signature over the domain-separating `context` and `payload`."""
        return self._private.sign(_signed_bytes(context, payload))

    def derive(self, label: bytes) -> bytes:
        """Return 32 secret bytes that follow from this key and `label`, and from nothing else.

        HKDF (RFC 5869) over the private key: who knows the result learns neither the key nor what
        another label gives.
        """
        raw = self._private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return HKDF(SHA256(), length=32, salt=None, info=label).derive(raw)

    def __repr__(self) -> str:
        """Return the id, which is public."""
        return f"IdentityKey({self.node_id})"

    def __reduce__(self) -> str:
        """Refuse pickling and copying, which would write the key somewhere."""
        raise TypeError("an IdentityKey is not serialised")


def node_id_of(public_key: bytes) -> NodeId:
    """Return the node id that belongs to a raw Ed25519 public key.

    Raises:
        TrustError: It is not 32 bytes.
    """
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise TrustError(f"an Ed25519 public key has {PUBLIC_KEY_BYTES} bytes")
    digest = hashlib.sha256(public_key).digest()[:_ID_BYTES]
    return NodeId(base64.b32encode(digest).decode("ascii").rstrip("=").lower())


def verify(public_key: bytes, context: bytes, payload: bytes, signature: bytes) -> None:
    """Return if `signature` is `public_key`'s over exactly this context and payload.

    Raises:
        SignatureInvalid: It is not, or key or signature are malformed.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid(f"an Ed25519 signature has {SIGNATURE_BYTES} bytes")
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signature, _signed_bytes(context, payload))
    except (InvalidSignature, ValueError) as exc:
        raise SignatureInvalid("the signature does not belong to these bytes and key") from exc


def _signed_bytes(context: bytes, payload: bytes) -> bytes:
    assert 0 < len(context) <= _CONTEXT_BYTES_MAX, "a context has 1 to 255 bytes"
    return _TAG + bytes([len(context)]) + context + payload
