"""Lines of a log as a view has them: moving among them, how they look, what is done with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bzzz_core.clock import utc_now
from bzzz_core.errors import ConfigError
from bzzz_tui.logs import copies
from bzzz_tui.logs.book import LogBook
from bzzz_tui.logs.entry import Entry
from bzzz_tui.logs.shown import ShownLines
from bzzz_tui.monitor import export as files
from bzzz_tui.widgets.log_view import LogView
from bzzz_tui.wording import clean
from screens.monitor.base import MonitorView
from screens.monitor.exporting import copy, save

if TYPE_CHECKING:
    from screens.monitor.shell import Shell


class LogLines(MonitorView):
    """A view whose body is a `LogView`."""

    def __init__(self, shell: Shell, argument: str = "") -> None:
        """Take the shell, and a filter or nothing; the lines are those that the session keeps."""
        super().__init__(shell, argument)
        self.lines = ShownLines(self.state.more.setdefault("book", LogBook()))
        self.log_view = LogView(
            self.lines, self.glyphs, empty="no lines yet: nodes are being asked", id="lines"
        )

    def focus_body(self) -> None:
        """Give the focus to the lines."""
        self.log_view.focus()

    # ---- the look

    def action_follow(self) -> None:
        """Follow new lines, or stay."""
        self.log_view.follow()

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.say("long lines are wrapped" if self.log_view.toggle_wrap() else "long lines are cut")

    def action_stamps(self) -> None:
        """Write other times before lines."""
        self.say(f"before lines: {self.log_view.next_stamps()}")

    def action_side(self, by: int) -> None:
        """Move words to the side."""
        self.log_view.scroll_side(by)

    def action_cursor(self, rows: int) -> None:
        """Move the cursor."""
        self.log_view.move(rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        self.log_view.page(pages)

    def action_edge(self, direction: int) -> None:
        """Go to the first line, or to the last one and follow."""
        self.log_view.edge(direction)

    # ---- one line

    def _cursor(self) -> Entry:
        cursor = self.log_view.cursor
        if cursor is None:
            raise ConfigError("there is no line")
        return cursor

    def node_here(self) -> str:
        """Return whose line is under the cursor."""
        cursor = self.log_view.cursor
        return "" if cursor is None else cursor.node

    def action_details(self) -> None:
        """Show everything that the line says."""
        self._read(copies.details(self._cursor()))

    def action_json(self) -> None:
        """Show the line as JSON."""
        encoded = msgspec.json.format(msgspec.json.encode(copies.document(self._cursor())))
        self._read("\n".join(clean(line) for line in encoded.decode().splitlines()))

    def _read(self, text: Any) -> None:
        from screens.dialogs import Reading  # noqa: PLC0415

        cursor = self._cursor()
        self.app.push_screen(Reading(f"line {cursor.number} of {cursor.node}", text))

    def action_copy_line(self) -> None:
        """Copy the line."""
        copy(self, [copies.as_text(self._cursor())])

    def action_copy_screen(self) -> None:
        """Copy the lines on the screen."""
        entries = dict.fromkeys(entry for entry, _ in self.log_view.frame)
        copy(self, [copies.as_text(entry) for entry in entries])

    def action_save(self, words: str = "") -> None:
        """Write the lines that are shown into a file."""
        kind, path, replace = files.parse(words or "txt", view=self.VIEW, at=utc_now())
        content = (
            self.app.export_screenshot(title="bzzz logs")
            if kind == "svg"
            else copies.as_file(self.lines.entries, kind)
        )
        save(self, path, content, replace=replace)
