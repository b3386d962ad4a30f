"""Join tokens: what the operator carries to a new machine, and what the cluster remembers of them.

    text      bzzz-join-1.<base64url of (4 bytes checksum, msgpack of JoinToken)>
    verifier  SHA-256 of the secret: all that the cluster keeps
    proof     HMAC-SHA256(verifier, statement): sent instead of the secret, and good for one
              statement only, so nobody on the way can join with another key

The text holds the root above the chain that the joining machine must find at the other end, so it
has recognised the cluster before it says anything, and no connection ever believes anybody. The
checksum catches a torn copy; it is no protection.

Rules: a token is good for one identity, once, until it expires. The identity that used it may ask
again with it (its answer may have been lost) as long as it is a member. Times are wall-clock
seconds at the leader, because a token outlives leaders; a leader whose clock is wrong by minutes
makes tokens live by minutes longer or shorter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Annotated, Final

import msgspec

from bzzz_core.config.secrets import Secret
from bzzz_core.errors import RequestInvalid, TokenRefused
from bzzz_core.model import ClusterId, NodeId
from bzzz_core.trust.chain import der_of, pem_of, spki_sha256

RECORD: Final = "_tokens"
"""The record of the control stream that holds what the cluster remembers of tokens."""

TTL_S_MIN: Final = 60
TTL_S_MAX: Final = 7 * 86_400
TOKENS_MAX: Final = 256
PROOF_BYTES: Final = 32
_PREFIX: Final = "bzzz-join-1."
_SECRET_BYTES: Final = 32
_CHECKSUM_BYTES: Final = 4
_CHARACTERS_MAX: Final = 8_192
_REMEMBERED_S: Final = 86_400
"""An expired token is still listed for a day, so that its refusal can say why."""
_DROPPED: Final = ("withdrawn", "expired", "used")
"""Which states make room first. Used ones are kept longest: whoever used one may ask again."""
_PROOF_CONTEXT: Final = b"bzzz join proof 1\0"

_Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
_Text = Annotated[str, msgspec.Meta(max_length=253)]
_Place = Annotated[str, msgspec.Meta(max_length=261, pattern=r"^[^/@?#\s]+:[0-9]{1,5}$")]


class JoinToken(msgspec.Struct, frozen=True):
    """What the text says. It holds the secret: it never prints it and is never logged."""

    id: _Hex
    secret: Annotated[bytes, msgspec.Meta(min_length=_SECRET_BYTES, max_length=_SECRET_BYTES)]
    cluster: Annotated[ClusterId, msgspec.Meta(max_length=64)]
    expires_s: int
    root: Annotated[bytes, msgspec.Meta(min_length=64, max_length=2_048)]
    """The node authority's root certificate (DER): whom the joining machine may believe."""
    places: Annotated[tuple[_Place, ...], msgspec.Meta(min_length=1, max_length=8)]
    """`host:port` of voters that take nodes, an IPv6 address in brackets."""

    def __repr__(self) -> str:
        """Return what is public about it."""
        return f"JoinToken({self.id})"

    @property
    def root_pem(self) -> str:
        """Return the root as TLS takes it."""
        return pem_of(self.root)

    @property
    def root_sha256(self) -> str:
        """Return SHA-256 of the root's public key, by which voters announce their cluster.

        Raises:
            TrustError: The token holds no certificate.
        """
        return spki_sha256(self.root_pem)

    def text(self) -> Secret:
        """Return the token as one word to carry."""
        data = _encoder.encode(self)
        return Secret(_PREFIX + base64.urlsafe_b64encode(_checksum(data) + data).decode())

    def proof(self, statement: bytes) -> bytes:
        """Return what shows that the sender of `statement` holds the token."""
        return proof_of(hashlib.sha256(self.secret).digest(), statement)


class KnownToken(msgspec.Struct, frozen=True):
    """What the cluster remembers of one token."""

    id: _Hex
    verifier: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    expires_s: int
    created_at: _Text
    created_by: _Text
    """Name of the node on which it was made."""
    used_by: _Text = ""
    """Node id."""
    used_at: _Text = ""
    withdrawn: bool = False

    def state(self, now_s: int) -> str:
        """Return how it stands: usable, used, withdrawn or expired."""
        if self.used_by:
            return "used"
        if self.withdrawn:
            return "withdrawn"
        return "expired" if now_s >= self.expires_s else "usable"


