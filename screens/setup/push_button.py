"""A line that does something when it is pressed."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from bzzz_tui.widgets.toned import Toned


class PushButton(Toned, can_focus=True):
    """One line that does something when Enter, space or the mouse presses it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "press", "press", show=False)]

    class Pressed(Message):
        """Somebody pressed it."""

        def __init__(self, button: PushButton) -> None:
            """Say which button."""
            super().__init__()
            self.button = button

        @property
        def control(self) -> PushButton:
            """Return the button."""
            return self.button

    def __init__(self, label: str, *, id: str | None = None) -> None:  # noqa: A002
        """Take what it says."""
        super().__init__(id=id)
        self._label = label

    @property
    def label(self) -> str:
        """Return what it says."""
        return self._label

    def say(self, label: str) -> None:
        """Say something else."""
        if label != self._label:
            self._label = label
            self.refresh()

    def action_press(self) -> None:
        """Do it."""
        self.post_message(self.Pressed(self))

    def on_click(self, event: events.Click) -> None:
        """Do it."""
        event.stop()
        self.focus()
        self.action_press()

    def render_line(self, y: int) -> Strip:
        """Return the face."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        style = self.palette.brand if self.has_focus else self.palette.button
        face = f"[ {self._label} ]"
        return Strip([Segment(face, style)]).adjust_cell_length(width, self.rich_style)
