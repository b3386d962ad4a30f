"""The lines at the edges of every screen: key hints at the bottom, a rule with a title between."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.strip import Strip

from bzzz_tui.parts import Hint, hint_line
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Glyphs, Tone


class HintBar(Toned):
    """Keys that work here, the most important ones of them if not all fit."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__(id="hints")
        self._hints: tuple[Hint, ...] = ()

    def show(self, hints: Sequence[Hint]) -> None:
        """Show these; they come from the action registry."""
        if tuple(hints) != self._hints:
            self._hints = tuple(hints)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        return self.strip_of([(" ", Tone.PLAIN), *hint_line(self._hints, "   ", width - 2)], width)


class TitledRule(Toned):
    """A rule across the screen with a title in it."""

    def __init__(self, title: str, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        """Take the title."""
        super().__init__(id=id)
        self._title = title
        self._glyphs = glyphs

    def show(self, title: str) -> None:
        """Show another title."""
        if title != self._title:
            self._title = title
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        line = self.tone_style(Tone.RULE)
        title = f" {self._title} " if self._title else ""
        lead = self._glyphs.rule * 2
        rest = self._glyphs.rule * max(0, width - len(lead) - len(title))
        return Strip(
            [Segment(lead, line), Segment(title, self.tone_style(Tone.MUTED)), Segment(rest, line)]
        ).crop(0, width)