class Tokens(msgspec.Struct, frozen=True):
    """All tokens of the cluster that somebody may still ask about."""

    known: Annotated[tuple[KnownToken, ...], msgspec.Meta(max_length=TOKENS_MAX)] = ()

    def find(self, token_id: str) -> KnownToken | None:
        """Return the token with this id."""
        return next((token for token in self.known if token.id == token_id), None)

    def with_new(self, token: KnownToken, *, now_s: int) -> Tokens:
        """Return the tokens with one more, without those that expired long ago.

        Where there is no room, tokens that let nobody in any more make some. A token that was
        forgotten is unknown, so it is refused as before; only the reason is lost.

        Raises:
            RequestInvalid: Too many are usable already.
        """
        kept = [one for one in self.known if one.expires_s + _REMEMBERED_S > now_s]
        spent = sorted(
            (one for one in kept if one.state(now_s) != "usable"),
            key=lambda one: (_DROPPED.index(one.state(now_s)), one.used_at, one.expires_s),
        )
        for one in spent[: max(0, len(kept) + 1 - TOKENS_MAX)]:
            kept.remove(one)
        if len(kept) >= TOKENS_MAX:
            raise RequestInvalid(
                f"{TOKENS_MAX} join tokens are usable already; revoke some, or wait until they"
                " expire"
            )
        return Tokens((*kept, token))

    def claimed(self, token_id: str, node: NodeId, *, now_s: int, at: str) -> Tokens:
        """Return the tokens after `node` used one; again by the same node changes nothing.

        Raises:
            TokenRefused: It is unknown, used by another, withdrawn, or expired.
        """
        token = self.find(token_id)
        if token is None:
            raise TokenRefused("the cluster does not know this join token; make a new one")
        if token.used_by == node:
            return self
        state = token.state(now_s)
        if state != "usable":
            raise TokenRefused(f"the join token {token_id} is {state}; make a new one")
        used = msgspec.structs.replace(token, used_by=node, used_at=at)
        return self._with(used)

    def without(self, token_id: str) -> Tokens:
        """Return the tokens after one was withdrawn.

        Raises:
            RequestInvalid: No such token.
        """
        token = self.find(token_id)
        if token is None:
            raise RequestInvalid(f"no join token {token_id}; `bzzz-agent token list` shows them")
        return self._with(msgspec.structs.replace(token, withdrawn=True))

    def _with(self, token: KnownToken) -> Tokens:
        return Tokens(tuple(token if one.id == token.id else one for one in self.known))


def new_token(
    *,
    cluster: ClusterId,
    root_pem: str,
    places: tuple[str, ...],
    expires_s: int,
    created_at: str,
    created_by: str,
) -> tuple[JoinToken, KnownToken]:
    """Return a token for the operator, and what the cluster keeps of it."""
    token = JoinToken(
        id=secrets.token_hex(8),
        secret=secrets.token_bytes(_SECRET_BYTES),
        cluster=cluster,
        expires_s=expires_s,
        root=der_of(root_pem),
        places=places,
    )
    known = KnownToken(
        id=token.id,
        verifier=hashlib.sha256(token.secret).digest(),
        expires_s=expires_s,
        created_at=created_at,
        created_by=created_by,
    )
    return token, known


def parse_token(text: str) -> JoinToken:
    """Return what a token says.

    Raises:
        TokenRefused: It is malformed or torn. The message does not quote it.
    """
    word = text.strip()
    if len(word) > _CHARACTERS_MAX or not word.startswith(_PREFIX):
        raise TokenRefused(f"not a join token: it is one word that begins with {_PREFIX}")
    torn = TokenRefused("the join token is incomplete; copy the whole word")
    try:
        data = base64.b64decode(word.removeprefix(_PREFIX), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise torn from None
    checksum, body = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
    if checksum != _checksum(body):
        raise torn
    try:
        return _token_decoder.decode(body)
    except (ValueError, RecursionError):
        raise torn from None


def proof_of(verifier: bytes, statement: bytes) -> bytes:
    """Return the proof that belongs to a verifier and a statement."""
    return hmac.new(verifier, _PROOF_CONTEXT + statement, hashlib.sha256).digest()


def encode_tokens(tokens: Tokens) -> bytes:
    """Return the tokens as the record holds them."""
    return _encoder.encode(tokens)


def decode_tokens(data: bytes) -> Tokens:
    """Return the tokens that a record holds.

    Raises:
        ValueError: It holds none.
    """
    return _tokens_decoder.decode(data)


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECKSUM_BYTES]


_encoder = msgspec.msgpack.Encoder()
_token_decoder = msgspec.msgpack.Decoder(JoinToken)
_tokens_decoder = msgspec.msgpack.Decoder(Tokens)
