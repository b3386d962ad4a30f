"""The roster on the API, page by page: one request never costs more than `PAGE_MAX` members.

GET /v1/status            the answering node, and all of them
GET /v1/members           the members in the order of their names, perhaps of one state only
GET /v1/members/{node}    one of them, by name or id
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.operations import Call, Operation
from bzzz_core.errors import KeyNotFound
from bzzz_core.model import Count, MemberState, Text

PAGE_MAX: Final = 1_000


class MembersQuery(msgspec.Struct, frozen=True):
    """Which members to tell."""

    state: MemberState | None = None
    after: Text = ""
    """The name after which the page begins: `next` of the page before."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 100


class MembersDocument(msgspec.Struct, frozen=True):
    """`GET /v1/members`: one page."""

    node: Text
    """Who answers."""
    members: tuple[MemberStatus, ...]
    matching: Count
    """How many there are on all pages."""
    next: Text | None = None
    """Ask with `after` = this for what follows; None: this is the last page."""


def operations(status: Callable[[], Status]) -> list[Operation]:
    """Return what the API offers of the roster that `status` gives."""

    async def whole(_call: Call) -> Status:
        return status()

    async def page(call: Call) -> MembersDocument:
        return page_of(status(), call.asked(MembersQuery))

    async def one(call: Call) -> MemberStatus:
        wanted = call.params["node"]
        for member in status().members:
            if wanted in {member.name, member.node_id}:
                return member
        raise KeyNotFound("there is no such member; GET /v1/members lists them")

    return [
        Operation(
            "GET",
            "/v1/status",
            whole,
            "status:read",
            "This node's view of itself and the cluster",
            answers=Status,
        ),
        Operation(
            "GET",
            "/v1/members",
            page,
            "status:read",
            "The members in the order of their names, page by page",
            query=MembersQuery,
            answers=MembersDocument,
        ),
        Operation(
            "GET",
            "/v1/members/{node}",
            one,
            "status:read",
            "One member, by name or id",
            answers=MemberStatus,
        ),
    ]


def page_of(status: Status, query: MembersQuery) -> MembersDocument:
    """Return the page of a roster that a query asks for."""
    found = sorted(
        (one for one in status.members if query.state is None or one.state is query.state),
        key=lambda one: one.name,
    )
    rest = [one for one in found if one.name > query.after]
    members = tuple(rest[: query.limit])
    more = len(rest) > len(members)
    return MembersDocument(
        node=status.node,
        members=members,
        matching=len(found),
        next=members[-1].name if more else None,
    )
