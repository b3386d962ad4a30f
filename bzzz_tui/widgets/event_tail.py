"""The newest lines of what happened, newest at the bottom."""

from __future__ import annotations

from collections.abc import Sequence

from textual.strip import Strip

from bzzz_tui.parts import Part
from bzzz_tui.store import Happening
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Glyphs, Tone, clean, tone_glyph


class EventTail(Toned):
    """As many of the newest happenings as there are lines."""

    def __init__(self, events: Sequence[Happening], glyphs: Glyphs, *, id: str) -> None:  # noqa: A002
        """Take the (growing) sequence that is shown."""
        super().__init__(id=id)
        self._events = events
        self._glyphs = glyphs

    def render_line(self, y: int) -> Strip:
        """Return one line: time, glyph, words."""
        height, width = self.size.height, self.size.width
        at = len(self._events) - min(height, len(self._events)) + y
        if at >= len(self._events):
            return Strip.blank(width, self.rich_style)
        event = self._events[at]
        line: list[Part] = [
            (f" {event.at:<8} ", Tone.MUTED),
            (tone_glyph(event.tone, self._glyphs) + " ", event.tone),
            (clean(event.text), Tone.PLAIN),
        ]
        return self.strip_of(line, width)
