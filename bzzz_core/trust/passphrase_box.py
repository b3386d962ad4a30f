"""Bytes under a passphrase: for files that leave the machine, as the operator's kit does.

    line 1    the name of the format
    line 2    JSON: salt, nonce, and the cost of scrypt (n 2^17, r 8, p 1: 128 MiB, about 0.4 s)
    the rest  AES-256-GCM of the content, bound to both lines

Whoever gets the file learns its length and nothing else, and a changed byte anywhere is noticed.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from bzzz_core.config.secrets import Secret
from bzzz_core.errors import TrustError

PASSPHRASE_CHARACTERS_MIN: Final = 12
SCRYPT_N: Final = 2**17
_FORMAT: Final = b"bzzz passphrase box 1\n"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_HEAD_BYTES_MAX: Final = 1_000


class _Head(msgspec.Struct, frozen=True):
    """What is needed to open the rest; the bounds keep a forged file from costing us."""

    salt: Annotated[bytes, msgspec.Meta(min_length=16, max_length=64)]
    nonce: Annotated[bytes, msgspec.Meta(min_length=_NONCE_BYTES, max_length=_NONCE_BYTES)]
    n: Annotated[int, msgspec.Meta(ge=2**14, le=2**20)] = SCRYPT_N
    r: Annotated[int, msgspec.Meta(ge=8, le=16)] = 8
    p: Annotated[int, msgspec.Meta(ge=1, le=4)] = 1


def close_box(content: bytes, passphrase: Secret, *, scrypt_n: int = SCRYPT_N) -> bytes:
    """Return the content, readable with the passphrase alone.

    Raises:
        TrustError: The passphrase is too short to protect a file that travels.
    """
    if len(passphrase.reveal()) < PASSPHRASE_CHARACTERS_MIN:
        raise TrustError(f"a passphrase needs {PASSPHRASE_CHARACTERS_MIN} characters")
    head = _Head(secrets.token_bytes(16), secrets.token_bytes(_NONCE_BYTES), n=scrypt_n)
    lines = _FORMAT + msgspec.json.encode(head) + b"\n"
    return lines + AESGCM(_key(head, passphrase)).encrypt(head.nonce, content, lines)


def open_box(box: bytes, passphrase: Secret) -> bytes:
    """Return what `close_box` was given.

    Raises:
        TrustError: The passphrase is wrong, the file was changed, or it is none of ours.
    """
    end = box.find(b"\n", len(_FORMAT), _HEAD_BYTES_MAX) + 1
    if not box.startswith(_FORMAT) or not end:
        raise TrustError("this is no file that BZZZ closed with a passphrase")
    lines, sealed = box[:end], box[end:]
    try:
        head = msgspec.json.decode(lines[len(_FORMAT) :], type=_Head)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise TrustError("the head of this file is damaged") from exc
    try:
        return AESGCM(_key(head, passphrase)).decrypt(head.nonce, sealed, lines)
    except (InvalidTag, ValueError):
        raise TrustError("it does not open: wrong passphrase, or it was changed") from None


def _key(head: _Head, passphrase: Secret) -> bytes:
    kdf = Scrypt(salt=head.salt, length=_KEY_BYTES, n=head.n, r=head.r, p=head.p)
    return kdf.derive(passphrase.reveal().encode())
