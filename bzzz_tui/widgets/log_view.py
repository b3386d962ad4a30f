"""Lines of a log on the screen: it stays where the operator looks, however many lines come.

Theory of operation
-------------------
The widget holds no lines: `ShownLines` does. It knows which line is at its top, by the line itself
and not by a number, so lines that come, go or are late elsewhere move nothing. While it *follows*,
the newest line is at its bottom. Going up ends that; what comes then is counted, not shown.

What the screen shows (the *frame*) is a list of (line, its row): computed from the top down, or
from the bottom up while following, one step a row, whatever the number of lines held. If a change
leaves the frame as it was nothing is painted at all. Painted rows are kept by (line, row, ...) for
one look (width, wrap, marks ...).

It scrolls by itself, in rows, and paints its own bar: to Textual it is a box of fixed size, so no
line that comes makes the screen lay itself out (that alone cost 3 ms a time).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.cache import LRUCache
from textual.message import Message
from textual.strip import Strip

from bzzz_tui.logs.book import Change
from bzzz_tui.logs.entry import Entry
from bzzz_tui.logs.line_parts import Form, Stamps, parts_of, rows_of
from bzzz_tui.logs.shown import ShownLines
from bzzz_tui.parts import fit_line
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Glyphs, Tone

_CACHE_ROWS: Final = 1_024
_WHEEL_ROWS: Final = 3
_SIDE_COLUMNS: Final = 16
_LEFT_MAX: Final = 4_000


class LogView(Toned, can_focus=True, inherit_bindings=False):
    """The lines of a `ShownLines`, with a cursor on one of them."""

    class Moved(Message):
        """The cursor is on another line, or following began or ended."""

    class Chosen(Message):
        """The line under the cursor was clicked twice."""

    def __init__(self, lines: ShownLines, glyphs: Glyphs, *, empty: str, id: str) -> None:  # noqa: A002
        """Take the lines, the symbols in use, and what to say while there are none."""
        super().__init__(id=id)
        self._lines = lines
        self._glyphs = glyphs
        self._empty = empty
        self.form = Form(width=80)
        self.following = True
        self.unseen = 0
        """Lines that came since following ended."""
        self._cursor: Entry | None = None
        self._top: Entry | None = None
        self._skip = 0
        """Rows of the line at the top that are above the screen."""
        self._frame: list[tuple[Entry, int]] = []
        self._painted: LRUCache[tuple[object, ...], Strip] = LRUCache(_CACHE_ROWS)
        self._generation = 0
        self._thumb = (0, 0)

    @property
    def cursor(self) -> Entry | None:
        """Return the line under the cursor."""
        return self._cursor

    @property
    def frame(self) -> list[tuple[Entry, int]]:
        """Return what is on the screen: lines, and which of their rows."""
        return self._frame

    # ---- the lines changed

    def changed(self, change: Change) -> None:
        """Show what is different after lines came and went."""
        if not self.following:
            self.unseen += len(change.came)
        nodes = tuple(sorted(self._lines.book.nodes))
        if nodes != self.form.nodes:
            self._form(replace(self.form, nodes=nodes))
        self.settle()

    def renewed(self) -> None:
        """Show other lines: another filter. The cursor stays on its line, or on the next."""
        self.unseen = 0
        self.settle()

    def settle(self) -> None:
        """Compute the frame, and paint if it is another one."""
        entries = self._lines.entries
        if self.following or self._cursor is None:
            self._cursor = entries[-1] if entries else None
        elif self._cursor is not self._held(self._cursor):
            at = min(self._lines.place(self._cursor), len(entries) - 1)
            self._cursor = entries[at] if at >= 0 else None
        before, thumb = self._frame, self._thumb
        self._frame = self._framed()
        self._thumb = self._thumbed()
        if self._frame != before or thumb != self._thumb:
            self.refresh()

    def mark_matches(self) -> None:
        """Mark what is searched for now."""
        self._form(replace(self.form, match=self._lines.match))
        self.refresh()

    # ---- moving

    def move(self, by: int) -> None:
        """Move the cursor by lines of the log."""
        entries = self._lines.entries
        if not entries or self._cursor is None:
            return
        at = min(max(0, self._lines.place(self._cursor) + by), len(entries) - 1)
        self.go_to(entries[at])

    def page(self, by: int) -> None:
        """Move the cursor by the lines that fit onto the screen."""
        self.move(by * max(1, len({id(entry) for entry, _ in self._frame}) - 1))

    def edge(self, direction: int) -> None:
        """Go to the first line, or to the last one and follow."""
        entries = self._lines.entries
        if direction > 0:
            self.follow(on=True)
        elif entries:
            self.go_to(entries[0])

    def go_to(self, entry: Entry) -> None:
        """Put the cursor on a line; following ends unless it is there already."""
        if self.following and entry is not self._cursor:
            self._anchor()
        self._cursor = entry
        if not self.following:
            self._reveal(entry)
        self.settle()
        self.refresh()
        self.post_message(self.Moved())

    def follow(self, *, on: bool | None = None) -> None:
        """Follow new lines or stay; without `on` whichever it is not."""
        wanted = not self.following if on is None else on
        if wanted:
            self.following, self.unseen = True, 0
        elif self.following:
            self._anchor()
        self.settle()
        self.refresh()
        self.post_message(self.Moved())

    def scroll_rows(self, by: int) -> None:
        """Move what is shown by rows of the screen; the cursor stays on it."""
        if not self._frame:
            return
        if self.following:
            if by > 0:
                return
            self._anchor()
        top, skip = self._top, self._skip
        assert top is not None, "what does not follow has a top"
        at = self._lines.place(top)
        entries = self._lines.entries
        skip += by
        while skip < 0 and at > 0:
            at -= 1
            skip += rows_of(entries[at], self.form)
        while at < len(entries) - 1 and skip >= (rows := rows_of(entries[at], self.form)):
            skip -= rows
            at += 1
        self._top, self._skip = entries[at], max(0, skip)
        self._frame = self._framed()
        shown = [entry for entry, _ in self._frame]
        if self._cursor not in shown and shown:
            self._cursor = shown[-1] if by < 0 else shown[0]
        self.settle()
        self.refresh()
        self.post_message(self.Moved())

    # ---- the look

    def toggle_wrap(self) -> bool:
        """Wrap long lines, or cut them; return whether they are wrapped now."""
        self._form(replace(self.form, wrap=not self.form.wrap, left=0))
        self._skip = 0
        self.settle()
        self.refresh()
        return self.form.wrap

    def next_stamps(self) -> Stamps:
        """Write the next kind of time before lines; return which."""
        kinds = list(Stamps)
        stamps = kinds[(kinds.index(self.form.stamps) + 1) % len(kinds)]
        self._form(replace(self.form, stamps=stamps))
        self.settle()
        self.refresh()
        return stamps

    def scroll_side(self, by: int) -> None:
        """Move the words of lines that are cut to the side."""
        if self.form.wrap:
            return
        left = min(max(0, self.form.left + by * _SIDE_COLUMNS), _LEFT_MAX)
        if left != self.form.left:
            self._form(replace(self.form, left=left))
            self.refresh()

    def _form(self, form: Form) -> None:
        if form != self.form:
            self.form = form
            self._generation += 1

    # ---- the frame

    def _held(self, entry: Entry) -> Entry | None:
        entries = self._lines.entries
        at = self._lines.place(entry)
        return entries[at] if at < len(entries) else None

    def _anchor(self) -> None:
        """Stay where the screen is now."""
        self.following = False
        if self._frame:
            self._top, self._skip = self._frame[0]

    def _framed(self) -> list[tuple[Entry, int]]:
        entries, height = self._lines.entries, self.size.height
        if not entries or height <= 0:
            return []
        if self.following:
            return self._up_from(len(entries) - 1)
        if self._top is None:
            self._top, self._skip = entries[0], 0
        at = self._lines.place(self._top)
        here = at < len(entries) and entries[at] is self._top
        skip = self._skip if here else 0
        frame: list[tuple[Entry, int]] = []
        while at < len(entries) and len(frame) < height:
            entry = entries[at]
            frame += [(entry, row) for row in range(skip, rows_of(entry, self.form))]
            at, skip = at + 1, 0
        if len(frame) < height:
            frame = self._up_from(len(entries) - 1)
        if frame:
            self._top, self._skip = frame[0]
        return frame[:height]

    def _up_from(self, at: int) -> list[tuple[Entry, int]]:
        """Return the frame whose last row is the last one of a line."""
        entries, height = self._lines.entries, self.size.height
        frame: list[tuple[Entry, int]] = []
        while at >= 0 and len(frame) < height:
            entry = entries[at]
            frame += [(entry, row) for row in reversed(range(rows_of(entry, self.form)))]
            at -= 1
        return frame[:height][::-1]

    def _reveal(self, entry: Entry) -> None:
        """Have a line on the screen, moving it as little as possible."""
        height = self.size.height
        shown = [row for each, row in self._frame if each is entry]
        if len(shown) == min(rows_of(entry, self.form), height):
            return
        at = self._lines.place(entry)
        below = self._frame and self._frame[-1][0].key <= entry.key
        frame = self._up_from(at) if below else [(entry, 0)]
        if frame:
            self._top, self._skip = frame[0]

    def _thumbed(self) -> tuple[int, int]:
        """Return first and last row of the bar's thumb."""
        count, height = len(self._lines.entries), self.size.height
        if not self._frame or height <= 0:
            return 0, 0
        first, last = self._lines.place(self._frame[0][0]), self._lines.place(self._frame[-1][0])
        if last - first + 1 >= count:
            return 0, 0
        begin = first * height // count
        return begin, max(begin + 1, (last + 1) * height // count)

    # ---- painting

    def render_line(self, y: int) -> Strip:
        """Return one painted row."""
        width = self.size.width
        if y >= len(self._frame):
            words = " " + self._empty if not self._frame and y == 0 else ""
            return self.strip_of([(words, Tone.MUTED)], width)
        entry, row = self._frame[y]
        begin, end = self._thumb
        bar = "" if end <= begin else "thumb" if begin <= y < end else "track"
        above = self._above(entry) if self.form.stamps is Stamps.SINCE and not row else None
        under = entry is self._cursor
        key = (self._generation, entry, row, above, under, self.has_focus, bar)
        strip = self._painted.get(key)
        if strip is None:
            strip = self._painted[key] = self._paint(entry, above, row, under=under, bar=bar)
        return strip

    def _above(self, entry: Entry) -> Entry | None:
        at = self._lines.place(entry) - 1
        return self._lines.entries[at] if at >= 0 else None

    def _paint(
        self, entry: Entry, above: Entry | None, row: int, *, under: bool, bar: str
    ) -> Strip:
        ground = Style.null()
        if under:
            ground = self.palette.cursor if self.has_focus else self.palette.shade
        width = self.size.width - 1
        segments = []
        for text, tone in fit_line(parts_of(entry, above, row, self.form), width):
            style = self.tone_style(tone)
            segments.append(Segment(text, style if tone is Tone.FOUND else style + ground))
        glyph = {"": " ", "thumb": self._glyphs.bar[-1], "track": " "}[bar]
        segments.append(Segment(glyph, self.tone_style(Tone.RULE)))
        return Strip(segments).simplify()

    def on_resize(self, event: events.Resize) -> None:
        """Fit to the new size."""
        self._form(replace(self.form, width=event.size.width))
        self.settle()
        self.refresh()

    def notify_style_update(self) -> None:
        """Forget painted rows: the theme or the focus changed."""
        super().notify_style_update()
        self._generation += 1

    # ---- the mouse

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Go up."""
        event.stop()
        self.scroll_rows(-_WHEEL_ROWS)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Go down."""
        event.stop()
        self.scroll_rows(_WHEEL_ROWS)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on a line; twice: open it."""
        if event.y < len(self._frame):
            self.go_to(self._frame[event.y][0])
            if event.chain > 1:
                self.post_message(self.Chosen())
