"""The outermost part of the API: every request passes here first, and every answer last.

It gives the request an id and a trace, refuses what is too large in its head or meant for another
host, and lets no failure out but as a document. An id that the caller sends is kept if it is sane;
`traceparent` (W3C Trace Context) likewise. The answer names the request in `x-request-id`.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bzzz_core.api.answers import Refusal
from bzzz_core.api.limits import Hosts, check_head
from bzzz_core.telemetry import logs, tracing


class Gate:
    """An ASGI application around the routes."""

    def __init__(self, app: ASGIApp, *, hosts: Hosts | None = None) -> None:
        """Stand before `app`; with no `hosts` it may be called by any name."""
        self._app = app
        self._hosts = hosts
        self._log = logs.get("api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in {"http", "websocket"}:
            return
        headers = Headers(scope=scope)
        given = tracing.valid_request(headers.get("x-request-id", "")) or tracing.new_request()
        trace = tracing.parse(headers.get(tracing.HEADER, "")) or tracing.new_trace()
        with tracing.request(trace=trace, request=given):
            await self._pass(scope, receive, _Named(send, given))

    async def _pass(self, scope: Scope, receive: Receive, named: _Named) -> None:
        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(refusal, scope, receive, named)
            return
        try:
            await self._app(scope, receive, named)
        except Exception as exc:
            # A bug. Its words may quote what was asked, so the caller gets the id alone; where the
            # answer has begun already, the server has to end the connection.
            self._log.exception("request failed", request=tracing.current().request)
            if named.begun:
                raise
            words = f"this is a bug ({type(exc).__name__}); the agent's log tells more"
            await _answer(Refusal(500, "internal", words), scope, receive, named)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = scope["headers"]
        found = check_head(scope.get("raw_path") or b"", scope["query_string"], headers)
        if found is not None or self._hosts is None:
            return found
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) == 1 and self._hosts.knows(hosts[0].decode("latin-1")):
            return None
        return Refusal(
            421,
            "misdirected",
            "call this API by an address, localhost or one of network.api_names",
        )


class _Named:
    """Sends, with the request's name on the answer; knows whether one has begun."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] in _STARTS:
            self.begun = True
            named = (b"x-request-id", self._request_id.encode())
            message["headers"] = [*message.get("headers", ()), named]
        await self._send(message)


_STARTS: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)


async def _answer(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await refuse_websocket(refusal, scope, receive, send)
    else:
        await refusal.response()(scope, receive, send)


async def refuse_websocket(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket before it is accepted: with the document where the server can send one."""
    if "websocket.http.response" in scope.get("extensions", {}):
        await refusal.response()(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.code})
