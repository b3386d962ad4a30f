"""What the log view costs: searching 100,000 lines, filtering them, and showing 100 a second."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from textual.app import App, ComposeResult
from textual.widgets import Log

from bzzz_core.telemetry.log_line import LogLine
from bzzz_tui.app_base import AppBase
from bzzz_tui.logs.book import LogBook
from bzzz_tui.logs.fields import filter_of
from bzzz_tui.logs.matching import match_of
from bzzz_tui.logs.shown import ShownLines
from bzzz_tui.terminal import Terminal
from bzzz_tui.widgets.log_view import LogView
from bzzz_tui.wording import UNICODE

LINES = 100_000
SEARCHED = (
    "waiting",
    "absent words",
    "/lost|elected/",
    "/term.*leader/",
    r"/ms=\d+9/",
    "/^bzzz-3 .*lost/",
)
"""Words, and patterns between slashes."""
FILTERED = ("level=warning+", "component=fabric lost", "node=bzzz-2 !peer")
PER_S = 100
SECONDS = 4
SIZE = (120, 40)
_WORDS = ("attached", "broker", "lost", "term", "leader", "elected", "waiting", "answer", "peer")
_BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def lines(count: int, *, seed: int = 1) -> Iterator[tuple[str, list[LogLine]]]:
    """Yield lines of five nodes as agents write them, twenty at a time."""
    dice = random.Random(seed)
    for begin in range(0, count, 20):
        node = f"bzzz-{begin // 20 % 5 + 1}"
        yield (
            node,
            [
                LogLine(
                    number=begin + n + 1,
                    at=(_BEGIN + timedelta(milliseconds=20 * (begin + n))).isoformat(),
                    node=node,
                    level=dice.choice(("debug", "info", "info", "warning", "error")),
                    component=dice.choice(("agent", "fabric", "roster", "leadership")),
                    text=" ".join(dice.choices(_WORDS, k=7)),
                    fields={"peer": f"{dice.getrandbits(100):026x}", "ms": str(n)},
                )
                for n in range(20)
            ],
        )


@dataclass(frozen=True, slots=True)
class Filled:
    """A book of `LINES` lines, and what it took to fill it."""

    book: LogBook
    add_us: float
    """CPU of one line."""


def filled() -> Filled:
    """Return a book of lines of five nodes."""
    held = LogBook(bytes_max=10**9)
    begin = time.process_time()
    for node, some in lines(LINES):
        held.add(node, some)
    took = time.process_time() - begin
    assert len(held.entries) == LINES
    return Filled(held, took / LINES * 1e6)


@dataclass(frozen=True, slots=True)
class Found:
    """What came of going through all lines."""

    count: int
    cpu_ms: float


def search(book: LogBook, text: str) -> Found:
    """Search all lines for words, or for a pattern between slashes."""
    shown = ShownLines(book)

    def work() -> None:
        shown.look_for(match_of(text))
        _to_the_end(shown)

    took = _cpu_ms(work)
    return Found(len(shown.matches), took)


def choose(book: LogBook, text: str) -> Found:
    """Filter all lines."""
    shown = ShownLines(book)

    def work() -> None:
        shown.choose(filter_of(text))
        _to_the_end(shown)

    took = _cpu_ms(work)
    return Found(len(shown.entries), took)


def longest_slice_ms(book: LogBook) -> float:
    """Return how long a search holds up the screen at a time."""
    shown = ShownLines(book)
    shown.look_for(match_of("/lost|elected/"))
    longest = 0.0
    while shown.progress is not None:
        begin = time.process_time()
        shown.work(lambda: False)
        longest = max(longest, time.process_time() - begin)
    return longest * 1_000


def _to_the_end(shown: ShownLines) -> None:
    while shown.progress is not None:
        shown.work(lambda: True)


def _cpu_ms(work: Callable[[], object], times: int = 3) -> float:
    least = float("inf")
    for _ in range(times):
        begin = time.process_time()
        work()
        least = min(least, time.process_time() - begin)
    return least * 1_000


class _Clock:
    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1_000)


class _OurApp(AppBase):
    def __init__(self) -> None:
        terminal = Terminal(plain=False, theme="bzzz-dark", mouse=False, ascii=False, remote=False)
        super().__init__(terminal=terminal, clock=_Clock())
        self.lines = ShownLines(LogBook())
        self.view = LogView(self.lines, UNICODE, empty="", id="lines")

    def compose(self) -> ComposeResult:
        yield self.view


class _LogApp(App[None]):
    def compose(self) -> ComposeResult:
        yield Log()


async def _ours(some: list[tuple[str, list[LogLine]]]) -> tuple[float, float]:
    app = _OurApp()
    async with app.run_test(size=SIZE) as pilot:
        waiting: list[tuple[str, list[LogLine]]] = []
        await pilot.pause(0.5)
        begin = time.process_time()
        for at, each in enumerate(some):
            waiting.append(each)
            if at % 30 == 29:  # As the view does: three times a second.
                for node, lines_of_node in waiting:
                    app.view.changed(app.lines.add(node, lines_of_node))
                waiting = []
                await pilot.pause(0.3)
        busy = time.process_time() - begin
        begin = time.process_time()
        await pilot.pause(1)
        return busy, time.process_time() - begin


async def _textuals(some: list[tuple[str, list[LogLine]]]) -> float:
    app = _LogApp()
    async with app.run_test(size=SIZE) as pilot:
        log = app.query_one(Log)
        waiting: list[str] = []
        await pilot.pause(0.5)
        begin = time.process_time()
        for at, (node, lines_of_node) in enumerate(some):
            waiting += [f"{each.at} {node} {each.text}" for each in lines_of_node]
            if at % 30 == 29:
                log.write_lines(waiting)
                waiting = []
                await pilot.pause(0.3)
        return time.process_time() - begin


@dataclass(frozen=True, slots=True)
class Followed:
    """CPU milliseconds a second of showing `PER_S` lines a second, each as it comes."""

    ours: float
    theirs: float
    """Of Textual's `Log`."""
    idle: float
    """Of ours while no line comes."""


def followed() -> Followed:
    """Show lines that come one by one; a second of them is painted three times by either."""
    some = [(node, [each]) for node, many in lines(PER_S * SECONDS) for each in many]
    ours, idle = asyncio.run(_ours(some))
    theirs = asyncio.run(_textuals(some))
    return Followed(ours / SECONDS * 1_000, theirs / SECONDS * 1_000, idle * 1_000)
