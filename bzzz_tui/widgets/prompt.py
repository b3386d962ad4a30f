"""The line at the bottom in which the operator writes: a command, a filter, one letter.

It takes the place of the key hints while it is open. What is typed is told at every change, so that
a filter is seen to work while it is written; Esc takes it back. A note above it says what is wrong,
or what may be meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

Complete = Callable[[str], Sequence[str]]


class Mode(StrEnum):
    """What is being written; the value stands before it."""

    COMMAND = ":"
    FILTER = "/"
    SORT = "sort by "
    SEARCH = "search "
    ONLY = "only "


class PromptInput(Input):
    """One line of text with completion and history."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel", show=False),
        Binding("tab", "complete(1)", "complete", show=False),
        Binding("shift+tab", "complete(-1)", "complete", show=False),
        Binding("up,ctrl+p", "recall(-1)", "older", show=False),
        Binding("down,ctrl+n", "recall(1)", "newer", show=False),
    ]

    class Cancelled(Message):
        """Esc."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__(compact=True, select_on_focus=False)
        self.cursor_blink = False
        self.complete: Complete = lambda _text: ()
        self.history: Sequence[str] = ()
        self._recalled = 0
        self._draft = ""
        self._found: list[str] = []
        self._at = 0

    def begin(self, text: str, complete: Complete, history: Sequence[str]) -> None:
        """Write a new line."""
        self.complete, self.history = complete, history
        self._recalled, self._found = 0, []
        self.value = text
        self.cursor_position = len(text)

    def action_cancel(self) -> None:
        """Take it back."""
        self.post_message(self.Cancelled())

    def action_complete(self, by: int) -> None:
        """Take the next of what may be meant."""
        if not self._found or self.value != self._found[self._at]:
            self._found = list(dict.fromkeys(self.complete(self.value)))
            self._at = -1 if by > 0 else 0
        if self._found:
            self._at = (self._at + by) % len(self._found)
            self._write(self._found[self._at])

    def action_recall(self, by: int) -> None:
        """Take an older or a newer line."""
        if not self.history:
            return
        if self._recalled == 0:
            self._draft = self.value
        self._recalled = min(max(0, self._recalled - by), len(self.history))
        self._write(self.history[-self._recalled] if self._recalled else self._draft)

    def _write(self, text: str) -> None:
        self.value = text
        self.cursor_position = len(text)


class Prompt(Horizontal):
    """The mark of the mode, and the line."""

    class Changed(Message):
        """Something else is written now."""

        def __init__(self, mode: Mode, text: str) -> None:
            """Say what."""
            super().__init__()
            self.mode = mode
            self.text = text

    class Entered(Changed):
        """Enter: that is it."""

    class Left(Message):
        """Esc: take it back."""

        def __init__(self, mode: Mode) -> None:
            """Say what was being written."""
            super().__init__()
            self.mode = mode

    def __init__(self) -> None:
        """Start closed."""
        super().__init__(id="prompt")
        self.mode = Mode.COMMAND

    def compose(self) -> ComposeResult:
        """Lay out mark and line."""
        yield Static("", id="prompt-mark", markup=False)
        yield PromptInput()

    @property
    def text(self) -> str:
        """Return what is written."""
        return self.query_one(PromptInput).value

    def open(
        self, mode: Mode, text: str, complete: Complete, history: Sequence[str]
    ) -> PromptInput:
        """Let the operator write; the caller gives the focus to the field that is returned."""
        self.mode = mode
        mark = self.query_one("#prompt-mark", Static)
        mark.update(mode.value)
        self.add_class("-open")
        field = self.query_one(PromptInput)
        field.begin(text, complete, history)
        return field

    def close(self) -> None:
        """Give the line back to the hints."""
        self.remove_class("-open")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.has_class("-open"):
            self.post_message(self.Changed(self.mode, event.value))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Entered(self.mode, event.value))

    @on(PromptInput.Cancelled)
    def _left(self, event: PromptInput.Cancelled) -> None:
        event.stop()
        self.post_message(self.Left(self.mode))
