"""The overview: one cluster at a glance, live.

A service runs the feed; each of its events is posted as a message, folded into the store, and what
changed is painted. Once a second the ages are painted too, so that data that no longer arrives is
seen to grow old. Nothing here decides anything: `bzzz_tui.view` words it, `bzzz_tui.store` knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Protocol, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen

from bzzz_core.errors import BzzzError
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_tui import view
from bzzz_tui.actions import Scope, bindings, hints
from bzzz_tui.app_base import AppBase, end_service
from bzzz_tui.parts import Fact, Line, fact_line
from bzzz_tui.store import FeedEvent, Link, LinkPhase, Store
from bzzz_tui.widgets.bars import HintBar, TitledRule
from bzzz_tui.widgets.columns import Placed
from bzzz_tui.widgets.event_tail import EventTail
from bzzz_tui.widgets.live_table import LiveTable
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.widgets.top_line import Banner, TopLine
from bzzz_tui.wording import Glyphs, Tone, span

_TICK_S = 1.0
_FIRST_FRAME_S = 0.03
_REST_LINES = 14
_SHORT_LINES = 20
"""Lines of all other bands, four events among them."""


class Feed(Protocol):
    """What keeps the overview up to date."""

    async def run(self) -> None:
        """Emit events until cancelled."""
        ...

    def hurry(self) -> None:
        """Ask now instead of at the next turn."""
        ...


OpenFeed = Callable[[Callable[[FeedEvent], None]], Awaitable[Feed]]
"""Builds a feed that calls the given function for each event."""


class _StoreRows:
    """The store as a table sees it."""

    def __init__(self, store: Store, clock: Clock, glyphs: Glyphs) -> None:
        self._store = store
        self._clock = clock
        self._glyphs = glyphs

    def order(self) -> Sequence[str]:
        """Return the hosts in the order of their names."""
        return self._store.order

    def version(self, row: str) -> int:
        """Return the version of one host's row."""
        return self._store.rows[NodeId(row)].version

    def cells(self, row: str, placed: Sequence[Placed]) -> Sequence[Line]:
        """Return one host's cells."""
        age_ms = self._store.age_ms(self._clock.now_ms()) or 0
        return view.cells(self._store.rows[NodeId(row)], age_ms, placed, self._glyphs)


