"""Two boxes over a screen: a question with yes and no, and a text to read."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen

from bzzz_tui.actions import Scope, bindings
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.wording import Tone


class Question(ModalScreen[bool]):
    """Asks; Esc means no."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(Scope.DIALOG),
        Binding("enter", "yes", "yes", show=False),
        Binding("escape", "no", "no", show=False),
    ]

    def __init__(self, title: str, lines: list[str], *, yes: str, no: str) -> None:
        """Take what to ask and what the answers mean."""
        super().__init__()
        self._title = title
        self._text = lines
        self._yes = yes
        self._no = no

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with Vertical(classes="dialog") as box:
            box.border_title = self._title
            yield Lines()

    def on_mount(self) -> None:
        """Write the text."""
        answers = [
            ("y ", Tone.ACCENT),
            (f"{self._yes}   ", Tone.PLAIN),
            ("n ", Tone.ACCENT),
            (self._no, Tone.PLAIN),
        ]
        text = [[(line, Tone.PLAIN)] for line in self._text]
        self.query_one(Lines).show([*text, [], answers])

    def action_yes(self) -> None:
        """Answer yes."""
        self.dismiss(result=True)

    def action_no(self) -> None:
        """Answer no."""
        self.dismiss(result=False)


class Reading(ModalScreen[None]):
    """Shows a text; any of Esc, q and Enter closes it."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,y", "dismiss", "close", show=False)
    ]

    def __init__(self, title: str, text: str) -> None:
        """Take title and text."""
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with VerticalScroll(classes="dialog -reading") as box:
            box.border_title = self._title
            box.border_subtitle = "Esc closes"
            yield Lines()

    def on_mount(self) -> None:
        """Write the text."""
        self.query_one(Lines).show([[(line, Tone.PLAIN)] for line in self._text.splitlines()])
        self.query_one(VerticalScroll).focus()
