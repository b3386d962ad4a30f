"""Boxes over a screen: a question with yes and no, one that wants a name typed, a text to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from bzzz_tui.actions import Scope, bindings
from bzzz_tui.parts import Line
from bzzz_tui.widgets.toned import Lines, Paragraph
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
            yield Paragraph()
            yield Lines()

    def on_mount(self) -> None:
        """Write the text."""
        answers = [
            ("y ", Tone.ACCENT),
            (f"{self._yes}   ", Tone.PLAIN),
            ("n ", Tone.ACCENT),
            (self._no, Tone.PLAIN),
        ]
        self.query_one(Paragraph).show(*((line, Tone.PLAIN) for line in self._text))
        self.query_one(Lines).show([[], answers])

    def action_yes(self) -> None:
        """Answer yes."""
        self.dismiss(result=True)

    def action_no(self) -> None:
        """Answer no."""
        self.dismiss(result=False)


class TypedQuestion(ModalScreen[bool]):
    """Asks for a name; only who writes it exactly means yes. Esc means no."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "no", show=False)]

    def __init__(self, title: str, lines: list[str], *, name: str, yes: str) -> None:
        """Take what to ask, the name to be written, and what that means."""
        super().__init__()
        self._title = title
        self._text = lines
        self._wanted = name
        self._yes = yes

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with Vertical(classes="dialog") as box:
            box.border_title = self._title
            box.border_subtitle = f"Enter: {self._yes}   Esc: leave it as it is"
            yield Paragraph()
            yield Lines()
            field = Input(compact=True)
            field.cursor_blink = False
            yield field

    def on_mount(self) -> None:
        """Write the text."""
        self._write("")
        self.query_one(Input).focus()

    def _write(self, wrong: str) -> None:
        self.query_one(Paragraph).show(*((line, Tone.PLAIN) for line in self._text))
        name: Line = [("Type the name to go on: ", Tone.MUTED), (self._wanted, Tone.WARN)]
        self.query_one(Lines).show([[], name, [(wrong, Tone.BAD)]])

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if event.value.strip() == self._wanted:
            self.dismiss(result=True)
        else:
            self._write("that is not the name")

    def action_no(self) -> None:
        """Answer no."""
        self.dismiss(result=False)


class Reading(ModalScreen[None]):
    """Shows a text; any of Esc, q and Enter closes it."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,y,d", "dismiss", "close", show=False)
    ]

    def __init__(self, title: str, text: str | Sequence[Line]) -> None:
        """Take title and text, or lines of parts."""
        super().__init__()
        self._title = title
        self._lines: Sequence[Line] = (
            [[(line, Tone.PLAIN)] for line in text.splitlines()] if isinstance(text, str) else text
        )

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with VerticalScroll(classes="dialog -reading") as box:
            box.border_title = self._title
            box.border_subtitle = "Esc closes"
            yield Lines()

    def on_mount(self) -> None:
        """Write the text."""
        self.query_one(Lines).show(self._lines)
        self.query_one(VerticalScroll).focus()
