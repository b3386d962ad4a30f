"""`/v1/events` on the wire: the same JSON messages as server-sent events and over a WebSocket.

Every write is awaited with a deadline. A reader that takes nothing for that long is dropped: with a
last message if one still goes out, and then its connection is cut (`api.server.ABORT`), for what it
did not read would otherwise stay in memory for as long as it likes. A reader has nothing to say:
what comes over a WebSocket ends it. One whose token is withdrawn is told nothing more: that is
looked at before each piece of a message, and there is one at least each 30 s. Who is cut off within
a message hears no reason: it would have to wait for the rest. Browsers show pages of anybody, so a
WebSocket that names another origin than this host is refused before anything else is looked
at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from bzzz_core.api.answers import HEADERS, Refusal, refusal_of
from bzzz_core.api.events.hub import Events
from bzzz_core.api.events.reading import EventsQuery, Frame, Reader, position_of
from bzzz_core.api.gate import refuse_websocket
from bzzz_core.api.operations import Call, Caller, StreamOperation
from bzzz_core.api.server import PIECE_BYTES, abort_of, pieces_of
from bzzz_core.errors import BzzzError

PATH: Final = "/v1/events"
WRITE_S_MAX: Final = 10.0
"""A reader that does not take the next 64 KiB in this time is dropped, however long it takes for
all of a message."""
_BYE_S_MAX: Final = 1.0
_SAID_SOMETHING: Final = 1008
_GOING_AWAY: Final = 1001
_HEADERS: Final = {**HEADERS, "x-accel-buffering": "no"}
Write = Callable[[Frame], Awaitable[None]]
Still = Callable[[HTTPConnection, Caller], bool]
"""Whether a request would still be let in as this caller."""


def _always(_request: HTTPConnection, _caller: Caller) -> bool:
    """Say yes: nobody withdraws tokens here."""
    return True


def operation(events: Events, *, still: Still = _always) -> StreamOperation:
    """Return the route; `still` says whether who was let in may go on reading."""

    async def answer(request: Request, caller: Caller) -> Response:
        query = _asked(request)
        return _EventStream(events, query, caller, lambda: still(request, caller))

    async def talk(socket: WebSocket, caller: Caller) -> None:
        await _talk(events, socket, caller, lambda: still(socket, caller))

    return StreamOperation(
        path=PATH,
        permission="events:read",
        summary="What this node knows, then each change of it; see docs/formats/events.md",
        answer=answer,
        talk=talk,
        query=EventsQuery,
    )


def _asked(request: HTTPConnection) -> EventsQuery:
    """Return what a request asks for.

    Raises:
        RequestInvalid: It is no such query.
    """
    call = Call(params={}, query=dict(request.query_params), body=b"")
    query = call.asked(EventsQuery)
    last = position_of(request.headers.get("last-event-id", ""))
    if query.after is None and last is not None:
        query = msgspec.structs.replace(query, epoch=last.epoch, after=last.revision)
    query.named()
    return query


class _Withdrawn(OSError):
    """A reader's token was withdrawn while it was told something."""


