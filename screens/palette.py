"""The palette: everything that can be done now, found by typing some of its letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from bzzz_tui.actions import Action
from bzzz_tui.keymap import Keymap
from bzzz_tui.parts import Line
from bzzz_tui.query import fuzzy
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone

_NAME_COLUMNS = 14
_KEY_COLUMNS = 8
_NO = 9
"""Rank of what does not fit."""


class Palette(ModalScreen[Action | None]):
    """A line to type in, and the actions that fit."""

    CSS_PATH = "palette.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "close", show=False),
        Binding("down,ctrl+n", "move(1)", "next", show=False),
        Binding("up,ctrl+p", "move(-1)", "previous", show=False),
    ]

    def __init__(self, actions: Sequence[Action], keymap: Keymap) -> None:
        """Take what can be done now."""
        super().__init__()
        self._actions = list(actions)
        self._keymap = keymap
        self._found = self._actions
        self._at = 0

    def compose(self) -> ComposeResult:
        """Lay out line and list."""
        with Vertical(id="palette-box") as box:
            box.border_title = "What to do"
            box.border_subtitle = "Enter does it, Esc closes"
            field = Input(compact=True, placeholder="type some letters")
            field.cursor_blink = False
            yield field
            yield Lines(id="palette-list")

    def on_mount(self) -> None:
        """Begin to type."""
        self.query_one(Input).focus()
        self._paint()

    def on_resize(self) -> None:
        """Show as many as there is room for."""
        self._paint()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        wanted = event.value.strip()
        ranked = ((self._rank(each, wanted), n, each) for n, each in enumerate(self._actions))
        self._found = [each for rank, _, each in sorted(ranked, key=lambda r: r[:2]) if rank < _NO]
        self._at = 0
        self._paint()

    @staticmethod
    def _rank(action: Action, wanted: str) -> int:
        """Return how well an action fits: by its command best, by scattered letters last."""
        folded, words = wanted.casefold(), f"{action.help} {' '.join(action.commands)}".casefold()
        if folded in action.commands:
            return 0
        if any(name.startswith(folded) for name in action.commands):
            return 1
        if folded in words:
            return 2
        return 3 if any(fuzzy(folded, name) for name in action.commands) else _NO

    @on(Input.Submitted)
    def _chosen(self) -> None:
        self.dismiss(self._found[self._at] if self._found else None)

    def action_close(self) -> None:
        """Choose nothing."""
        self.dismiss(None)

    def action_move(self, by: int) -> None:
        """Go to the next or previous one."""
        if self._found:
            self._at = (self._at + by) % len(self._found)
            self._paint()

    def _paint(self) -> None:
        room = max(3, self.size.height - 8)
        first = max(0, min(self._at - room // 2, len(self._found) - room))
        lines: list[Line] = []
        for n, action in enumerate(self._found[first : first + room], first):
            here = n == self._at
            key = self._keymap.shown(action).ljust(_KEY_COLUMNS)
            lines.append(
                [
                    ("> " if here else "  ", Tone.ACCENT),
                    (f":{action.commands[0]}".ljust(_NAME_COLUMNS), Tone.INFO),
                    (key, Tone.ACCENT),
                    (action.help, Tone.PLAIN if here else Tone.MUTED),
                ]
            )
        if not lines:
            lines.append([("nothing of that kind can be done now", Tone.MUTED)])
        self.query_one("#palette-list", Lines).show(lines)
