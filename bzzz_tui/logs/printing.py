"""The logs of all nodes as lines of text, merged: for pipes and screen readers.

Lines are gathered for a moment before they are printed, so that those of several nodes come in the
order of their times; one that is later than that is printed where it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from bzzz_core.errors import ConfigError, plainly
from bzzz_core.ports import Clock
from bzzz_tui.feed.log_streams import Heard, LogEvent, LogHost, LogStreams, Wrote
from bzzz_tui.feed.opening import Target, sources_of
from bzzz_tui.logs.book import LogBook
from bzzz_tui.logs.copies import as_text, document
from bzzz_tui.logs.fields import filter_of
from bzzz_tui.logs.selection import Test
from bzzz_tui.query import QueryError
from bzzz_tui.wording import clean

if TYPE_CHECKING:
    from bzzz_tui.plain import How

EXIT_NOBODY_ANSWERS: Final = 3
_GATHER_MS: Final = 300


def run(target: Target, *, clock: Clock, how: How, write: Callable[[str], None]) -> int:
    """Print lines until interrupted, or with `once` those there are; return the exit code.

    Raises:
        ConfigError: The filter is none, or the target is wrong.
    """
    try:
        test = filter_of(how.query)
    except QueryError as exc:
        raise ConfigError(f"--filter, character {exc.at + 1}: {exc}") from exc
    printed = PrintedLogs(sources_of(target), clock=clock, test=test, write=write)
    return asyncio.run(printed.run(once=how.once, as_json=how.as_json))


class PrintedLogs:
    """Follows hosts and prints."""

    def __init__(
        self,
        hosts: Sequence[LogHost],
        *,
        clock: Clock,
        test: Test,
        write: Callable[[str], None],
    ) -> None:
        """Print nothing yet.

        Args:
            hosts: Whose logs.
            clock: For waits.
            test: What a line must pass.
            write: Takes one line.
        """
        self._hosts = hosts
        self._clock = clock
        self._test = test
        self._write = write
        self._events: asyncio.Queue[LogEvent] = asyncio.Queue()
        self._due = {host.name for host in hosts}
        """Hosts of which nothing was heard yet."""
        self._problems: dict[str, str] = {}

    async def run(self, *, once: bool, as_json: bool) -> int:
        """Print until cancelled; with `once` until every host has said something."""
        streams = LogStreams(self._hosts, clock=self._clock, emit=self._events.put_nowait)
        with plainly():
            async with asyncio.TaskGroup() as group:
                running = group.create_task(streams.run())
                while True:
                    lines = await self._gathered()
                    if not once or not self._due:
                        self._print(lines, as_json=as_json)
                    if once and not self._due:
                        running.cancel()
                        break
        return EXIT_NOBODY_ANSWERS if len(self._problems) == len(self._hosts) else 0

    async def _gathered(self) -> LogBook:
        """Return what comes within a moment, or, to begin with, until every host was heard."""
        book = LogBook()
        self._take(await self._events.get(), book)
        while True:
            await self._clock.sleep_ms(_GATHER_MS)
            while not self._events.empty():
                self._take(self._events.get_nowait(), book)
            if not self._due:
                return book

    def _take(self, event: LogEvent, book: LogBook) -> None:
        match event:
            case Wrote():
                book.add(event.node, event.lines)
                if event.missed:
                    self._write(f"({clean(event.node)}: {event.missed} lines are lost)")
            case Heard():
                self._due.discard(event.host)
                if event.problem:
                    if self._problems.get(event.host) != event.problem:
                        self._write(f"({clean(event.host)}: {clean(event.problem)})")
                    self._problems[event.host] = event.problem
                else:
                    self._problems.pop(event.host, None)

    def _print(self, book: LogBook, *, as_json: bool) -> None:
        for entry in book.entries:
            if self._test(entry):
                encoded = msgspec.json.encode(document(entry)).decode() if as_json else ""
                self._write(encoded or as_text(entry))
