"""Routes, authentication and server of the agent's API.

Rules: every route under `/v1` wants the token, compared in constant time; health routes want none
and say nothing about the cluster. A refusal is an `ErrorDocument`. No route takes a body yet, so
none is read.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bzzz_core.api.documents import ErrorBody, ErrorDocument, Health, Status
from bzzz_core.config.secrets import Secret
from bzzz_core.errors import ConfigError

_STOP_SECONDS_MAX = 3
Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    *, token: Secret, status: Callable[[], Status], not_ready: Callable[[], Sequence[str]]
) -> Starlette:
    """Wire the routes.

    Args:
        token: What callers of `/v1` present as bearer token.
        status: Gives the current status document.
        not_ready: Gives the reasons why this node is not ready; empty means ready.
    """
    expected = token.reveal().encode()

    def guarded(endpoint: Endpoint) -> Endpoint:
        async def check(request: Request) -> Response:
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            known = hmac.compare_digest(given.strip().encode(), expected)
            if scheme.lower() != "bearer" or not known:
                return _refuse(401, "unauthorized", "present the API token as a bearer token")
            return await endpoint(request)

        return check

    async def get_status(_request: Request) -> Response:
        return _json(status())

    async def get_live(_request: Request) -> Response:
        return _json(Health("ok"))

    async def get_ready(_request: Request) -> Response:
        reasons = tuple(not_ready())
        health = Health("not ready", reasons) if reasons else Health("ok")
        return _json(health, code=503 if reasons else 200)

    routes = [
        Route("/v1/status", guarded(get_status), methods=["GET"]),
        Route("/health/live", get_live, methods=["GET"]),
        Route("/health/ready", get_ready, methods=["GET"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _on_http_error})


class ApiServer:
    """Serves the app on one address until cancelled."""

    def __init__(self, app: Starlette, *, host: str, port: int) -> None:
        """Bind nothing yet."""
        self._place = (host, port)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_STOP_SECONDS_MAX,
            limit_concurrency=256,
            h11_max_incomplete_event_size=16_384,
        )
        self._server = _Server(config)

    @property
    def started(self) -> bool:
        """Return whether callers can connect."""
        return self._server.started

    async def run(self) -> None:
        """Serve until cancelled, then close the port and what is still open.

        Raises:
            ConfigError: The address is not ours or the port is taken.
        """
        host, port = self._place
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family, backlog=128)
        except OSError as exc:
            raise ConfigError(f"API cannot listen on {host} port {port}: {exc.strerror}") from exc
        try:
            await self._server.serve(sockets=[listener])
        finally:
            if self._server.started:
                await self._server.shutdown(sockets=[listener])
            listener.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the agent has one way to stop, and it is not this."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _json(document: msgspec.Struct, *, code: int = 200) -> Response:
    body = msgspec.json.encode(document)
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(body, status_code=code, media_type="application/json", headers=headers)


def _refuse(status_code: int, code: str, message: str) -> Response:
    response = _json(ErrorDocument(ErrorBody(code, message)), code=status_code)
    if status_code == 401:  # noqa: PLR2004  Unauthorized
        response.headers["www-authenticate"] = "Bearer"
    return response


async def _on_http_error(_request: Request, exc: Exception) -> Response:
    status_code = exc.status_code if isinstance(exc, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status_code, "error")
    return _refuse(status_code, code, code.replace("_", " "))
