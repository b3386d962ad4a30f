"""The log on the agent's API, and how much goes into it.

    GET /v1/logs         the newest lines that are wanted; with `after`, what came since then
    GET /v1/logs/levels  what each component writes down, and why
    PUT /v1/logs/level   more or fewer words of one component, or of all, for a while

Recent lines are answered from memory, older ones from the files, which one thread reads at a time
and not for long. A wish about a level ends with its time, when it is taken back, or when the agent
ends: what shall stay belongs into the configuration. It is audited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec

from bzzz_core.api.event_documents import LogLevel, LogPage
from bzzz_core.api.operations import By, Call, Operation
from bzzz_core.config.nearest import nearest
from bzzz_core.errors import RateLimited, RequestInvalid
from bzzz_core.model import Count
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs
from bzzz_core.telemetry.components import ALL
from bzzz_core.telemetry.log_book import LogBook
from bzzz_core.telemetry.log_levels import FOR_S_MAX, Wish
from bzzz_core.telemetry.log_line import LogLine
from bzzz_core.telemetry.log_search import (
    LINES_MAX,
    SEARCH_S_MAX,
    TEXT_MAX,
    Found,
    Wanted,
    among,
    in_files,
    wanted,
)

_LINES: Final = 200
_MEMORY_S_MAX: Final = 0.003
"""How long the event loop looks at lines in memory; what takes longer goes to the thread, and so
does every pattern."""
_SEARCHES_MAX: Final = 4

Held: TypeAlias = tuple[LogLine, ...]
"""What is in memory, in its order."""
Result = TypeVar("Result")


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Query of `GET /v1/logs`: which lines."""

    level: LogLevel | None = None
    """At least."""
    component: Annotated[str, msgspec.Meta(max_length=64)] = ""
    text: Annotated[str, msgspec.Meta(max_length=TEXT_MAX)] = ""
    """In the words of a line or in its fields, in whatever case."""
    regex: bool = False
    """Whether the text is a regular expression (without back references or looking around)."""
    trace: Annotated[str, msgspec.Meta(max_length=32)] = ""
    since: Annotated[str, msgspec.Meta(max_length=40)] = ""
    """A time like 2026-01-31T12:00:00Z."""
    until: Annotated[str, msgspec.Meta(max_length=40)] = ""
    after: Count | None = None
    """Lines in memory with higher numbers, the oldest first; else the newest of all lines."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=LINES_MAX)] = _LINES


class LevelWish(msgspec.Struct, frozen=True, kw_only=True):
    """Body of `PUT /v1/logs/level`."""

    level: LogLevel | None
    """None: as configured again."""
    component: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Empty: all that are not named by a wish of their own."""
    for_s: Annotated[int, msgspec.Meta(ge=1, le=FOR_S_MAX)] | None = None
    """None: as long as the agent runs."""
    by: By = ""


class ComponentLevel(msgspec.Struct, frozen=True):
    """What one component writes down."""

    component: str
    """Empty: what holds for all others."""
    about: str
    level: str
    configured: str
    wished: bool
    """Whether somebody wished for it, so that it ends."""
    left_s: int | None
    """How long the wish holds yet; None: as long as the agent runs, or there is none."""


class LevelsDocument(msgspec.Struct, frozen=True):
    """`GET /v1/logs/levels`, and the answer to a wish."""

    node: str
    components: tuple[ComponentLevel, ...]


