"""What a part of the agent offers on its API: a method, a path, who may ask, and who answers.

Parts return a list of these; the composition root mounts them. Paths may hold `{names}`, which the
handler finds in `Call.params`. Every operation wants a token and names one permission. What it
takes and answers is said as types, which the published description of the API is made from
(`api.openapi`). A handler reads its body with `Call.read` and its query with `Call.asked`, returns
any value that msgspec encodes as JSON or a `Content`, and fails with a `BzzzError`, which becomes
an HTTP status here and the same error again in `api.client.call`.

An answer that does not end, and a WebSocket, are a `StreamOperation`: its endpoint gets the bare
request once host, token, permission and rates were checked, and answers for the rest itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from bzzz_core.api.permissions import OF_ROLE, Permission
from bzzz_core.config.sections.security import ADMIN_TOKEN
from bzzz_core.errors import (
    AddressError,
    BrokerError,
    BzzzError,
    CapacityExceeded,
    ConfigError,
    ConsistencyError,
    ModelServerError,
    NotLeader,
    PermissionDenied,
    QuorumUnavailable,
    RateLimited,
    RequestInvalid,
    RequestTimeout,
    RevisionConflict,
    TransportError,
    TrustError,
)
from bzzz_core.model import ApiRole

BODY_BYTES_MAX: Final = 1_500_000
"""A value of 1 MiB, base64 encoded, fits with its envelope."""

By = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[^\x00-\x1f]*$")]
"""Who asks, as the caller says; kept beside the name of its token, which is what is known."""

Document = TypeVar("Document", bound=msgspec.Struct)
_STATUS: Final[tuple[tuple[type[BzzzError], int], ...]] = (
    (RequestInvalid, 400),
    (ConfigError, 400),
    (PermissionDenied, 403),
    (TrustError, 403),
    (RateLimited, 429),
    (CapacityExceeded, 503),
    (RevisionConflict, 409),
    (NotLeader, 503),
    (QuorumUnavailable, 503),
    (RequestTimeout, 504),
    (TransportError, 503),
    (ModelServerError, 503),
    (BrokerError, 503),
    (ConsistencyError, 409),
    (AddressError, 400),
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as its token tells."""

    name: str
    """Of the token."""
    role: ApiRole
    peer: str = ""
    """Address that the connection comes from; empty if that is not known."""

    def may(self, permission: Permission) -> bool:
        """Return whether the caller's role has a permission."""
        return permission in OF_ROLE[self.role]


ADMIN: Final = Caller(ADMIN_TOKEN, "admin")
"""Whoever holds the token of `security.api_token`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, its token already checked; everything else in it is untrusted."""

    params: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    caller: Caller = ADMIN

    def read(self, kind: type[Document]) -> Document:
        """Return the body as a document.

        Raises:
            RequestInvalid: It is none of this kind.
        """
        try:
            return msgspec.json.decode(self.body or b"{}", type=kind)
        except (ValueError, RecursionError) as exc:
            raise RequestInvalid(f"the body is not what this path takes: {exc}") from exc

    def asked(self, kind: type[Document]) -> Document:
        """Return the query as a document; numbers and truths may stand in it as text.

        Raises:
            RequestInvalid: It is none of this kind.
        """
        try:
            return msgspec.convert(dict(self.query), kind, strict=False)
        except ValueError as exc:
            raise RequestInvalid(f"the query is not what this path takes: {exc}") from exc

    def actor(self, by: str = "") -> str:
        """Return who asked, as the audit names callers of the API."""
        return actor_of(self.caller, by)


@dataclass(frozen=True, slots=True)
class Content:
    """An answer that is no JSON document."""

    body: bytes
    media_type: str


Handler = Callable[[Call], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that callers of the API may ask for."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    """Begins with `/v1/` or `/health/`; `{name}` stands for one segment, `{name:path}` for the
    rest."""
    handler: Handler
    permission: Permission
    summary: str
    """One line for whoever reads the list of routes."""
    _: KW_ONLY
    answers: Any = None
    """Type of the answer; None: an empty one, `null`. `Content`: see `media_type`."""
    takes: type[msgspec.Struct] | None = None
    """Type of the body; None: it takes none."""
    needs_body: bool = True
    """Whether the body must be there; else `{}` is read where none is."""
    query: type[msgspec.Struct] | None = None
    """Names, types and bounds of the query; a name that is not there is refused."""
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOperation:
    """An answer that goes on: over HTTP, as a WebSocket, or both on one path."""

    path: str
    permission: Permission
    summary: str
    answer: Callable[[Request, Caller], Awaitable[Response]] | None = None
    """For GET; the response may be a streaming one."""
    talk: Callable[[WebSocket, Caller], Awaitable[None]] | None = None
    """For a WebSocket, which it has to accept, and close at the end."""
    query: type[msgspec.Struct] | None = None
    """For the description only: the endpoint reads its query itself (`asked`)."""
    media_type: str = "text/event-stream"


Offer: TypeAlias = Operation | StreamOperation


def actor_of(caller: Caller, by: str = "") -> str:
    """Return a caller as the audit names it: what it says of itself, and whose token it has."""
    return f"{by or 'somebody'} by API with token {caller.name}"


def status_of(error: BzzzError) -> int:
    """Return the HTTP status that a failure is answered with."""
    if isinstance(error, KeyError):
        return 404
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
