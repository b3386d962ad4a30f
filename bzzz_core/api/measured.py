"""Tells how long every request of an app took and how it was answered, by the route that matched.

Streams that do not end by themselves are told when they end.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Note = Callable[[str, str, int, float], None]
"""(route's template, method, status, seconds)."""
NO_ROUTE = "none"
"""Of requests that ask for what is not there: their paths are the caller's words."""


def measured(app: ASGIApp, note: Note) -> ASGIApp:
    """Return the app with every HTTP request of it told to `note`."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        status = 500  # Of an app that fails before it says anything.
        began_s = perf_counter()

        async def listen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, listen)
        finally:
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            note(route, scope["method"], status, perf_counter() - began_s)

    return answer