class LogApi:
    """Answers for one agent."""

    def __init__(
        self,
        book: LogBook,
        *,
        directory: Callable[[], Path],
        clock: Clock,
        audit: Callable[..., None],
    ) -> None:
        """Answer nothing yet.

        Args:
            book: The log of this process.
            directory: Gives where its files are.
            clock: For the ends of wishes.
            audit: Hears of every change of a level.
        """
        self._book = book
        self._directory = directory
        self._clock = clock
        self._audit = audit
        self._log = logs.get("log")
        self._changed = asyncio.Event()
        self._searches = 0
        self._searcher = ThreadPoolExecutor(1, thread_name_prefix="log-search")

    def operations(self) -> list[Operation]:
        """Return what is offered."""
        return [
            Operation(
                "GET",
                "/v1/logs",
                self._get,
                "logs:read",
                "Lines of this node's log",
                answers=LogPage,
                query=LogQuery,
            ),
            Operation(
                "GET",
                "/v1/logs/levels",
                self._get_levels,
                "logs:read",
                "What each component writes down, and why",
                answers=LevelsDocument,
            ),
            Operation(
                "PUT",
                "/v1/logs/level",
                self._put_level,
                "logs:write",
                "Have more or fewer words of one component, or of all, for a while",
                takes=LevelWish,
                answers=LevelsDocument,
            ),
        ]

    async def run(self) -> None:
        """End wishes when their time is over, until cancelled; sleeps while there is none."""
        levels = self._book.levels
        try:
            while True:
                self._changed.clear()
                end_ms = levels.next_end_ms
                left_ms = None if end_ms is None else end_ms - self._clock.now_ms()
                if left_ms is None:
                    await self._changed.wait()
                elif left_ms > 0:
                    await self._wait(left_ms)
                for component in levels.expire(self._clock.now_ms()):
                    logs.levels_changed()
                    self._audit("log level changed", actor="time", component=component, level=None)
                    self._log.info("a wished level is over", of=component or "all")
        finally:
            self._searcher.shutdown(wait=False, cancel_futures=True)

    async def _wait(self, duration_ms: int) -> None:
        """Return after a while, or when wishes changed."""
        async with asyncio.TaskGroup() as either:
            tasks = [
                either.create_task(self._clock.sleep_ms(duration_ms)),
                either.create_task(self._wait_for_change()),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    async def _wait_for_change(self) -> None:
        await self._changed.wait()

    async def _get(self, call: Call) -> LogPage:
        query = call.asked(LogQuery)
        limit, after = query.limit, query.after
        wish = wanted(
            level=query.level or "",
            component=query.component,
            text=query.text,
            regex=query.regex,
            trace=query.trace,
            since=query.since,
            until=query.until,
        )
        if after is not None:
            if wish.pattern is None:
                return self._after(wish, after, limit)
            return await self._in_thread(partial(self._after, wish, after, limit))
        held = self._book.ring.newest()
        last = held[-1].number if held else 0
        found = Found((), complete=False)
        if wish.pattern is None:
            deadline_s = time.monotonic() + _MEMORY_S_MAX
            found = among(reversed(held), wish, limit=limit, deadline_s=deadline_s)
        if not found.complete or _may_be_older(held, wish, found, limit):
            found = await self._in_thread(partial(_search, self._directory(), held, wish, limit))
        return self._page(found.lines, last=last, complete=found.complete)

    def _after(self, wish: Wanted, after: int, limit: int) -> LogPage:
        held = self._book.ring.since(after, limit=LINES_MAX)
        lines: list[LogLine] = []
        last = after if held.lines else self._book.ring.last
        for line in held.lines:
            if len(lines) == limit:
                break
            last = line.number
            if wish.matches(line):
                lines.append(line)
        return self._page(tuple(lines), last=last, complete=True, lost=held.lost)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if self._searches >= _SEARCHES_MAX:
            raise RateLimited("too many searches of the log at once; try again in a moment")
        self._searches += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._searcher, work)
        finally:
            self._searches -= 1

    def _page(
        self, lines: tuple[LogLine, ...], *, last: int, complete: bool, lost: int = 0
    ) -> LogPage:
        book = self._book
        return LogPage(
            node=book.node, lines=lines, next=last, lost=lost, life=book.life, complete=complete
        )

    async def _get_levels(self, call: Call) -> LevelsDocument:
        del call
        return self._document()

    async def _put_level(self, call: Call) -> LevelsDocument:
        body = call.read(LevelWish)
        name = body.component
        if name and name not in ALL:
            raise RequestInvalid(f"no part of BZZZ is called {name}{nearest(name, list(ALL))}")
        until_ms = None if body.for_s is None else self._clock.now_ms() + 1_000 * body.for_s
        wish = None if body.level is None else Wish(body.level, until_ms)
        self._audit(
            "log level changed",
            actor=call.actor(body.by),
            component=name,
            level=body.level,
            for_s=body.for_s,
        )
        self._book.levels.wish(name, wish)
        logs.levels_changed()
        self._changed.set()
        self._log.info(
            "level wished", of=name or "all", wished=body.level or "as configured", by=body.by
        )
        return self._document()

    def _document(self) -> LevelsDocument:
        now_ms = self._clock.now_ms()
        components = []
        for name, found in self._book.levels.in_force().items():
            until_ms = found.wish.until_ms if found.wish else None
            left_s = None if until_ms is None else max(0, -(-(until_ms - now_ms) // 1_000))
            about = ALL.get(name, "all others")
            wished = found.wish is not None
            components.append(
                ComponentLevel(name, about, found.level, found.configured, wished, left_s)
            )
        return LevelsDocument(self._book.node, tuple(components))


def _may_be_older(held: Held, wish: Wanted, found: Found, limit: int) -> bool:
    """Return whether there may be wanted lines that are no longer in memory."""
    if len(found.lines) >= limit:
        return False
    return not held or not wish.since_at or held[0].at >= wish.since_at


def _search(directory: Path, held: Held, wish: Wanted, limit: int) -> Found:
    """Search in memory and then in the files. Blocking."""
    deadline_s = time.monotonic() + SEARCH_S_MAX / 2
    here = among(reversed(held), wish, limit=limit, deadline_s=deadline_s)
    if not here.complete or not _may_be_older(held, wish, here, limit):
        return here
    left = limit - len(here.lines)
    older = in_files(directory, wish, limit=left, before=_older_than(held))
    return Found((*older.lines, *here.lines), older.complete)


def _older_than(held: Held) -> Callable[[LogLine], bool]:
    """Return what tells lines that are no longer in memory from those that are.

    Files do not say in which life of the agent a line was written. The time does, and within one
    millisecond the number.
    """
    if not held:
        return lambda _line: True
    first = held[0]
    return lambda line: (line.at, line.number) < (first.at, first.number)
