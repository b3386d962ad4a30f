"""Routes of the agent's API, and what a request goes through on its way to an operation.

    api.gate    id and trace, size of the head, name of the host; failures become documents
    api.auth    token, rate, permission
    here        method, query, body; the operation; its answer once what was done is written down

Health routes want no token and say nothing about the cluster. HEAD answers as GET without a body,
OPTIONS which methods there are; pages of other origins are allowed nothing (no CORS).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from bzzz_core.api.about import everything
from bzzz_core.api.answers import Refusal, document, refusal_of
from bzzz_core.api.auth import Doorkeeper
from bzzz_core.api.documents import Health, Status
from bzzz_core.api.gate import Gate, refuse_websocket
from bzzz_core.api.limits import Hosts, body_of
from bzzz_core.api.operations import Call, Caller, Offer, Operation, StreamOperation
from bzzz_core.errors import BzzzError

Endpoint = Callable[[Request], Awaitable[Response]]
Settled = Callable[[], Awaitable[None]]
SUMMARY: Final = "/health"
LIVE: Final = "/health/live"
READY: Final = "/health/ready"


async def _at_once() -> None:
    """Owe nothing: nobody audits what this app does."""


def build_app(
    *,
    doorkeeper: Doorkeeper,
    status: Callable[[], Status],
    not_ready: Callable[[], Sequence[str]],
    not_live: Callable[[], Sequence[str]] = tuple,
    operations: Sequence[Offer] = (),
    settled: Settled = _at_once,
    hosts: Hosts | None = None,
) -> ASGIApp:
    """Wire the routes.

    Args:
        doorkeeper: Lets callers of `/v1` in.
        status: Gives the current status document.
        not_ready: Gives the reasons why this node is not ready; empty means ready.
        not_live: Gives the reasons why the agent should be started anew; empty means it lives.
        operations: What the parts of the agent offer besides.
        settled: Returns when what was done is written down; whatever changes something is answered
            after that.
        hosts: The names by which the API may be called; None: any.
    """

    async def get_health(_request: Request) -> Response:
        if reasons := tuple(not_live()):
            return _health("not live", reasons)
        return _health("not ready", tuple(not_ready()))

    async def get_live(_request: Request) -> Response:
        return _health("not live", tuple(not_live()))

    async def get_ready(_request: Request) -> Response:
        return _health("not ready", tuple(not_ready()))

    paths: dict[str, dict[str, Endpoint]] = {
        SUMMARY: {"GET": get_health},
        LIVE: {"GET": get_live},
        READY: {"GET": get_ready},
    }
    sockets: list[BaseRoute] = []
    for offer in everything(status, operations):
        methods = paths.setdefault(offer.path, {})
        match offer:
            case Operation():
                assert offer.method not in methods, f"{offer.method} {offer.path} is offered twice"
                methods[offer.method] = _endpoint(offer, doorkeeper, settled)
            case StreamOperation():
                if offer.answer is not None:
                    methods["GET"] = _stream(offer, offer.answer, doorkeeper)
                if offer.talk is not None:
                    sockets.append(WebSocketRoute(offer.path, _Talk(offer, offer.talk, doorkeeper)))
    routes = [Route(path, _Resource(methods)) for path, methods in paths.items()]
    # A redirect would send callers to whatever host they named.
    router = Router([*sockets, *routes], redirect_slashes=False, default=_not_found)
    return Gate(router, hosts=hosts)


def _health(otherwise: str, reasons: tuple[str, ...]) -> Response:
    """Say ok, or why not; 503 is what probes take for a no."""
    health = Health(otherwise, reasons) if reasons else Health("ok")
    return document(health, status=503 if reasons else 200)


class _Resource:
    """What answers one path, by method."""

    def __init__(self, methods: dict[str, Endpoint]) -> None:
        self._methods = methods
        found = {*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        self._allow = {"allow": ", ".join(sorted(found))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = self._methods.get(method)
        if endpoint is not None:
            return await endpoint(request)
        if method == "OPTIONS":
            return Response(status_code=204, headers=self._allow)
        words = f"this path knows {self._allow['allow']}"
        return Refusal(405, "method_not_allowed", words, self._allow).response()


class _Talk:
    """A WebSocket that begins once the caller was let in."""

    def __init__(
        self,
        offer: StreamOperation,
        talk: Callable[[WebSocket, Caller], Awaitable[None]],
        doorkeeper: Doorkeeper,
    ) -> None:
        self._offer = offer
        self._talk = talk
        self._doorkeeper = doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        caller = self._doorkeeper.admit(socket, self._offer.permission)
        if isinstance(caller, Refusal):
            await refuse_websocket(caller, scope, receive, send)
        else:
            await self._talk(socket, caller)


def _stream(
    offer: StreamOperation,
    answer: Callable[[Request, Caller], Awaitable[Response]],
    doorkeeper: Doorkeeper,
) -> Endpoint:
    async def begin(request: Request) -> Response:
        caller = doorkeeper.admit(request, offer.permission)
        if isinstance(caller, Refusal):
            return caller.response()
        if request.method == "HEAD":
            return Response(media_type=offer.media_type)
        try:
            return await answer(request, caller)
        except BzzzError as exc:
            return refusal_of(exc).response()

    return begin


def _endpoint(operation: Operation, doorkeeper: Doorkeeper, settled: Settled) -> Endpoint:
    async def answer(request: Request) -> Response:
        caller = doorkeeper.admit(request, operation.permission)
        if isinstance(caller, Refusal):
            return caller.response()
        body = await body_of(request)
        if isinstance(body, Refusal):
            return body.response()
        query = request.query_params
        refusal = _odd_query(operation, query.multi_items())
        if refusal is not None:
            return refusal.response()
        call = Call(params=request.path_params, query=dict(query), body=body, caller=caller)
        try:
            try:
                if operation.query is not None:
                    call.asked(operation.query)
                value = await operation.handler(call)
            finally:
                if operation.method != "GET":
                    await settled()
        except BzzzError as exc:
            return refusal_of(exc).response()
        return document(value)

    return answer


def _odd_query(operation: Operation, items: Sequence[tuple[str, str]]) -> Refusal | None:
    """Return what stands in a query that nobody would read: a typing error is told, not ignored."""
    known = operation.query.__struct_fields__ if operation.query is not None else ()
    names = [name for name, _ in items]
    for name in names:
        if name not in known:
            words = f"the query may hold {', '.join(known)}" if known else "there is no query here"
            return Refusal(400, "request_invalid", words)
        if names.count(name) > 1:
            return Refusal(400, "request_invalid", f"{name} stands in the query more than once")
    return None


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    refusal = Refusal(404, "not_found", "there is no such path; see /v1/openapi.json")
    if scope["type"] == "websocket":
        await refuse_websocket(refusal, scope, receive, send)
    else:
        await refusal.response()(scope, receive, send)
