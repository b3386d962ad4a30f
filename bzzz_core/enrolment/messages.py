"""What nodes and leader say to each other about enrolment: bounded, versioned, untrusted.

Two statements are signed by the identity that makes them (`JoinStatement`, `RenewStatement`); they
travel as the very bytes that were signed. Names of the questions to the leader are below.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec

from bzzz_core.config.sections import ADDRESS, NAME
from bzzz_core.errors import RequestInvalid
from bzzz_core.model import NodeId
from bzzz_core.trust.enrol import CertificateBundle

WIRE_VERSION: Final = 1
JOIN_CONTEXT: Final = b"bzzz join 1"
RENEW_CONTEXT: Final = b"bzzz renew 1"
JOIN: Final = "join"
RENEW: Final = "renew"
REGISTRY: Final = "registry"
TOKEN_CREATE: Final = "token-create"  # noqa: S105  the name of a question
TOKEN_LIST: Final = "token-list"  # noqa: S105
TOKEN_REVOKE: Final = "token-revoke"  # noqa: S105
LEAVE: Final = "leave"
STAY: Final = "stay"
LEAVE_WAITS: Final = "leave-waits"
REVOKE: Final = "revoke"
TRUST: Final = "trust"
ROTATE: Final = "rotate"

_Pem = Annotated[str, msgspec.Meta(max_length=16_384)]
_Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
_Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
_Sealed = Annotated[str, msgspec.Meta(max_length=16_384)]


class JoinStatement(msgspec.Struct, frozen=True):
    """Who wants to join, said by that node."""

    token: Annotated[str, msgspec.Meta(max_length=32)]
    name: Annotated[str, msgspec.Meta(pattern=NAME, max_length=63)]
    address: Annotated[str, msgspec.Meta(pattern=ADDRESS, max_length=253)]
    fabric_client: _Port
    fabric_cluster: _Port
    join: _Port
    public_key: _Key
    node_csr: _Pem
    route_pin: _Sha256
    """Of the key with which its broker will meet others should it become a voter."""
    version: int = WIRE_VERSION


class JoinRequest(msgspec.Struct, frozen=True):
    """The body of `POST /v1/join`."""

    statement: Annotated[bytes, msgspec.Meta(max_length=32_768)]
    proof: _Key
    """That the sender holds the token; see `enrolment.token`."""
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
    """Of the identity in the statement, over the statement."""


class JoinAnswer(msgspec.Struct, frozen=True):
    """What a node that was taken gets."""

    bundle: CertificateBundle
    registry: bytes
    """`registry.encode`; this node is in it."""
    cluster: bytes
    """The leader's `cluster` section as JSON, without the nodes: names and timings."""
    leaf_s: int


class RenewStatement(msgspec.Struct, frozen=True):
    """A member's wish for certificates under the keys it has."""

    node: NodeId
    node_csr: _Pem
    route_csr: _Pem
    system_csr: _Pem
    sealing_key: Annotated[bytes, msgspec.Meta(max_length=32)] = b""
    """Empty: this node has the issuers already."""
    version: int = WIRE_VERSION


class RenewRequest(msgspec.Struct, frozen=True):
    """A signed `RenewStatement`."""

    statement: Annotated[bytes, msgspec.Meta(max_length=65_536)]
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


class TokenWish(msgspec.Struct, frozen=True):
    """How long a new token shall live."""

    ttl_s: int


class TokenMade(msgspec.Struct, frozen=True):
    """A new token; `token` is a secret."""

    id: str
    token: str
    expires_at: str


class TokenInfo(msgspec.Struct, frozen=True):
    """A token as it is listed; nothing in it is secret."""

    id: str
    state: str
    created_at: str
    created_by: str
    expires_at: str
    used_by: str = ""
    used_at: str = ""


class Named(msgspec.Struct, frozen=True):
    """A question about one thing: a token's id, or a node's name or id."""

    name: Annotated[str, msgspec.Meta(max_length=253)]


class Revocation(msgspec.Struct, frozen=True):
    """Whose trust is withdrawn. A leader of an older release reads the name alone, and refuses."""

    name: Annotated[str, msgspec.Meta(max_length=253)]
    costs_quorum: bool = False
    """The operator knows that nothing can be decided afterwards, and wants it all the same."""


class Leaving(msgspec.Struct, frozen=True):
    """The asker's wish to leave."""

    again: bool = False
    """Its turn has come, says the node itself: that counts only while it is still to leave."""


class Waiting(msgspec.Struct, frozen=True):
    """What the change of voters waits for, which is what a leaving voter waits for; for people."""

    what: Annotated[str, msgspec.Meta(max_length=4_000)]


class Nothing(msgspec.Struct, frozen=True):
    """A question or an answer without content."""


class TrustReport(msgspec.Struct, frozen=True):
    """What a node trusts and shows at present; the leader drives a rotation by these."""

    roots: Annotated[tuple[_Sha256, ...], msgspec.Meta(max_length=8)]
    """Public key hashes of the node authorities in `node-ca.pem`."""
    leaf_root: _Sha256 | None
    """Key hash of the root that this node's own chain ends below."""
    issuer_root: _Sha256 | None = None
    """The same of the issuer it holds, if it holds one."""
    sealing_key: Annotated[bytes, msgspec.Meta(max_length=32)] = b""
    signature: Annotated[bytes, msgspec.Meta(max_length=64)] = b""
    """Of the identity over the sealing key."""


Message = TypeVar("Message")
_encoder = msgspec.msgpack.Encoder()


def pack(message: object) -> bytes:
    """Return a message as bytes."""
    return _encoder.encode(message)


def unpack(data: bytes, kind: type[Message]) -> Message:
    """Return the message that bytes hold.

    Raises:
        RequestInvalid: They hold none of this kind.
    """
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (ValueError, RecursionError) as exc:
        name = kind.__name__
        raise RequestInvalid(f"malformed {name}: {exc}") from exc