class Overview(Screen[None]):
    """The live screen of one cluster."""

    CSS_PATH = "overview.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.TABLE, Scope.OVERVIEW)]
    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.OVERVIEW, Scope.TABLE, Scope.EVERYWHERE)

    class Arrived(Message):
        """The feed has something."""

        def __init__(self, event: FeedEvent) -> None:
            """Carry one event."""
            super().__init__()
            self.event = event

    class Failed(Message):
        """There is no feed and there will be none."""

        def __init__(self, error: BzzzError) -> None:
            """Carry the reason."""
            super().__init__()
            self.error = error

    def __init__(self, open_feed: OpenFeed, *, clock: Clock, glyphs: Glyphs) -> None:
        """Take how to open the feed; nothing is opened before the screen is shown."""
        super().__init__()
        self._open_feed = open_feed
        self._clock = clock
        self._glyphs = glyphs
        self._feed: Feed | None = None
        self._service: asyncio.Task[None] | None = None
        self._paused_ms: int | None = None
        self._was_stale = False
        self._failed = False
        self.store = Store(now_ms=clock.now_ms())

    def compose(self) -> ComposeResult:
        """Lay out the bands from top to bottom."""
        yield TopLine(self._glyphs)
        yield Banner()
        yield Lines(id="summary")
        yield TitledRule("hosts", self._glyphs)
        rows = _StoreRows(self.store, self._clock, self._glyphs)
        yield LiveTable(view.COLUMNS, rows, empty="waiting for the first answer", id="hosts")
        yield Lines(id="detail")
        yield TitledRule("events, times in UTC", self._glyphs, id="events-rule")
        yield EventTail(self.store.events, self._glyphs, id="events")
        yield HintBar()

    def on_mount(self) -> None:
        """Start the feed and the tick that ages data."""
        self.query_one(HintBar).show(hints(*self.SCOPES))
        self.query_one(LiveTable).focus()
        self._paint_frame()
        self.set_interval(_TICK_S, self._tick)
        # The feed's libraries take longer to load than the first frame takes to paint, and
        # `call_after_refresh` comes before the frame is written (measured).
        self.set_timer(_FIRST_FRAME_S, self._start_feed)

    def on_resize(self) -> None:
        """Fit the bands to the new size: hosts as many as there are, events the rest."""
        table, room = self.query_one(LiveTable), self.size.height - _REST_LINES
        # On a short terminal the stylesheet gives the hosts everything there is.
        table.styles.max_height = room if self.size.height >= _SHORT_LINES else None
        self._paint_frame()

    @property
    def started(self) -> bool:
        """Return whether the feed was opened, or could not be."""
        return self._feed is not None or self._failed

    def _start_feed(self) -> None:
        self._service = cast("AppBase", self.app).start_service(self._run_feed())

    def on_unmount(self) -> None:
        """End the feed; the app waits until it has let go of everything."""
        if self._service is not None:
            end_service(self._service)

    async def _run_feed(self) -> None:
        try:
            self._feed = await self._open_feed(self._post)
            await self._feed.run()
        except BzzzError as exc:
            self._failed = True
            # Not a host that is silent (the feed handles that): the profile or a key is wrong.
            reason, now_ms = str(exc), self._clock.now_ms()
            self._post(Link(phase=LinkPhase.LOST, host=None, since_ms=now_ms, reason=reason))
            self.post_message(self.Failed(exc))

    def _post(self, event: FeedEvent) -> None:
        self.post_message(self.Arrived(event))

    @on(Arrived)
    def _take(self, message: Arrived) -> None:
        changes = self.store.apply(message.event)
        if self._paused_ms is not None or not self.is_current:
            return
        table = self.query_one(LiveTable)
        if changes.order:
            table.reload()
        elif changes.sampled and any(placed.column.key == "trend" for placed in table.placed):
            table.repaint()
        elif changes.ids:
            table.changed(changes.ids)
        if changes.happened:
            self.query_one(EventTail).refresh()
        self._paint_frame()

    def _tick(self) -> None:
        if not self.is_current:
            return
        self._paint_frame()
        age_ms = self.store.age_ms(self._clock.now_ms())
        stale = age_ms is not None and age_ms >= view.STALE_MS
        if (stale or self._was_stale) and self._paused_ms is None:
            self.query_one(LiveTable).repaint()
        self._was_stale = stale

    def _paint_frame(self) -> None:
        now_ms = self._clock.now_ms()
        facts = view.top_facts(self.store, now_ms)
        if self._paused_ms is not None:
            held = span((now_ms - self._paused_ms) / 1_000)
            facts.insert(0, Fact(0, [(f"PAUSED {held}", Tone.WARN)]))
        self.query_one(TopLine).show(facts)
        self._paint_detail()
        self.query_one(Banner).show(view.banner(self.store, now_ms, self._glyphs))
        if self._paused_ms is None:
            width = self.size.width
            self.query_one("#summary", Lines).show(
                view.summary(self.store, now_ms, width, self._glyphs)
            )

    @on(LiveTable.Moved)
    def _paint_detail(self) -> None:
        row = self.query_one(LiveTable).cursor
        if row is None:
            self.query_one("#detail", Lines).show([])
            return
        age_ms = self.store.age_ms(self._clock.now_ms()) or 0
        facts = view.detail(self.store.rows[NodeId(row)], age_ms)
        line = fact_line(facts, self._glyphs.dot, max(0, self.size.width - 2))
        self.query_one("#detail", Lines).show([[(" ", Tone.PLAIN), *line]])

    def action_cursor(self, rows: int) -> None:
        """Move the cursor."""
        self.query_one(LiveTable).move(rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        table = self.query_one(LiveTable)
        table.move(pages * table.page)

    def action_edge(self, direction: int) -> None:
        """Move the cursor to the first or last row."""
        self.query_one(LiveTable).move(direction * len(self.store.order))

    def action_refresh_now(self) -> None:
        """Ask the cluster now."""
        if self._feed is not None:
            self._feed.hurry()

    def action_pause(self) -> None:
        """Hold the picture still, or go on."""
        if self._paused_ms is None:
            self._paused_ms = self._clock.now_ms()
        else:
            self._paused_ms = None
            self.query_one(LiveTable).reload()
            self.query_one(EventTail).refresh()
        self._paint_frame()