class _EventStream(Response):
    """Server-sent events, for as long as the reader stays."""

    media_type = "text/event-stream"

    def __init__(
        self, events: Events, query: EventsQuery, caller: Caller, still: Callable[[], bool]
    ) -> None:
        """Take what to tell; nothing is told before the server calls."""
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._query = query
        self._caller = caller
        self._still = still

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""

        async def write(data: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": more})

        async def write_frame(frame: Frame) -> None:
            head = f"id: {frame.id}\n".encode() if frame.id else b""
            data = b"%sdata: %s\n\n" % (head, frame.body)
            for begin in range(0, len(data), PIECE_BYTES):
                if begin and not self._still():
                    raise _Withdrawn
                async with asyncio.timeout(WRITE_S_MAX):
                    await write(data[begin : begin + PIECE_BYTES])

        async def left() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        try:
            reader = _opened(self._events, self._query, self._caller)
        except BzzzError as exc:
            await refusal_of(exc).response()(scope, receive, send)
            return
        try:
            headers = self.raw_headers
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await write(b"retry: 1000\n\n")
            if await _tell(
                self._events, reader, write_frame, left, abort_of(scope), still=self._still
            ):
                await write(b"", more=False)
        finally:
            self._events.close(reader)


async def _talk(
    events: Events, socket: WebSocket, caller: Caller, still: Callable[[], bool]
) -> None:
    write_frame = _writer_of(socket, still)

    async def left() -> None:
        message = await socket.receive()
        if message["type"] != "websocket.disconnect":
            await socket.close(_SAID_SOMETHING, "a reader has nothing to say")

    refusal = _foreign(socket)
    if refusal is None:
        try:
            reader = _opened(events, _asked(socket), caller)
        except BzzzError as exc:
            refusal = refusal_of(exc)
    if refusal is not None:
        await refuse_websocket(refusal, socket.scope, socket.receive, socket.send)
        return
    try:
        await socket.accept()
        abort = abort_of(socket.scope)
        if await _tell(events, reader, write_frame, left, abort, still=still):
            await socket.close(_GOING_AWAY)
    except (WebSocketDisconnect, OSError):
        return  # It went while it was written to.
    finally:
        events.close(reader)


def _writer_of(socket: WebSocket, still: Callable[[], bool]) -> Write:
    def on() -> None:
        if not still():
            raise _Withdrawn

    async def write_frame(frame: Frame) -> None:
        pieces = pieces_of(socket.scope)
        assert pieces is not None, "our own server offers it"
        await pieces(frame.body, WRITE_S_MAX, on)

    return write_frame


def _opened(events: Events, query: EventsQuery, caller: Caller) -> Reader:
    return events.open(query, lines=caller.may("logs:read"), whose=caller.name)


def _foreign(socket: WebSocket) -> Refusal | None:
    """Refuse pages of other hosts; programs name no origin."""
    origin = socket.headers.get("origin")
    if origin is None or urlsplit(origin).netloc == socket.headers.get("host"):
        return None
    return Refusal(403, "permission_denied", "pages of other origins may not follow the events")


async def _tell(
    events: Events,
    reader: Reader,
    write: Write,
    left: Callable[[], Coroutine[Any, Any, None]],
    abort: Callable[[], None] | None,
    *,
    still: Callable[[], bool],
) -> bool:
    """Tell a reader until it leaves; return whether it heard the end."""
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(_write_all(events, reader, write, abort, still))
        leaving = group.create_task(left())
        await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        heard = telling.done() and telling.result()
        if not heard:
            # Dropped: the server has to learn that the connection is gone before this ends.
            await asyncio.wait({leaving}, timeout=_BYE_S_MAX)
        telling.cancel()
        leaving.cancel()
    return heard


async def _write_all(
    events: Events,
    reader: Reader,
    write: Write,
    abort: Callable[[], None] | None,
    still: Callable[[], bool],
) -> bool:
    """Write frames until the agent stops; return False if the reader went or was dropped before."""
    async with aclosing(events.frames(reader)) as frames:
        async for frame in frames:
            welcome = still()
            words = "the token that this stream began with is no longer taken"
            try:
                await write(frame if welcome else reader.bye("unauthorized", words))
            except TimeoutError:
                await _drop(reader, write, abort)
                return False
            except _Withdrawn:
                if abort is not None:
                    abort()
                return False
            except (WebSocketDisconnect, OSError):
                return False
            if not welcome:
                return True
    return True


async def _drop(reader: Reader, write: Write, abort: Callable[[], None] | None) -> None:
    try:
        async with asyncio.timeout(_BYE_S_MAX):
            words = f"took nothing for {WRITE_S_MAX:.0f} s; connect again, and read faster"
            await write(reader.bye("slow_reader", words))
    except (TimeoutError, WebSocketDisconnect, OSError):
        pass
    if abort is not None:
        abort()
