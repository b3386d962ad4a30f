"""The overview: one cluster at a glance, live.

Nothing here decides anything: `bzzz_tui.view` words it, the session's store knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar, Final

from textual import on
from textual.widget import Widget

from bzzz_tui import view
from bzzz_tui.actions import Scope, action
from bzzz_tui.monitor import alerts
from bzzz_tui.monitor.nodes import NODES
from bzzz_tui.monitor.tables import TableSpec
from bzzz_tui.parts import Part, fact_line
from bzzz_tui.store import Changes
from bzzz_tui.widgets.bars import TitledRule
from bzzz_tui.widgets.event_tail import EventTail
from bzzz_tui.widgets.live_table import LiveTable
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone
from screens.monitor.nodes import NodesView

_REST_LINES: Final = 15
"""Lines of all other bands, four events among them."""
_SHORT_LINES: Final = 20
_TALL_LINES: Final = 32
_ALERTS: Final = 3
"""How many of the newest are shown on a tall terminal."""
OVERVIEW: Final = replace(
    NODES,
    view="overview",
    hidden=frozenset({"gpus", "rtt", "roles", "models", "languages"}),
)
"""The same table with fewer columns."""


class Overview(NodesView):
    """The cluster, its nodes and what happened lately."""

    CSS_PATH = "overview.tcss"
    VIEW = "overview"
    SPEC: ClassVar[TableSpec[Any]] = OVERVIEW
    SCOPES: ClassVar[tuple[Scope, ...]] = NodesView.SCOPES

    def body(self) -> Iterable[Widget]:
        """Return the bands from top to bottom."""
        yield Lines(id="summary")
        yield TitledRule("hosts", self.glyphs)
        yield self.table
        yield Lines(id="detail")
        yield TitledRule("newest alerts, 0 shows all", self.glyphs, id="alerts-rule")
        yield Lines(id="alerts")
        yield TitledRule("events, times in UTC", self.glyphs, id="events-rule")
        yield EventTail(self.session.store.events, self.glyphs, id="events")

    def on_resize(self) -> None:
        """Fit the bands to the new size."""
        super().on_resize()
        self._paint_bands()

    @property
    def _tall(self) -> bool:
        return self.size.height >= _TALL_LINES

    def info(self) -> list[Part]:
        """Return how many alerts there are, and what any table says."""
        found = alerts.counts(self.session.store, self.glyphs)
        if not found:
            return super().info()
        key = self.shell.keymap.shown(action("view.alerts"))
        link = [(key, Tone.ACCENT), (" shows them   ", Tone.MUTED)]
        return [*found, *(link if self.session.store.alerts and key else []), *super().info()]

    def paint(self) -> None:
        """Paint everything."""
        super().paint()
        self.query_one(EventTail).refresh()
        self._paint_bands()

    def changed(self, changes: Changes) -> None:
        """Paint what changed."""
        super().changed(changes)
        if changes.happened:
            self.query_one(EventTail).refresh()
        self._paint_bands()

    def aged(self) -> None:
        """Paint what grew older."""
        super().aged()
        self._paint_bands()

    def _paint_bands(self) -> None:
        """Paint all but the table: hosts take as many lines as there are, events the rest."""
        session = self.session
        now_ms, width = session.clock.now_ms(), self.size.width
        lines = view.summary(session.store, now_ms, width, self.glyphs)
        self.query_one("#summary", Lines).show(lines)
        shown = alerts.newest(session.store, _ALERTS, self.glyphs) if self._tall else []
        self.query_one("#alerts-rule").display = bool(shown)
        self.query_one("#alerts", Lines).show(shown)
        room = self.size.height - _REST_LINES - (len(shown) + 1 if shown else 0)
        # On a short terminal the stylesheet gives the hosts everything there is.
        self.table.styles.max_height = room if self.size.height >= _SHORT_LINES else None
        self._paint_detail()

    @on(LiveTable.Moved)
    def _paint_detail(self) -> None:
        row = self.current()
        detail = self.query_one("#detail", Lines)
        if row is None:
            detail.show([])
            return
        facts = view.detail(row, self.age_ms)
        line = fact_line(facts, self.glyphs.dot, max(0, self.size.width - 2))
        detail.show([[(" ", Tone.PLAIN), *line]])
