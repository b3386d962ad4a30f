"""The first line of every screen: the brand, then groups of facts, as many as fit."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip

from bzzz_tui.parts import Fact, fact_line, fit
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Glyphs, Tone

_BRAND = " BZZZ "


class TopLine(Toned):
    """Brand and facts."""

    def __init__(self, glyphs: Glyphs) -> None:
        """Start with the brand alone."""
        super().__init__(id="top")
        self._glyphs = glyphs
        self._facts: list[Fact] = []

    @property
    def facts(self) -> list[Fact]:
        """Return what is shown, where there is room."""
        return self._facts

    def show(self, facts: list[Fact]) -> None:
        """Show these facts, as many as fit."""
        if facts != self._facts:
            self._facts = facts
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        brand = Segment(fit(_BRAND, min(width, len(_BRAND))), self.palette.brand)
        rest = width - len(brand.text)
        line = fact_line(self._facts, self._glyphs.dot, rest - 1)
        return Strip([brand, *self.strip_of([(" ", Tone.PLAIN), *line], rest)], width)


class Banner(Toned):
    """One line that must not be overlooked; takes no room while there is nothing to say."""

    def __init__(self) -> None:
        """Start hidden."""
        super().__init__(id="banner")
        self._text: tuple[str, Tone] | None = None

    def show(self, text: tuple[str, Tone] | None) -> None:
        """Show a line, or nothing."""
        if text != self._text:
            self._text = text
            self.set_class(text is not None, "-shown")
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        width = self.size.width
        if y or self._text is None:
            return Strip.blank(width, self.rich_style)
        text, tone = self._text
        style = self.palette.banner_bad if tone is Tone.BAD else self.palette.banner_warn
        return Strip([Segment(fit(f" {text}", width), style)], width)
