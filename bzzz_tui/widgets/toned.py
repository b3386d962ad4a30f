"""Painting by meaning: a widget says `Tone.WARN`, the theme says what that looks like.

Lines are built
as `Strip`s with as few segments as possible, for every change of style costs bytes on a slow link.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import cast

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from bzzz_tui.palette import HasPalette, Palette
from bzzz_tui.parts import Line, Part, fit_line
from bzzz_tui.wording import Tone


class Toned(Widget):
    """A widget that paints parts."""

    _tone_styles: dict[Tone, Style] | None = None

    @property
    def palette(self) -> Palette:
        """Return the styles of the present theme."""
        return cast("HasPalette", self.app).palette

    def tone_style(self, tone: Tone) -> Style:
        """Return the style of a tone on this widget's own ground."""
        styles = self._tone_styles
        if styles is None:
            own = self.rich_style
            styles = {kind: own + style for kind, style in self.palette.tones.items()}
            self._tone_styles = styles
        return styles[tone]

    def notify_style_update(self) -> None:
        """Forget styles: the theme, the ground or the focus changed."""
        super().notify_style_update()
        self._tone_styles = None

    def strip_of(self, line: Line, width: int) -> Strip:
        """Return one line of exactly `width` columns."""
        parts = [part for part in fit_line(line, width) if part[0]]
        return Strip([Segment(text, self.tone_style(tone)) for text, tone in parts]).simplify()


class Lines(Toned):
    """A few lines of parts; repaints only lines that changed."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        """Start empty."""
        super().__init__(id=id, classes=classes)
        self._lines: tuple[tuple[Part, ...], ...] = ()

    @property
    def lines(self) -> tuple[tuple[Part, ...], ...]:
        """Return what is shown."""
        return self._lines

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines."""
        new = tuple(tuple(line) for line in lines)
        old, self._lines = self._lines, new
        if len(new) != len(old):
            self.refresh(layout=True)
            return
        changed = [y for y, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
        if changed:
            self.refresh(*(Region(0, y, self.outer_size.width, 1) for y in changed))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of lines, for `height: auto`."""
        del container, viewport, width
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        """Return one painted line."""
        line = self._lines[y] if y < len(self._lines) else ()
        return self.strip_of(line, self.size.width)


class Paragraph(Toned):
    """Sentences, each with its meaning, wrapped to the width there is."""

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
        indent: int = 0,
    ) -> None:
        """Start empty; what a sentence continues on stands `indent` columns to the right."""
        super().__init__(id=id, classes=classes)
        self._indent = " " * indent
        self._sentences: tuple[Part, ...] = ()

    @property
    def text(self) -> str:
        """Return what is shown, unwrapped."""
        return "\n".join(words for words, _ in self._sentences)

    def show(self, *sentences: Part) -> None:
        """Show these sentences, each on a line of its own."""
        if sentences != self._sentences:
            self._sentences = sentences
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of lines after wrapping."""
        del container, viewport
        return len(wrapped(self._sentences, width, self._indent))

    def render_line(self, y: int) -> Strip:
        """Return one painted line."""
        lines = wrapped(self._sentences, self.size.width, self._indent)
        return self.strip_of([lines[y]] if y < len(lines) else [], self.size.width)


def wrapped(sentences: Sequence[Part], width: int, indent: str = "") -> list[Part]:
    """Return the lines, of at most `width` columns, that sentences take one below the other."""
    return [
        (line, tone)
        for words, tone in sentences
        for line in textwrap.wrap(words, max(1, width), subsequent_indent=indent) or [""]
    ]
