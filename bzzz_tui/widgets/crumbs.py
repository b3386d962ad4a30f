"""Where the operator is: the way from the first view to this one, and what this one shows."""

from __future__ import annotations

from collections.abc import Sequence

from textual.strip import Strip

from bzzz_tui.parts import Line, Part, fit_line, width_of
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Glyphs, Tone, clean


class Crumbs(Toned):
    """The way on the left, filter, count and order on the right."""

    def __init__(self, glyphs: Glyphs) -> None:
        """Start nowhere."""
        super().__init__(id="crumbs")
        self._glyphs = glyphs
        self._way: tuple[str, ...] = ()
        self._info: tuple[Part, ...] = ()

    def show(self, way: Sequence[str], info: Line) -> None:
        """Show the titles on the way, and what is to be said of the view."""
        new = tuple(clean(each) for each in way), tuple(info)
        if new != (self._way, self._info):
            self._way, self._info = new
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        line: list[Part] = [(" ", Tone.PLAIN)]
        for at, title in enumerate(self._way):
            if at:
                line.append((f" {self._glyphs.arrow} ", Tone.MUTED))
            line.append((title, Tone.ACCENT if at == len(self._way) - 1 else Tone.MUTED))
        room = width - width_of(line) - 3
        if room <= 0:
            return self.strip_of(line, width)
        info = fit_line(self._info, min(room, width_of(self._info)))
        gap = " " * max(0, width - width_of(line) - width_of(info) - 1)
        return self.strip_of([*line, (gap, Tone.PLAIN), *info], width)
