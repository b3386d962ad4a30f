"""What the API says about itself and about who asks.

GET /v1/whoami          the caller's token: name, role, permissions
GET /v1/version         the version of the agent and of the API
GET /v1/openapi.json    what there is, for programs (`api.openapi`)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from bzzz_core import __version__
from bzzz_core.api import members
from bzzz_core.api.documents import Status
from bzzz_core.api.openapi import describe
from bzzz_core.api.operations import Call, Content, Offer, Operation
from bzzz_core.api.permissions import OF_ROLE, PERMISSIONS, Permission
from bzzz_core.model import ApiRole, Text

API_VERSION: Final = 1
"""Counts what breaks callers; it stands in every path. New fields and paths break nobody."""


class WhoDocument(msgspec.Struct, frozen=True):
    """`GET /v1/whoami`."""

    name: Text
    """Of the token."""
    role: ApiRole
    permissions: tuple[Permission, ...]


class VersionDocument(msgspec.Struct, frozen=True):
    """`GET /v1/version`."""

    version: Text
    api: int


def everything(status: Callable[[], Status], offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """Return what an API offers: what its agent's parts do, and what every API has.

    Args:
        status: Gives the agent's present view of itself and the cluster.
        offers: Of the agent's parts.
    """
    described = b""

    async def who(call: Call) -> WhoDocument:
        allowed = OF_ROLE[call.caller.role]
        return WhoDocument(
            call.caller.name, call.caller.role, tuple(p for p in PERMISSIONS if p in allowed)
        )

    async def version(_call: Call) -> VersionDocument:
        return VersionDocument(__version__, API_VERSION)

    async def description(_call: Call) -> Content:
        nonlocal described
        described = described or msgspec.json.encode(describe(whole))
        return Content(described, "application/json")

    whole: tuple[Offer, ...] = (
        *members.operations(status),
        *offers,
        Operation(
            "GET",
            "/v1/whoami",
            who,
            "status:read",
            "The name, role and permissions of the token that asks",
            answers=WhoDocument,
        ),
        Operation(
            "GET",
            "/v1/version",
            version,
            "status:read",
            "The version of the agent and of the API",
            answers=VersionDocument,
        ),
        Operation(
            "GET",
            "/v1/openapi.json",
            description,
            "status:read",
            "This description of the API (OpenAPI 3.1)",
            answers=Content,
        ),
    )
    return whole
