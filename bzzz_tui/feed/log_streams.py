"""The logs of several nodes at once, one stream each, for as long as somebody looks at them.

Theory of operation
-------------------
Each host is asked for its newest lines, then followed from there. A stream that ends is begun
again after 1, 2, 4, 8 s, then every 8 s, and goes on where it stopped: the page that begins it says
which life of the agent the numbers belong to, so a line is neither told twice nor passed over, and
what the agent no longer holds is told as missed. An agent that tells no events is asked for new
lines once a second instead. Answers that lead to the same question again count as an ended stream.

Rules: a host that fails is an event, never an exception here; cancelling `run` closes everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import urlencode

import msgspec

from bzzz_core.api.event_documents import LOGS, Bye, Lines, LogPage, Message
from bzzz_core.api.event_stream import Follow
from bzzz_core.errors import BzzzError, NotOffered, TransportError
from bzzz_core.ports import Clock
from bzzz_core.telemetry.log_line import LogLine

HOSTS_MAX: Final = 32
"""Hosts that are followed; each costs a connection, through SSH a login."""
HISTORY: Final = 500
"""Lines that a host is asked for to begin with."""
_PAGE: Final = 1_000
_POLL_MS: Final = 1_000
_BACKOFF_MS: Final = (1_000, 2_000, 4_000, 8_000)
_CONNECT_S_MAX: Final = 10.0
_BEAT_MS: Final = 5_000


class LogHost(Protocol):
    """One host that can be asked for its log; a `Source` is one."""

    @property
    def name(self) -> str:
        """Return the host's name, as the profile calls it."""
        ...

    async def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Ask for an operation of the API.

        Raises:
            BzzzError: Unreachable, or the agent refused.
        """
        ...

    def follow(self, asked: Follow) -> AsyncGenerator[Message, None]:
        """Yield the messages of its event stream.

        Raises:
            NotOffered: Its agent has none.
            BzzzError: Unreachable, refused, or no messages.
        """
        ...

    async def close(self) -> None:
        """Drop the connection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    """Lines of one host's log, in their order."""

    host: str
    node: str
    lines: tuple[LogLine, ...]
    missed: int = 0
    """Lines before these that nobody can get any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How it stands with one host."""

    host: str
    problem: str
    """Why nothing comes from it at the moment; empty: it is followed."""


LogEvent: TypeAlias = Wrote | Heard


@dataclass(slots=True)
class Place:
    """Where one stream stands."""

    life: str = ""
    after: int | None = None
    """Number of the last line that was told; None: none yet."""
    polled: bool = False


class LogStreams:
    """Follows the logs of some hosts."""

    def __init__(
        self,
        hosts: Sequence[LogHost],
        *,
        clock: Clock,
        emit: Callable[[LogEvent], None],
        places: dict[str, Place] | None = None,
        history: int = HISTORY,
    ) -> None:
        """Ask nobody yet.

        Args:
            hosts: Whose logs; of more than `HOSTS_MAX` the rest is told as a problem.
            clock: For waits.
            emit: Called with each event.
            places: Host -> where its stream stands; kept up to date, so that other streams may go
                on from there later.
            history: How many lines to begin with.
        """
        self._hosts = hosts[:HOSTS_MAX]
        self._beyond = hosts[HOSTS_MAX:]
        self._clock = clock
        self._emit = emit
        self._places = {} if places is None else places
        self._history = history

    async def run(self) -> None:
        """Follow until cancelled."""
        for host in self._beyond:
            self._emit(Heard(host=host.name, problem=f"only {HOSTS_MAX} hosts are followed"))
        async with asyncio.TaskGroup() as group:
            for host in self._hosts:
                group.create_task(self._keep(host))

    async def _keep(self, host: LogHost) -> None:
        place, failures = self._places.setdefault(host.name, Place()), 0
        try:
            while True:
                begun_ms = self._clock.now_ms()
                try:
                    await self._follow(host, place)
                    problem = "its stream of lines ended"
                except BzzzError as exc:
                    problem = str(exc)
                except TimeoutError:
                    problem = f"no answer within {_CONNECT_S_MAX:g} s"
                self._emit(Heard(host=host.name, problem=problem))
                await host.close()
                if self._clock.now_ms() - begun_ms > _BACKOFF_MS[-1]:
                    failures = 0
                await self._clock.sleep_ms(_BACKOFF_MS[min(failures, len(_BACKOFF_MS) - 1)])
                failures += 1
        finally:
            await host.close()

    async def _follow(self, host: LogHost, place: Place) -> None:
        """Tell what a host writes until its stream ends.

        Raises:
            BzzzError: It cannot be reached, or refuses.
            TimeoutError: It does not answer.
        """
        page = await self._begin(host, place)
        self._emit(Heard(host=host.name, problem=""))
        if not place.polled:
            try:
                await self._stream(host, place, page.node)
            except NotOffered:
                place.polled = True
        while place.polled:
            await self._clock.sleep_ms(_POLL_MS)
            await self._begin(host, place)

    async def _stream(self, host: LogHost, place: Place, node: str) -> None:
        asked = Follow(topics=(LOGS,), beat_ms=_BEAT_MS, after_line=place.after)
        async with aclosing(host.follow(asked)) as messages:
            async for message in messages:
                if isinstance(message, Lines):
                    self._tell(host, place, node, message.lines, missed=message.lost)
                elif isinstance(message, Bye):
                    raise TransportError(message.words)

    async def _begin(self, host: LogHost, place: Place) -> LogPage:
        """Tell what was written since the place, or the newest lines; return the last page.

        Raises:
            BzzzError: It cannot be reached, refuses, or its answers lead nowhere.
            TimeoutError: It does not answer.
        """
        anew = False
        while True:
            page = await _page(host, after=place.after, limit=self._limit(place))
            if place.after is not None and page.life != place.life:
                # Another life counts anew; all of its lines are new to us.
                place.after, place.life = 0, page.life
                if anew:
                    raise TransportError(f"{host.name} counts its lines anew with every answer")
                anew = True
                continue
            before, place.life = place.after, page.life
            full = before is not None and len(page.lines) == _PAGE
            if full and page.next <= (before or 0):
                raise TransportError(f"{host.name} comes back to line {page.next} every time")
            self._tell(host, place, page.node, page.lines, missed=page.lost)
            place.after = max(page.next, before or 0)
            if not full:
                return page

    def _limit(self, place: Place) -> int:
        return self._history if place.after is None else _PAGE

    def _tell(
        self, host: LogHost, place: Place, node: str, lines: Sequence[LogLine], *, missed: int
    ) -> None:
        if lines:
            place.after = max(place.after or 0, lines[-1].number)
        if lines or missed:
            self._emit(Wrote(host=host.name, node=node, lines=tuple(lines), missed=missed))


async def _page(host: LogHost, *, after: int | None, limit: int) -> LogPage:
    query = {"limit": limit} if after is None else {"limit": limit, "after": after}
    async with asyncio.timeout(_CONNECT_S_MAX):
        answer = await host.call("GET", f"/v1/logs?{urlencode(query)}")
    try:
        return msgspec.convert(answer, LogPage)
    except msgspec.ValidationError as exc:
        raise TransportError(f"{host.name}: no page of a log: {exc}") from exc
