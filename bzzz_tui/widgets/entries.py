"""A list of things with fields of their own: one line each, and a last line that adds one.

The widget holds the text that `bzzz_tui.fields.entries_in` reads. It edits nothing itself: whoever
holds it is asked for an entry's form (`Wanted`) and gives the result back by `put`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from bzzz_tui.fields import entries_in, entries_text
from bzzz_tui.parts import Line, fit_line
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Tone, clean

_ADD: Final = "[ add ]"
_USE: Final = "  Enter edits, Del removes"


class Entries(Toned, can_focus=True):
    """The entries of one field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor(1)", "next", show=False),
        Binding("up,k", "cursor(-1)", "previous", show=False),
        Binding("enter,space", "edit", "edit", show=False),
        Binding("delete,D", "remove", "remove", show=False),
    ]
    value = reactive("", init=False, layout=True)

    class Wanted(Message):
        """Somebody wants to edit an entry, or to add one."""

        def __init__(self, entries: Entries, index: int | None) -> None:
            """Carry which; None: a new one."""
            super().__init__()
            self.entries = entries
            self.index = index

    class Changed(Message):
        """The entries are others."""

        def __init__(self, entries: Entries) -> None:
            """Say which list."""
            super().__init__()
            self.entries = entries

    def __init__(self, value: str) -> None:
        """Take the text."""
        super().__init__()
        self.set_reactive(Entries.value, value)
        self._at = 0

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Return the entries as documents."""
        return entries_in(self.value)

    def put(self, index: int | None, entry: dict[str, Any]) -> None:
        """Take an entry in the place of another, or as the last one."""
        entries = self.entries
        if index is None or index >= len(entries):
            entries.append(entry)
            self._at = len(entries)
        else:
            entries[index] = entry
        self._take(entries)

    def action_cursor(self, by: int) -> None:
        """Move to another line; at an end the focus moves on."""
        at = self._at + by
        if not 0 <= at <= len(self.entries):
            self.screen.focus_next() if by > 0 else self.screen.focus_previous()
            return
        self._at = at
        self.refresh()

    def action_edit(self) -> None:
        """Ask for the form of the entry under the cursor, or of a new one."""
        self.post_message(self.Wanted(self, self._at if self._at < len(self.entries) else None))

    def action_remove(self) -> None:
        """Remove the entry under the cursor."""
        entries = self.entries
        if self._at < len(entries):
            del entries[self._at]
            self._take(entries)

    def on_click(self, event: events.Click) -> None:
        """Edit the entry that was clicked."""
        self._at = min(max(0, event.y), len(self.entries))
        self.refresh()
        self.action_edit()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of lines, for `height: auto`."""
        del container, viewport, width
        return len(self.entries) + 1

    def render_line(self, y: int) -> Strip:
        """Return one entry's line."""
        entries, width = self.entries, self.size.width
        here = self.has_focus and y == min(self._at, len(entries))
        if y > len(entries):
            return Strip.blank(width, self.rich_style)
        line: Line = [(summary(entries[y]), Tone.PLAIN)] if y < len(entries) else [
            (_ADD, Tone.ACCENT), (_USE if here and entries else "", Tone.MUTED)
        ]  # fmt: skip
        if not here:
            return self.strip_of(line, width)
        parts = fit_line(line, width)
        style = self.rich_style + self.palette.cursor
        return Strip([Segment(text, style) for text, _ in parts]).adjust_cell_length(width, style)

    def _take(self, entries: list[dict[str, Any]]) -> None:
        self._at = min(self._at, len(entries))
        self.value = entries_text(entries)
        self.post_message(self.Changed(self))


def summary(entry: dict[str, Any]) -> str:
    """Return an entry on one line: the first value alone, the others with their names."""
    words = []
    for number, (key, value) in enumerate(entry.items()):
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        words.append(clean(text) if not number else f"{key}={clean(text)}")
    return "  ".join(words) or "(empty)"
