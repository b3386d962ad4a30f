"""What this node's API offers about enrolment. Most of it is a question to the leader.

POST   /v1/tokens                  make a join token; the answer holds the secret
GET    /v1/tokens                  list them, without secrets
DELETE /v1/tokens/{token}          withdraw one
GET    /v1/nodes                   the registry as this node knows it
POST   /v1/nodes/{node}/revoke     withdraw the trust in a node, by name or id; see `RevokeBody`
POST   /v1/leave                   this node leaves in order
GET    /v1/leave                   whether it is about to, and what it waits for
DELETE /v1/leave                   it stays after all
POST   /v1/renew                   renew this node's certificates now
POST   /v1/trust                   replace the node authority, one step at a time
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from bzzz_core.api.operations import Call, Operation
from bzzz_core.enrolment import messages
from bzzz_core.enrolment.messages import Named, Nothing, Revocation, TokenInfo, TokenMade, TokenWish
from bzzz_core.enrolment.registry import Registry
from bzzz_core.enrolment.rotation import RotateStatus, RotateStep
from bzzz_core.enrolment.service import Enrolment

Ask = Callable[[str, bytes], Awaitable[bytes]]
Put = Callable[[str, object], Awaitable[bytes]]
_TTL_S: Final = 3_600


class TokenBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/tokens`."""

    ttl_s: int = _TTL_S


class NodeDocument(msgspec.Struct, frozen=True):
    """One node of the registry."""

    id: str
    name: str
    address: str
    state: str
    voter: bool
    leaving: bool
    joined_at: str
    ended_at: str


class NodesDocument(msgspec.Struct, frozen=True):
    """The registry, for people and programs."""

    version: int
    nodes: tuple[NodeDocument, ...]


class RevokeBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/nodes/{node}/revoke`; it may be left out."""

    costs_quorum: bool = False
    """Even if too few living voters are left to decide anything."""


class LeaveDocument(msgspec.Struct, frozen=True):
    """Whether this node is about to leave."""

    leaving: bool
    waits_for: str
    """In words; empty until the leader has said it."""


class RenewedDocument(msgspec.Struct, frozen=True):
    """Which files a renewal replaced."""

    files: tuple[str, ...]


def operations(enrolment: Enrolment, ask: Ask) -> list[Operation]:
    """Return what the API offers about enrolment; `ask` puts a question to the leader."""

    async def put(question: str, body: object) -> bytes:
        return await ask(question, messages.pack(body))

    return [*_of_tokens(put), *_of_nodes(enrolment, put), *_of_leaving(enrolment)]


def _of_tokens(put: Put) -> list[Operation]:
    async def create(call: Call) -> TokenMade:
        answer = await put(messages.TOKEN_CREATE, TokenWish(call.read(TokenBody).ttl_s))
        return messages.unpack(answer, TokenMade)

    async def list_all(_call: Call) -> list[TokenInfo]:
        return messages.unpack(await put(messages.TOKEN_LIST, Nothing()), list[TokenInfo])

    async def revoke(call: Call) -> Nothing:
        await put(messages.TOKEN_REVOKE, Named(call.params["token"]))
        return Nothing()

    return [
        Operation(
            "POST",
            "/v1/tokens",
            create,
            "tokens:write",
            "Make a join token; the answer holds the secret",
            takes=TokenBody,
            needs_body=False,
            answers=TokenMade,
        ),
        Operation(
            "GET",
            "/v1/tokens",
            list_all,
            "tokens:read",
            "The join tokens, without their secrets",
            answers=list[TokenInfo],
        ),
        Operation(
            "DELETE",
            "/v1/tokens/{token}",
            revoke,
            "tokens:write",
            "Withdraw a join token",
            answers=Nothing,
        ),
    ]


def _of_nodes(enrolment: Enrolment, put: Put) -> list[Operation]:
    async def list_all(_call: Call) -> NodesDocument:
        return _nodes(enrolment.known())

    async def revoke(call: Call) -> Nothing:
        body = call.read(RevokeBody)
        await put(messages.REVOKE, Revocation(call.params["node"], costs_quorum=body.costs_quorum))
        return Nothing()

    async def renew(_call: Call) -> RenewedDocument:
        changed = await enrolment.renewal.renew()
        return RenewedDocument(tuple(sorted(path.name for path in changed)))

    async def rotate(call: Call) -> RotateStatus:
        answer = await put(messages.ROTATE, call.read(RotateStep))
        return messages.unpack(answer, RotateStatus)

    return [
        Operation(
            "GET",
            "/v1/nodes",
            list_all,
            "nodes:read",
            "The registry as this node knows it",
            answers=NodesDocument,
        ),
        Operation(
            "POST",
            "/v1/nodes/{node}/revoke",
            revoke,
            "nodes:write",
            "Withdraw the trust in a node, by name or id",
            takes=RevokeBody,
            needs_body=False,
            answers=Nothing,
        ),
        Operation(
            "POST",
            "/v1/renew",
            renew,
            "nodes:write",
            "Renew this node's certificates now",
            answers=RenewedDocument,
        ),
        Operation(
            "POST",
            "/v1/trust",
            rotate,
            "trust:write",
            "Replace the node authority, one step at a time",
            takes=RotateStep,
            answers=RotateStatus,
        ),
    ]


def _of_leaving(enrolment: Enrolment) -> list[Operation]:
    async def leave(_call: Call) -> Nothing:
        await enrolment.leave()
        return Nothing()

    async def show(_call: Call) -> LeaveDocument:
        me = enrolment.myself()
        leaving = me is not None and me.member and me.leaving
        return LeaveDocument(leaving, enrolment.waits_for if leaving else "")

    async def stay(_call: Call) -> Nothing:
        await enrolment.stay()
        return Nothing()

    return [
        Operation(
            "POST",
            "/v1/leave",
            leave,
            "nodes:write",
            "Let this node leave in order",
            answers=Nothing,
        ),
        Operation(
            "GET",
            "/v1/leave",
            show,
            "nodes:read",
            "Whether this node is about to leave, and what it waits for",
            answers=LeaveDocument,
        ),
        Operation(
            "DELETE",
            "/v1/leave",
            stay,
            "nodes:write",
            "Let this node stay after all",
            answers=Nothing,
        ),
    ]


def _nodes(registry: Registry) -> NodesDocument:
    return NodesDocument(
        version=registry.version,
        nodes=tuple(
            NodeDocument(
                id=node.id,
                name=node.name,
                address=node.address,
                state=node.state.value,
                voter=node.voter,
                leaving=node.leaving,
                joined_at=node.joined_at,
                ended_at=node.ended_at,
            )
            for node in registry.nodes
        ),
    )
