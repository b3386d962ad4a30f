"""How many lines came when, and how bad they were: one bar of blocks over an axis with times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from textual.strip import Strip

from bzzz_tui.logs.entry import LEVELS
from bzzz_tui.logs.histogram import Bucket
from bzzz_tui.parts import Part
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Glyphs, Tone, span

_TONES: Final = {LEVELS["error"]: Tone.BAD, LEVELS["warning"]: Tone.WARN}
_DAY_MS: Final = 86_400_000


class HistogramBar(Toned):
    """Two rows: blocks as high as there were many lines, coloured by the worst, and the times."""

    def __init__(self, glyphs: Glyphs, *, id: str) -> None:  # noqa: A002
        """Start empty."""
        super().__init__(id=id)
        self._glyphs = glyphs
        self._rows: tuple[tuple[Part, ...], tuple[Part, ...]] = ((), ())

    @property
    def room(self) -> int:
        """Return how many buckets fit."""
        return max(1, self.size.width - 2)

    def show(self, buckets: Sequence[Bucket], step_ms: int) -> None:
        """Show these buckets, each of this length."""
        rows = (
            tuple(_blocks(buckets, self._glyphs)),
            tuple(_axis(buckets, step_ms, self.room, self._glyphs)),
        )
        if rows != self._rows:
            self._rows = rows
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one painted row."""
        row = self._rows[y] if y < len(self._rows) else ()
        return self.strip_of([(" ", Tone.PLAIN), *row], self.size.width)


def _blocks(buckets: Sequence[Bucket], glyphs: Glyphs) -> list[Part]:
    most = max((bucket.total for bucket in buckets), default=0)
    levels = len(glyphs.spark) - 1
    parts: list[Part] = []
    for bucket in buckets:
        block = " "
        if bucket.total:
            block = glyphs.spark[round(bucket.total / most * levels)]
        tone = _TONES.get(bucket.worst, Tone.MUTED)
        if parts and parts[-1][1] is tone:
            parts[-1] = (parts[-1][0] + block, tone)
        else:
            parts.append((block, tone))
    return parts


def _axis(buckets: Sequence[Bucket], step_ms: int, room: int, glyphs: Glyphs) -> list[Part]:
    if not buckets:
        return []
    first, last = buckets[0].begin_ms, buckets[-1].begin_ms + step_ms
    days = last - first >= _DAY_MS
    ends = [_clock(at_ms, days=days) for at_ms in (first, last)]
    most = max(bucket.total for bucket in buckets)
    words = f"{span(step_ms / 1_000)} a block, {most} lines at most"
    between = min(len(buckets), room) - len(ends[0]) - len(ends[1])
    if between > len(words) + 2:
        line = ends[0] + f" {words} ".center(between, glyphs.rule) + ends[1]
    else:
        line = f"{ends[0]}{glyphs.rule * max(1, between)}{ends[1]}  {words}"
    return [(line, Tone.MUTED)]


def _clock(at_ms: int, *, days: bool) -> str:
    text = datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(" ", "seconds")
    return text[5:16] if days else text[11:19]
