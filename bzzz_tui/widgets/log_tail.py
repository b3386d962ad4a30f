"""The newest lines of a log, cut at the edge; what is above is in the log itself."""

from __future__ import annotations

from collections.abc import Sequence

from textual.strip import Strip

from bzzz_tui.parts import Part
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Tone


class LogTail(Toned):
    """As many of the newest lines as there is room for."""

    def __init__(self, *, id: str) -> None:  # noqa: A002
        """Start empty."""
        super().__init__(id=id)
        self._lines: tuple[Part, ...] = ()

    def show(self, lines: Sequence[Part]) -> None:
        """Show the end of these lines."""
        if tuple(lines) != self._lines:
            self._lines = tuple(lines)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one line."""
        height, width = self.size.height, self.size.width
        at = max(0, len(self._lines) - height) + y
        if at >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        return self.strip_of([(" ", Tone.PLAIN), self._lines[at]], width)
