"""Pieces of text with a meaning, and fitting them into terminal columns. No Textual."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from rich.cells import cell_len, set_cell_size

from bzzz_tui.wording import UNKNOWN, Glyphs, Tone, bar, percent, percent_tone

Part: TypeAlias = tuple[str, Tone]
"""A piece of text and what it means."""

Line: TypeAlias = Sequence[Part]
"""Parts that stand beside each other."""

GAP: Final[Part] = ("  ", Tone.PLAIN)


def columns(text: str) -> int:
    """Return how many terminal columns `text` takes."""
    return len(text) if text.isascii() else cell_len(text)


def width_of(line: Iterable[Part]) -> int:
    """Return how many terminal columns a line takes."""
    return sum(columns(text) for text, _ in line)


def fit(text: str, width: int) -> str:
    """Return `text` cut or padded to exactly `width` columns."""
    if text.isascii():
        return text[:width].ljust(width)
    return set_cell_size(text, width)


def fit_line(line: Iterable[Part], width: int) -> list[Part]:
    """Return a line cut or padded to exactly `width` columns."""
    parts: list[Part] = []
    left = width
    for text, tone in line:
        taken = fit(text, min(left, columns(text)))
        parts.append((taken, tone))
        left -= columns(taken)
    if left > 0:
        parts.append((" " * left, Tone.PLAIN))
    return parts


def joined(groups: Sequence[Line], separator: str, width: int) -> list[Part]:
    """Return as many groups as fit into `width`, in order, with separators between.

    A group that does not fit is left out whole and the next, perhaps shorter, one is tried: half a
    number would be a wrong number.
    """
    line: list[Part] = []
    used = 0
    for group in groups:
        need = width_of(group)
        gap = columns(separator) if line else 0
        if not group or used + gap + need > width:
            continue
        if line:
            line.append((separator, Tone.MUTED))
        line.extend(group)
        used += gap + need
    return line


@dataclass(frozen=True, slots=True)
class Hint:
    """A key that works here, for the line at the bottom."""

    key: str
    label: str
    rank: int
    """The highest leave first where room is short, and of equal ones the last."""


def hint_line(hints: Sequence[Hint], separator: str, width: int) -> list[Part]:
    """Return the hints that fit into `width`, in their order; who matters most is kept."""
    kept: set[int] = set()
    used = 0
    for at in sorted(range(len(hints)), key=lambda at: (hints[at].rank, at)):
        need = width_of(_hint(hints[at])) + (columns(separator) if kept else 0)
        if used + need <= width:
            kept.add(at)
            used += need
    return joined([_hint(hints[at]) for at in sorted(kept)], separator, width)


def _hint(hint: Hint) -> Line:
    return [(hint.key, Tone.ACCENT), (f" {hint.label}", Tone.MUTED)]


@dataclass(frozen=True, slots=True)
class Fact:
    """A group of a status line that can say less, or nothing, when room is short."""

    rank: int
    """The highest leaves first; 0 never leaves."""
    long: Line
    short: Line | None = None


def fact_line(facts: Sequence[Fact], dot: str, width: int) -> list[Part]:
    """Return facts in their order: in full if they fit, else short, else without the least."""
    line = _in_row([fact.long for fact in facts], f" {dot} ")
    if width_of(line) <= width:
        return line
    kept = list(facts)
    while True:
        line = _in_row([fact.short or fact.long for fact in kept], "  ")
        least = max(kept, key=lambda fact: fact.rank, default=None)
        if width_of(line) <= width or least is None or least.rank == 0:
            return line
        kept.remove(least)


def _in_row(groups: Sequence[Line], separator: str) -> list[Part]:
    line: list[Part] = []
    for group in groups:
        line += [(separator, Tone.MUTED), *group] if line else group
    return line


def text_of(line: Iterable[Part]) -> str:
    """Return a line without its tones."""
    return "".join(text for text, _ in line)


def gauge(share: float | None, width: int, glyphs: Glyphs) -> Line:
    """Return a percentage and a bar of `width` columns; coloured where it should not be full."""
    tone = percent_tone(None if share is None else 100 * share)
    number = UNKNOWN.rjust(4) if share is None else percent(100 * share)
    filled, track = bar(share, width, glyphs)
    shade = tone if tone in {Tone.WARN, Tone.BAD} else Tone.OK
    return [(f"{number} ", tone), (filled, shade), (track, Tone.RULE)]
