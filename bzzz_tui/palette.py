"""A theme as styles for painted lines: one for each tone, and a few grounds.

Widgets that paint themselves take their styles from here and not from component classes: forty such
classes cost a quarter of the CPU time of the first frame (measured).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rich.style import Style

from bzzz_tui.wording import Tone
from themes.loader import ThemeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Styles of one theme; those of tones have no ground of their own."""

    tones: dict[Tone, Style]
    cursor: Style
    """Ground of the line under the cursor of a focused widget."""
    shade: Style
    """Ground of the line under the cursor of any other widget."""
    brand: Style
    """Text on the accent colour: the brand and a focused button."""
    button: Style
    banner_bad: Style
    banner_warn: Style


class HasPalette(Protocol):
    """An app that paints with a palette."""

    @property
    def palette(self) -> Palette:
        """Return the present theme's styles."""
        ...


def palette_of(spec: ThemeSpec) -> Palette:
    """Return a theme's styles."""
    c = spec.colors

    def on(ground: str, text: str, *, bold: bool = False) -> Style:
        return Style(color=_name(text), bgcolor=_name(ground), bold=bold or None)

    def ink(text: str, *, bold: bool = False) -> Style:
        return Style(color=_name(text), bold=bold or None)

    return Palette(
        tones={
            Tone.PLAIN: Style.null(),
            Tone.MUTED: ink(c.muted),
            Tone.OK: ink(c.ok),
            Tone.WARN: ink(c.warn),
            Tone.BAD: ink(c.bad),
            Tone.INFO: ink(c.info),
            Tone.ACCENT: ink(c.accent, bold=True),
            Tone.RULE: ink(c.rule),
            Tone.FOUND: on(c.warn, c.on_accent if spec.ansi else c.background, bold=True),
        },
        cursor=Style(bgcolor=_name(c.cursor)),
        shade=Style(bgcolor=_name(c.surface)),
        brand=on(c.accent, c.on_accent, bold=True),
        button=on(c.panel, c.accent),
        banner_bad=on(c.bad, c.on_accent if spec.ansi else c.background, bold=True),
        banner_warn=on(c.warn, c.on_accent if spec.ansi else c.background, bold=True),
    )


def _name(color: str) -> str:
    return color.removeprefix("ansi_")
