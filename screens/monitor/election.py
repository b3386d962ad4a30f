"""Who led when and why, and who voted how."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from textual.binding import BindingType
from textual.widget import Widget

from bzzz_tui.actions import Scope, bindings
from bzzz_tui.monitor.asked import Asked
from bzzz_tui.monitor.election import (
    ELECTION,
    VIEW,
    Present,
    ask,
    decision_lines,
    now_facts,
    story_parts,
)
from bzzz_tui.monitor.tables import TableSpec
from bzzz_tui.parts import Part, fact_line
from bzzz_tui.store import Changes
from bzzz_tui.widgets.bars import TitledRule
from bzzz_tui.widgets.toned import Lines, Paragraph
from bzzz_tui.wording import Tone, clean
from screens.monitor.asking import AskingView
from screens.monitor.table import TableView

_REST_LINES: Final = 20
"""Lines of everything else; where there are no more, votes are left out."""
_DECISIONS: Final = 6


class ElectionView(TableView, AskingView):
    """Leaderships, and the votes of the answering node."""

    CSS_PATH = "election.tcss"
    VIEW = VIEW
    SPEC: ClassVar[TableSpec[Any]] = ELECTION
    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.ROW, Scope.LIST, Scope.VIEW, Scope.TABLE)

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.ROW)]

    def body(self) -> Iterable[Widget]:
        """Return the bands from top to bottom."""
        yield Lines(id="now")
        yield self.table
        yield Paragraph(id="story")
        yield TitledRule("votes of the answering node", self.glyphs, id="decisions-rule")
        yield Lines(id="decisions")

    async def ask(self) -> Asked:
        """Ask who leads, and who led."""
        return await ask(self.session.call, self.session.store)

    def nothing(self) -> str:
        """Return why there are no rows."""
        return self.if_answered(super().nothing())

    def changed(self, changes: Changes) -> None:
        """Ask again when something happened: it may have been an election."""
        if changes.happened:
            self.hurry()

    def on_resize(self) -> None:
        """Show votes only where there is room."""
        super().on_resize()
        self._paint_bands()

    def paint(self) -> None:
        """Paint everything."""
        super().paint()
        self._paint_bands()
        self._tell()

    def moved(self, row: str) -> None:
        """Tell of another leadership."""
        del row
        self._tell()

    def _tell(self) -> None:
        story = self.current()
        parts = [] if story is None else story_parts(story)
        self.query_one("#story", Paragraph).show(*parts)

    def chosen(self) -> None:
        """Show who stood and who voted how."""
        self.action_describe()

    def info(self) -> list[Part]:
        """Return how many there are, and whether they are all."""
        parts = [*super().info(), ("  ", Tone.PLAIN), *self.asked_words()]
        known: Present | None = self.asked.head
        if known is not None and known.history.stale:
            parts.append(("  no leader: may be out of date", Tone.WARN))
        elif known is not None and not known.history.complete:
            words = f"  what {clean(known.history.node)} has seen itself"
            parts.append((words, Tone.WARN))
        return parts

    def _paint_bands(self) -> None:
        known: Present | None = self.asked.head
        room = min(_DECISIONS, self.size.height - _REST_LINES)
        tall = room > 0 and known is not None and bool(known.history.decisions)
        self.query_one("#decisions-rule").display = tall
        self.query_one("#decisions", Lines).show(
            decision_lines(known, room) if known is not None and tall else []
        )
        now = self.query_one("#now", Lines)
        if known is None:
            now.show([])
            return
        line = fact_line(now_facts(known), self.glyphs.dot, max(0, self.size.width - 2))
        now.show([[(" ", Tone.PLAIN), *line]])
