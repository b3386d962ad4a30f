"""The first line of every screen: the brand, then groups of facts, as many as fit."""

from __future__ import annotations

from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from bzzz_tui.parts import Fact, columns, fact_line, fit
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Glyphs, Tone

_BRAND: Final = " BZZZ "
_DEEP: Final = {"red", "blue", "magenta", "black"}
"""Colours on which light text is read better than dark."""


class TopLine(Toned):
    """Brand and facts."""

    def __init__(self, glyphs: Glyphs) -> None:
        """Start with the brand alone."""
        super().__init__(id="top")
        self._glyphs = glyphs
        self._facts: list[Fact] = []
        self._badge: tuple[str, str] | None = None

    @property
    def facts(self) -> list[Fact]:
        """Return what is shown, where there is room."""
        return self._facts

    def show(self, facts: list[Fact], badge: tuple[str, str] | None = None) -> None:
        """Show these facts, as many as fit.

        Args:
            facts: Words of the line.
            badge: Name and ground colour of the cluster, instead of the brand.
        """
        if (facts, badge) != (self._facts, self._badge):
            self._facts, self._badge = facts, badge
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        brand = self._brand(width)
        rest = width - columns(brand.text)
        line = fact_line(self._facts, self._glyphs.dot, rest - 1)
        return Strip([brand, *self.strip_of([(" ", Tone.PLAIN), *line], rest)], width)

    def _brand(self, width: int) -> Segment:
        if self._badge is None:
            return Segment(fit(_BRAND, min(width, len(_BRAND))), self.palette.brand)
        name, color = self._badge
        text = fit(f" {name} ", min(width // 3, columns(name) + 2))
        ink = "bright_white" if color in _DEEP else "black"
        return Segment(text, Style(color=ink, bgcolor=color, bold=True))


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
