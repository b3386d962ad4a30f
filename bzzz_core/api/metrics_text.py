"""`GET /metrics`, where Prometheus looks for it: a text in the form that `Accept` asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from bzzz_core.api.answers import HEADERS
from bzzz_core.api.operations import Caller, StreamOperation

Write = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Given the header `Accept`, returns the text and its media type."""


def metrics_text(write: Write) -> StreamOperation:
    """Return what the API offers."""

    async def answer(request: Request, _caller: Caller) -> Response:
        text, media_type = await write(request.headers.get("accept", ""))
        return Response(text, headers={**HEADERS, "content-type": media_type})

    return StreamOperation(
        path="/metrics",
        permission="metrics:read",
        summary="The figures of this node, for Prometheus",
        answer=answer,
        media_type="text/plain",
    )
