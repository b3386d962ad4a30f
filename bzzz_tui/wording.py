"""How values are written for people: numbers, ages, states, bars. Pure; shared by every view.

Rules: what is not known is written `n/a`, never 0; every number has its unit; text that came from
the network goes through `clean` before it reaches a terminal, for it could hold escape codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

from bzzz_core.model import FabricState, MemberState

UNKNOWN: Final = "n/a"
_KIB: Final = 1024
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_WARN_PERCENT, _BAD_PERCENT = 80, 95


class Tone(StrEnum):
    """What a piece of text means, from which a theme chooses its colour."""

    PLAIN = "plain"
    MUTED = "muted"
    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    INFO = "info"
    ACCENT = "accent"
    RULE = "rule"
    """Lines and empty parts of bars: never text."""
    FOUND = "found"
    """What was searched for."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The symbols in use; one set for Unicode, one for ASCII."""

    ok: str = "●"
    warn: str = "▲"
    bad: str = "✖"
    gone: str = "○"
    leader: str = "★"
    pending: str = "·"
    done: str = "✓"
    running: str = "▶"
    dot: str = "·"
    ellipsis: str = "…"
    rule: str = "─"
    bar: str = " ▏▎▍▌▋▊▉█"
    track: str = "░"
    spark: str = "▁▂▃▄▅▆▇█"
    up: str = "↑"
    down: str = "↓"
    cursor: str = "▌"
    arrow: str = "→"


UNICODE: Final = Glyphs()
ASCII: Final = Glyphs(
    ok="+",
    warn="!",
    bad="x",
    gone="o",
    leader="*",
    pending="-",
    done="+",
    running=">",
    dot="|",
    ellipsis="~",
    rule="-",
    bar=" #",
    track=".",
    spark="_.-=#",
    up="^",
    down="v",
    cursor=">",
    arrow="->",
)

_STATES: Final = {
    MemberState.ALIVE: ("ok", Tone.OK),
    MemberState.SUSPECT: ("warn", Tone.WARN),
    MemberState.DEAD: ("bad", Tone.BAD),
    MemberState.LEFT: ("gone", Tone.MUTED),
}
_FABRIC: Final = {
    FabricState.CONNECTED: ("ok", Tone.OK),
    FabricState.CONNECTING: ("warn", Tone.WARN),
    FabricState.DEGRADED: ("warn", Tone.WARN),
    FabricState.LOST: ("bad", Tone.BAD),
}


def clean(text: str) -> str:
    """Return `text` without anything that would move a cursor, colour, reorder or hide text."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("?" if not c.isprintable() and c != " " else c for c in text)


def member_state(state: MemberState, glyphs: Glyphs) -> tuple[str, Tone]:
    """Return glyph and word of a member's state, and its tone."""
    glyph, tone = _STATES[state]
    return f"{getattr(glyphs, glyph)} {state.value}", tone


def fabric_state(state: FabricState, glyphs: Glyphs) -> tuple[str, Tone]:
    """Return glyph and word of the fabric's state, and its tone."""
    glyph, tone = _FABRIC[state]
    return f"{getattr(glyphs, glyph)} {state.value}", tone


def tone_glyph(tone: Tone, glyphs: Glyphs) -> str:
    """Return the glyph that says the same as a tone."""
    return {
        Tone.OK: glyphs.ok,
        Tone.WARN: glyphs.warn,
        Tone.BAD: glyphs.bad,
        Tone.ACCENT: glyphs.leader,
    }.get(tone, glyphs.dot)


def percent(value: float | None) -> str:
    """Return a percentage in four columns or more."""
    return UNKNOWN if value is None else f"{value:3.0f}%"


def percent_tone(value: float | None) -> Tone:
    """Return the tone of a share of something that should not run full."""
    if value is None:
        return Tone.MUTED
    if value >= _BAD_PERCENT:
        return Tone.BAD
    return Tone.WARN if value >= _WARN_PERCENT else Tone.PLAIN


def size(count: float | None) -> str:
    """Return a number of bytes with a binary unit and at most three digits before the unit."""
    if count is None:
        return UNKNOWN
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < _KIB:
            digits = 0 if unit == "B" or count >= 100 else 1  # noqa: PLR2004  three digits
            return f"{count:.{digits}f} {unit}"
        count /= _KIB
    return f"{count:.1f} PiB"


def used_of(used: int | None, total: int | None) -> str:
    """Return "3.1/15.6 GiB": both numbers in the unit of the total."""
    if used is None or total is None:
        return UNKNOWN
    number, unit = size(total).split(" ")
    power = ("B", "KiB", "MiB", "GiB", "TiB", "PiB").index(unit)
    return f"{used / _KIB**power:.1f}/{number} {unit}"


def span(seconds: float | None) -> str:
    """Return a duration in its one or two largest units: 45s, 3m12s, 3h05m, 12d4h."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, int(seconds))
    if whole < _MINUTE_S:
        return f"{whole}s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m{whole % _MINUTE_S:02d}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h{whole % _HOUR_S // _MINUTE_S:02d}m"
    return f"{whole // _DAY_S}d{whole % _DAY_S // _HOUR_S}h"


def minutes(seconds: float | None) -> str:
    """Return a duration without its seconds: for what is painted again only now and then."""
    if seconds is None:
        return UNKNOWN
    if seconds < _MINUTE_S:
        return "<1m"
    return f"{int(seconds) // _MINUTE_S}m" if seconds < _HOUR_S else span(seconds)


def milliseconds(value: float | None) -> str:
    """Return a short time with its unit."""
    if value is None:
        return UNKNOWN
    return f"{value:.1f}ms" if value < 100 else f"{value:.0f}ms"  # noqa: PLR2004  three digits


def ago(milliseconds: int | None) -> str:
    """Return how long ago, coarse enough that a node heard every second shows a steady "now"."""
    if milliseconds is None:
        return "never"
    return "now" if milliseconds < 2_000 else span(milliseconds / 1_000)  # noqa: PLR2004  2 beats


def bar(share: float | None, width: int, glyphs: Glyphs) -> tuple[str, str]:
    """Return (filled part, track) of a bar; together `width` columns. `share` is 0 to 1."""
    if share is None:
        return "", glyphs.track * width
    steps = len(glyphs.bar) - 1
    filled = round(min(1.0, max(0.0, share)) * width * steps)
    whole, part = divmod(filled, steps)
    text = glyphs.bar[-1] * whole + (glyphs.bar[part] if part else "")
    return text, glyphs.track * (width - len(text))


def spark(values: Sequence[float | None], width: int, glyphs: Glyphs, top: float = 100) -> str:
    """Return the last `width` values as a line of blocks; a gap where nothing was known."""
    levels = len(glyphs.spark) - 1
    blocks = [
        " " if v is None else glyphs.spark[round(min(1.0, max(0.0, v / top)) * levels)]
        for v in islice(values, max(0, len(values) - width), None)
    ]
    return "".join(blocks).rjust(width)


def shorten(text: str, width: int, glyphs: Glyphs) -> str:
    """Return `text` in at most `width` characters, its end marked where something was cut."""
    if len(text) <= width:
        return text
    return text[: max(0, width - 1)] + glyphs.ellipsis[:width]
