"""The join listener: what a machine without a certificate may ask, and nothing else.

    POST /v1/join    a signed request with the proof of a token, passed on to the leader

It speaks TLS with the node's own chain and asks callers for no certificate, since they have none.
It is a server of its own on a port of its own, so nothing of the API can be reached through it by
accident. Only voters listen; a node that becomes one begins, a node that votes no more ends.

Everybody who can reach the port can ask: bodies, time, and attempts per address and in all are
bounded, and what is refused is counted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bzzz_core.api.documents import ErrorBody, ErrorDocument
from bzzz_core.api.operations import status_of
from bzzz_core.api.server import ApiServer
from bzzz_core.enrolment.limit import AttemptLimit
from bzzz_core.enrolment.messages import JoinAnswer, JoinRequest, pack, unpack
from bzzz_core.errors import BzzzError, RateLimited, RequestInvalid, RequestTimeout, plainly
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import reload_chain, server_context

BODY_BYTES_MAX: Final = 65_536
PATH: Final = "/v1/join"
_AT_A_TIME_MAX: Final = 8
_BODY_S_MAX: Final = 10
_BURST: Final = 10
_REFILL_MS: Final = 6_000
_LOOK_MS: Final = 1_000
_AGAIN_MS: Final = 5_000
_TOO_MANY: Final = 429

PassOn = Callable[[bytes], Awaitable[bytes]]


class JoinListener:
    """Serves joins while this node votes."""

    def __init__(
        self,
        *,
        secrets: SecretsDirectory,
        place: tuple[str, int],
        votes: Callable[[], bool],
        pass_on: PassOn,
        clock: Clock,
    ) -> None:
        """Listen nowhere yet.

        Args:
            secrets: Where the node's chain is.
            place: Host and port to listen on.
            votes: Whether this node votes now.
            pass_on: Puts a packed `JoinRequest` to the leader, returns a packed `JoinAnswer`.
            clock: For the looks.
        """
        self._secrets = secrets
        self._place = place
        self._votes = votes
        self._pass_on = pass_on
        self._clock = clock
        self._log = logs.get("join")
        self._limit = AttemptLimit(burst=_BURST, refill_ms=_REFILL_MS)
        self._working = 0
        self.counters: Counter[str] = Counter()
        """join_requests, and refusals here by the code of their error."""

    async def run(self) -> None:
        """Listen whenever this node votes, until cancelled."""
        while True:
            if not self._votes():
                await self._clock.sleep_ms(_LOOK_MS)
                continue
            try:
                await self._serve()
            except BzzzError as exc:
                # Without this port nobody can join; everything else goes on.
                self._log.warning("joins are not taken here", reason=str(exc))
                await self._clock.sleep_ms(_AGAIN_MS)

    def app(self) -> Starlette:
        """Return the one route."""
        return Starlette(routes=[Route(PATH, self._post, methods=["POST"])])

    async def _serve(self) -> None:
        context = server_context(self._secrets)
        host, port = self._place
        server = ApiServer(self.app(), host=host, port=port, context=context)
        shown = self._stamp()
        with plainly():
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.run(), name="join-listener")
                while self._votes() and not serving.done():
                    await self._clock.sleep_ms(_LOOK_MS)
                    if self._stamp() != shown:
                        reload_chain(context, self._secrets)
                        shown = self._stamp()
                serving.cancel()

    def _stamp(self) -> tuple[int, int]:
        try:
            found = self._secrets.node_certificate.stat()
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino

    async def _post(self, request: Request) -> Response:
        self.counters["join_requests"] += 1
        try:
            self._spend(request)
            if self._working >= _AT_A_TIME_MAX:
                raise RateLimited("too many nodes join at the same time; try again in a moment")
            self._working += 1
            try:
                return _json(await self._join(request))
            finally:
                self._working -= 1
        except BzzzError as exc:
            return self._refuse(exc)

    async def _join(self, request: Request) -> JoinAnswer:
        try:
            async with asyncio.timeout(_BODY_S_MAX):
                body = await _body(request)
        except TimeoutError as exc:
            raise RequestTimeout("the request came too slowly") from exc
        try:
            asked = msgspec.json.decode(body, type=JoinRequest)
        except (ValueError, RecursionError) as exc:
            raise RequestInvalid(f"malformed JoinRequest: {exc}") from exc
        return unpack(await self._pass_on(pack(asked)), JoinAnswer)

    def _spend(self, request: Request) -> None:
        source = request.client.host if request.client else "unknown"
        self._limit.spend(source, self._clock.now_ms())

    def _refuse(self, error: BzzzError) -> Response:
        self.counters[f"join_refused_{error.code}"] += 1
        code = _TOO_MANY if isinstance(error, RateLimited) else status_of(error)
        return _json(ErrorDocument(ErrorBody(error.code, str(error))), code)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise RequestInvalid(f"a request to join has at most {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _json(document: object, code: int = 200) -> Response:
    return Response(
        msgspec.json.encode(document),
        status_code=code,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
